"""Runs a function over a large array tile by tile: at once for arrays in memory, on demand for dask.

The spatial plane is cut into blocks of whole tiles, so that memory depends on the size of a block (about
`BLOCK_PX` a side, or a chunk of dask) and not on the size of the array.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

BLOCK_PX = 2048


@dataclass(frozen=True)
class Span:
    """One tile along an axis: it covers pixels `origin` on, and the result keeps those of start..stop."""

    origin: int
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """Tiles computed together: `rows` and `cols` of spans whose origins count from `top` and `left`.

    The block reads `height` x `width` pixels of the array from there.
    """

    rows: tuple[Span, ...]
    cols: tuple[Span, ...]
    top: int
    left: int
    height: int
    width: int


BlockWork = Callable[[NDArray[Any], Block], NDArray[np.float32]]
"""Computes the result (c, rows, cols) of a block from its pixels (bands, height, width)."""


def spans(length: int, tile_px: int, margin_px: int = 0) -> tuple[Span, ...]:
    """Cover `length` pixels by tiles; inside, the outer `margin_px` of a tile are left to its neighbour.

    The last tile is moved inward, so that no tile reaches beyond the array.
    """
    found: list[Span] = []
    start = 0
    while start < length:
        origin = min(max(start - margin_px, 0), length - tile_px)
        stop = length if origin + tile_px >= length else origin + tile_px - margin_px
        found.append(Span(origin, start, stop))
        start = stop
    return tuple(found)


def blocks(
    rows: tuple[Span, ...], cols: tuple[Span, ...], tile_px: int, side_px: tuple[int, int]
) -> list[list[Block]]:
    """Group tiles into a grid of blocks of about `side_px` (down, across) pixels, one tile at least."""
    down, across = (_groups(axis, side) for axis, side in zip((rows, cols), side_px, strict=True))
    return [[_block(some_rows, some_cols, tile_px) for some_cols in across] for some_rows in down]


def run(array: xr.DataArray, grid: list[list[Block]], work: BlockWork, *, channels: int, cell_px: int) -> Any:
    """Apply `work` to every block of an array (bands, y, x), whose results have a cell per `cell_px` pixels.

    Returns (channels, rows, cols) float32: NumPy for an array in memory or on disk, a lazy dask array for
    one with chunks.
    """
    if array.chunks is None:
        last = grid[-1][-1]
        shape = (channels, last.rows[-1].stop // cell_px, last.cols[-1].stop // cell_px)
        out = np.empty(shape, np.float32)
        for block in (block for line in grid for block in line):
            row, col = (slice(s[0].start // cell_px, s[-1].stop // cell_px) for s in (block.rows, block.cols))
            out[:, row, col] = work(np.asarray(_pixels(array, block).values), block)
        return out
    dask: Any = importlib.import_module("dask")  # optional: an array has chunks only where it is installed
    chunked: Any = importlib.import_module("dask.array")
    compute = dask.delayed(work, pure=False, traverse=False)
    lines = [
        [
            chunked.from_delayed(
                compute(_pixels(array, block).data, dask.delayed(block, traverse=False)),
                (channels, *_cells(block, cell_px)),
                np.float32,
            )
            for block in line
        ]
        for line in grid
    ]
    return chunked.block(lines)


def block_sides(array: xr.DataArray, y: Hashable, x: Hashable) -> tuple[int, int]:
    """Return the size of a block (down, across): the chunks of a dask array up to BLOCK_PX, else BLOCK_PX."""
    if array.chunks is None:
        return BLOCK_PX, BLOCK_PX
    sizes = array.chunksizes
    return min(max(sizes[y]), BLOCK_PX), min(max(sizes[x]), BLOCK_PX)


def tiles_of(block: Block) -> Iterator[tuple[Span, Span]]:
    """Yield (row span, column span) of the tiles of a block, row by row."""
    for row in block.rows:
        for col in block.cols:
            yield row, col


def _groups(axis: tuple[Span, ...], side_px: int) -> list[tuple[Span, ...]]:
    groups: list[list[Span]] = []
    for span in axis:
        if groups and span.stop - groups[-1][0].start <= side_px:
            groups[-1].append(span)
        else:
            groups.append([span])
    return [tuple(group) for group in groups]


def _block(rows: tuple[Span, ...], cols: tuple[Span, ...], tile_px: int) -> Block:
    top, left = rows[0].origin, cols[0].origin
    return Block(rows, cols, top, left, rows[-1].origin + tile_px - top, cols[-1].origin + tile_px - left)


def _pixels(array: xr.DataArray, block: Block) -> xr.DataArray:
    return array[..., block.top : block.top + block.height, block.left : block.left + block.width]


def _cells(block: Block, cell_px: int) -> tuple[int, int]:
    return (
        (block.rows[-1].stop - block.rows[0].start) // cell_px,
        (block.cols[-1].stop - block.cols[0].start) // cell_px,
    )
