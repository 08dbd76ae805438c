"""Batch sizes: the largest that fits into the device's memory, and the fastest that has been measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import torch

from ..errors import ExplorerError
from .device import release_cache

T = TypeVar("T")

_seconds_per_image: dict[Hashable, dict[int, float]] = {}
_largest: dict[Hashable, int] = {}
_largest_lock = threading.Lock()


class OutOfMemoryError(ExplorerError):
    """A single image that does not fit into the device's memory."""


class FastestSize:
    """Finds the fastest batch size for one kind of work while it runs.

    Sizes 1, 4, 16 ... up to `most` are each tried once enough is left; the first call warms the device up and
    is not counted. Measurements are kept per `key` for the life of the process.
    """

    def __init__(self, key: Hashable, most: int) -> None:
        self.sizes = tuple(size for size in (1, 4, 16, 64, 256) if size <= most)
        self._seconds = _seconds_per_image.setdefault(key, {})
        self._is_warm = bool(self._seconds)

    def size(self, left: int) -> int:
        """Return how many of `left` images to do next: an untried size that fits, else the fastest."""
        if not self._is_warm:
            return 1
        untried = [size for size in self.sizes if size <= left and size not in self._seconds]
        return untried[0] if untried else min(self._seconds, key=self._seconds.__getitem__, default=1)

    def record(self, size: int, seconds: float) -> None:
        """Record the time of a batch; the best time per image counts, because a machine may be busy."""
        if self._is_warm and size in self.sizes:
            self._seconds[size] = min(self._seconds.get(size, float("inf")), seconds / size)
        self._is_warm = True


def fitting_batches(
    work: Callable[[slice], T],
    count: int,
    *,
    start: int,
    key: Hashable,
    say: Callable[[str], None] | None = None,
    fastest: FastestSize | None = None,
) -> Iterator[tuple[slice, T]]:
    """Run `work` over 0..count in slices, halving them if the device runs out of memory.

    `start` is the first size tried; what fitted is remembered per `key` for the life of the process. `say`
    receives a message each time a batch had to shrink; `fastest` chooses sizes up to what fits. Raises
    OutOfMemoryError if not even one image fits.
    """
    done = 0
    while done < count:
        size = min(_largest.get(key, start), start, fastest.size(count - done) if fastest else start)
        piece = slice(done, min(done + size, count))
        before = time.perf_counter()
        try:
            result = work(piece)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            result = None
        if result is None:
            size = _halve(piece.stop - piece.start, key)
            if say:
                say(f"The device ran out of memory: the batch size is now {size}.")
            continue
        if fastest:
            fastest.record(piece.stop - piece.start, time.perf_counter() - before)
        yield piece, result
        done = piece.stop


def _halve(size: int, key: Hashable) -> int:
    release_cache()
    if size <= 1:
        raise OutOfMemoryError(
            "Not even one image fits into the device's memory: "
            "choose a smaller model or input, or set EARTH_MAE_DEVICE=cpu."
        )
    with _largest_lock:
        _largest[key] = min(_largest.get(key, size), size // 2)
    return size // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception means that memory ran out, on CUDA, MPS or the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    phrases = ("out of memory", "can't allocate memory", "not enough memory")
    return any(phrase in str(error).lower() for phrase in phrases)
