"""In-memory caches keyed by specs, each bounded in number of results and all together in bytes."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import psutil

CHECK_EVERY_S = 0.2
MAX_PARTS = 20_000
"""Parts of a result that are measured; the size of a result with more parts is extrapolated."""


class SizeLedger:
    """Sizes of all cached results; above `limit_bytes` the least recently used result is dropped."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.lock = threading.RLock()
        self._sizes: OrderedDict[tuple[int, Hashable], int] = OrderedDict()
        self._caches: dict[int, weakref.ref[ResultCache]] = {}
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """Total size of the cached results."""
        return self._total

    def add(self, cache: ResultCache, key: Hashable, size: int) -> None:
        """Add a result, which may evict others. The newest is always kept."""
        self.remove(cache, key)
        if id(cache) not in self._caches:
            self._caches[id(cache)] = weakref.ref(cache)
            weakref.finalize(cache, self._remove_cache, id(cache))
        self._sizes[id(cache), key] = size
        self._total += size
        while self._total > self.limit_bytes and len(self._sizes) > 1:
            (other, old), freed = self._sizes.popitem(last=False)
            self._total -= freed
            if (cache_of_old := self._caches[other]()) is not None:
                cache_of_old.evict(old)

    def touch(self, cache: ResultCache, key: Hashable) -> None:
        """Mark a result as the most recently used."""
        if (id(cache), key) in self._sizes:
            self._sizes.move_to_end((id(cache), key))

    def remove(self, cache: ResultCache, key: Hashable) -> None:
        """Remove a result."""
        self._total -= self._sizes.pop((id(cache), key), 0)

    def _remove_cache(self, number: int) -> None:
        """Remove everything of a cache that no longer exists, as after "Clear cache"."""
        with self.lock:
            self._caches.pop(number, None)
            for entry in [entry for entry in self._sizes if entry[0] == number]:
                self._total -= self._sizes.pop(entry)


@lru_cache(maxsize=1)
def size_ledger() -> SizeLedger:
    """The server's ledger: EARTH_MAE_CACHE_MB megabytes, by default a quarter of the RAM."""
    megabytes = os.environ.get("EARTH_MAE_CACHE_MB", "")
    is_valid = megabytes.isdecimal() and len(megabytes) < 9
    return SizeLedger(int(megabytes) * 2**20 if is_valid else psutil.virtual_memory().total // 4)


class ResultCache:
    """A least-recently-used cache of results by spec. Shared by all users: results must not be modified."""

    def __init__(self, limit: int, ledger: SizeLedger | None = None) -> None:
        self._limit, self._ledger = limit, ledger or size_ledger()
        self._lock = self._ledger.lock
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable) -> Any:
        """The cached result, or None."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                self._ledger.touch(self, key)
            return self._results.get(key)

    def get_or_compute(
        self, key: Hashable, make: Callable[[], Any], while_waiting: Callable[[], None] | None = None
    ) -> Any:
        """The cached result; the first caller computes it while others wait.

        They call `while_waiting` every CHECK_EVERY_S seconds; if it raises, they stop waiting.
        """
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        while not lock.acquire(timeout=CHECK_EVERY_S):
            if while_waiting is not None:
                while_waiting()
        try:
            result = self.get(key)
            return self.put(key, make()) if result is None else result
        finally:
            lock.release()
            with self._lock:
                self._locks.pop(key, None)

    def drop(self, part: Hashable) -> None:
        """Drop every result whose key contains `part` at any depth."""
        with self._lock:
            for key in [key for key in self._results if _contains(key, part)]:
                self.evict(key)
                self._ledger.remove(self, key)

    def put(self, key: Hashable, value: Any) -> Any:
        """Store a result and return it."""
        size = size_of(value)
        with self._lock:
            self._results[key] = value
            self._results.move_to_end(key)
            self._ledger.add(self, key, size)
            while len(self._results) > self._limit:
                old, _ = self._results.popitem(last=False)
                self._ledger.remove(self, old)
        return value

    def evict(self, key: Hashable) -> None:
        """Drop a result that the ledger evicted."""
        self._results.pop(key, None)


def size_of(value: Any) -> int:
    """Approximate bytes of a result: its arrays, tensors, tables and text. Memory-mapped arrays count 0."""
    pending, seen, total = [value], set[int](), 0
    while pending and len(seen) < MAX_PARTS:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        base = part.base if isinstance(part, np.ndarray) and isinstance(part.base, np.ndarray) else part
        if isinstance(base, np.memmap):
            continue
        if base is not part:
            pending.append(base)  # a view keeps the whole array alive
        elif isinstance(size := getattr(part, "nbytes", None), int):  # arrays, tensors, tables; without torch
            total += size
        elif isinstance(part, dict):
            pending += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            total += sys.getsizeof(part)
            pending += part
        elif is_dataclass(part) and not isinstance(part, type):
            pending += [getattr(part, field.name) for field in fields(part)]
        else:
            total += sys.getsizeof(part)
            pending += (
                vars(part).values()
                if hasattr(part, "__dict__") and type(part).__module__.startswith(("core.", "ui."))
                else ()
            )
    return round(total * (1 + len(pending) / max(1, len(seen))))


def _contains(key: Hashable, part: Hashable) -> bool:
    return key == part or (isinstance(key, tuple) and any(_contains(each, part) for each in key))
