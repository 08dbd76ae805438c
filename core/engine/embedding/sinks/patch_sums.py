"""Weighted sums of patch vectors of overlapping tiles, in files, so that a raster can be resumed.

Batches are added in place. The values that a batch changes are saved first, so that an incomplete batch is
undone and added again, and the result is the same.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....files import write_atomic

ROWS_AT_ONCE = 64
STATE = "state.json"


class PatchSums:
    """Sums of vectors (rows, cols, d) and of weights (rows, cols), in a folder.

    Tile i covers `side` x `side` patches from `corners[i]` (row, column). `batches` are added so far, and
    `counts` is what was stored with the last one. All blocks of the files are allocated at the start: if the
    disk is full, the constructor raises OSError, while writing into a hole of a mapped file would end the
    process.
    """

    def __init__(
        self, folder: Path, corners: NDArray[np.int64], side: int, shape: tuple[int, int, int]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._corners, self._side = folder, corners, side
        ramp = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)
        self._weight = np.outer(ramp, ramp).astype(np.float32)
        self.counts = _read_state(folder)
        self.batches = self.counts.pop("batches", 0)
        self.bands = shape[2]
        try:
            self._sum, self._weights = (
                map_file(folder / name, one, new=not self.batches)
                for name, one in (("sum.bin", shape), ("weight.bin", shape[:2]))
            )
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if self.batches and self._undo_file.exists():
            self._undo()

    @property
    def _undo_file(self) -> Path:
        """File with the values that the next batch changes."""
        return self._folder / f"before-{self.batches}.npz"

    def add(self, tiles: NDArray[np.int64], vectors: NDArray[np.float32], counts: Mapping[str, int]) -> None:
        """Add the patches (n, g, g, d) of some tiles as the next batch, and store `counts` with it.

        Everything is on disk before the batch counts as added.
        """
        windows, undo_file = self._windows(tiles), self._undo_file
        part = undo_file.with_suffix(".part")
        with part.open("wb") as stream:
            before = {
                f"{name}{n}": array[window]
                for n, window in enumerate(windows)
                for name, array in (("sum", self._sum), ("of", self._weights))
            }
            np.savez(stream, tiles=tiles, **before)  # pyright: ignore[reportArgumentType]
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, undo_file)
        for window, patches in zip(windows, vectors, strict=True):
            self._sum[window] += patches * self._weight[..., None]
            self._weights[window] += self._weight
        self._sum.flush()
        self._weights.flush()
        self.batches, self.counts = self.batches + 1, dict(counts)
        write_atomic(self._folder / STATE, json.dumps({"batches": self.batches, **counts}).encode())
        undo_file.unlink()

    def _undo(self) -> None:
        """Undo a batch that was only partly added."""
        with np.load(self._undo_file, allow_pickle=False) as before:
            for n, window in enumerate(self._windows(before["tiles"])):
                self._sum[window], self._weights[window] = before[f"sum{n}"], before[f"of{n}"]

    def _windows(self, tiles: NDArray[np.int64]) -> list[tuple[slice, slice]]:
        corners = self._corners[tiles].tolist()
        return [(slice(row, row + self._side), slice(col, col + self._side)) for row, col in corners]

    def blended(self, start: int) -> NDArray[np.float32]:
        """Return blended rows from `start` on, (at most 64, cols, d); NaN where there is no tile."""
        rows = slice(start, start + ROWS_AT_ONCE)
        weights = np.asarray(self._weights[rows])[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weights > 0, self._sum[rows] / weights, np.nan).astype(np.float32)

    def known(self) -> int:
        """Count the patches that have a vector."""
        starts = range(0, len(self._weights), ROWS_AT_ONCE)
        return sum(int(np.count_nonzero(self._weights[at : at + ROWS_AT_ONCE])) for at in starts)


def _read_state(folder: Path) -> dict[str, int]:
    """Read what was stored with the last batch; empty for a new folder, or if a file is missing."""
    try:
        state = json.loads((folder / STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return state if all((folder / name).is_file() for name in ("sum.bin", "weight.bin")) else {}


def map_file(
    path: Path, shape: tuple[int, ...], *, new: bool = True
) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """Map a file of float32 as an array: an existing one, or a new one of zeros with all blocks allocated.

    Raises OSError if the disk is full.
    """
    if new:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, math.prod(shape) * 4)
            else:  # macOS and Windows
                for _ in range(shape[0]):
                    file.write(bytes(math.prod(shape[1:]) * 4))
    return np.memmap(path, np.float32, "r+", shape=shape)
