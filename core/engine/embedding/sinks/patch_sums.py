"""Weighted sums of the patch vectors of overlapping tiles, in files, so that an interrupted raster can be resumed.

Batches are added in place. The values that a batch changes are saved first, so that an incomplete batch is undone and
computed again, and the result is the same.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....files import write_atomic
from ....locks import try_lock
from ..spec import EmbeddingError

ROWS_AT_ONCE = 64
STATE, LOCK = "state.json", "lock"


class Sums:
    """Weighted sums of vectors (rows, cols, d) and of weights (rows, cols) of tiles whose first patches lie at `corners` (n, 2), in a folder.

    So many `batches` are in them, and `counts` says what became of their tiles; `bands` values make a vector. The files have all their blocks from
    the start: where the disk is full, making one raises OSError, while writing into a hole of a mapped file would end the process. Raises EmbeddingError
    while another process adds.
    """

    def __init__(
        self, folder: Path, corners: NDArray[np.int64], side: int, shape: tuple[int, int, int]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._corners, self._side = folder, corners, side
        ramp = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)
        self._weight = np.outer(ramp, ramp).astype(np.float32)
        self._lock = (folder / LOCK).open("w")
        if not try_lock(self._lock):
            self._lock.close()
            raise EmbeddingError(
                "Another process is writing this raster: wait for it, or choose another folder."
            )
        self.counts = _counts(folder)
        self.batches = self.counts.pop("batches", 0)
        self.bands = shape[2]
        try:
            self._sum, self._of = (
                mapped(folder / name, one, new=not self.batches)
                for name, one in (("sum.bin", shape), ("weight.bin", shape[:2]))
            )
        except OSError:
            self.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if self.batches and self._before.exists():
            self._take_back()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    @property
    def _before(self) -> Path:
        """File with the values that the next batch changes."""
        return self._folder / f"before-{self.batches}.npz"

    def add(self, tiles: NDArray[np.int64], vectors: NDArray[np.float32], counts: Mapping[str, int]) -> None:
        """Add the patches (n, g, g, d) of some tiles as the next batch; `counts` as they are with it. On disk before it counts as done."""
        windows, before = self._windows(tiles), self._before
        part = before.with_suffix(".part")
        with part.open("wb") as stream:
            was = {
                f"{name}{n}": of[at]
                for n, at in enumerate(windows)
                for name, of in (("sum", self._sum), ("of", self._of))
            }
            np.savez(stream, tiles=tiles, **was)  # pyright: ignore[reportArgumentType]
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, before)
        for at, patches in zip(windows, vectors, strict=True):
            self._sum[at] += patches * self._weight[..., None]
            self._of[at] += self._weight
        self._sum.flush()
        self._of.flush()
        self.batches, self.counts = self.batches + 1, dict(counts)
        write_atomic(self._folder / STATE, json.dumps({"batches": self.batches, **counts}).encode())
        before.unlink()

    def _take_back(self) -> None:
        """Undo a batch that was only partly added."""
        with np.load(self._before, allow_pickle=False) as kept:
            for n, at in enumerate(self._windows(kept["tiles"])):
                self._sum[at], self._of[at] = kept[f"sum{n}"], kept[f"of{n}"]

    def _windows(self, tiles: NDArray[np.int64]) -> list[tuple[slice, slice]]:
        corners = self._corners[tiles].tolist()
        return [(slice(row, row + self._side), slice(col, col + self._side)) for row, col in corners]

    def blended(self, start: int) -> NDArray[np.float32]:
        """Give the blended rows from `start` on, (at most 64, cols, d); NaN where there is no tile."""
        rows = slice(start, start + ROWS_AT_ONCE)
        weight = np.asarray(self._of[rows])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight[..., None] > 0, self._sum[rows] / weight[..., None], np.nan).astype(
                np.float32
            )

    def known(self) -> int:
        """Count the patches that have a vector."""
        return sum(
            int(np.count_nonzero(self._of[start : start + ROWS_AT_ONCE]))
            for start in range(0, len(self._of), ROWS_AT_ONCE)
        )


def _counts(folder: Path) -> dict[str, int]:
    """Read the counts of finished work; empty for a new folder, or if a file is missing."""
    try:
        said = json.loads((folder / STATE).read_text("utf-8"))
        return said if all((folder / name).is_file() for name in ("sum.bin", "weight.bin")) else {}
    except (OSError, ValueError):
        return {}


def mapped(
    path: Path, shape: tuple[int, ...], *, new: bool = True
) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """A file of float32 as an array: a new one of zeros, whose blocks are all taken from the disk now, or the one that is there. Raises OSError where
    the disk is full."""
    if new:
        with path.open("wb") as file:
            if sys.platform == "darwin":  # has no posix_fallocate
                for _ in range(shape[0]):
                    file.write(bytes(math.prod(shape[1:]) * 4))
            else:
                os.posix_fallocate(file.fileno(), 0, math.prod(shape) * 4)
    return np.memmap(path, np.float32, "r+", shape=shape)
