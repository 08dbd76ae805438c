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

MOST_LOOKED_AT = 20_000
"""Parts of a result that are measured; the size of a result with more parts is extrapolated."""


class SizeLedger:
    """Sizes of all cached results; above `limit_bytes` the least recently used result is dropped."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.lock = threading.RLock()
        self._sizes: OrderedDict[tuple[int, Hashable], int] = OrderedDict()
        self._shelves: dict[int, weakref.ref[Kept]] = {}
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """Total size of the cached results."""
        return self._total

    def note(self, shelf: Kept, key: Hashable, size: int) -> None:
        """Add a result, which may evict others. The newest is always kept."""
        self.strike(shelf, key)
        if id(shelf) not in self._shelves:
            self._shelves[id(shelf)] = weakref.ref(shelf)
            weakref.finalize(shelf, self._forget, id(shelf))
        self._sizes[id(shelf), key] = size
        self._total += size
        while self._total > self.limit_bytes and len(self._sizes) > 1:
            (other, old), freed = self._sizes.popitem(last=False)
            self._total -= freed
            if (found := self._shelves[other]()) is not None:
                found.lose(old)

    def touch(self, shelf: Kept, key: Hashable) -> None:
        """Mark a result as the most recently used."""
        if (id(shelf), key) in self._sizes:
            self._sizes.move_to_end((id(shelf), key))

    def strike(self, shelf: Kept, key: Hashable) -> None:
        """Remove a result."""
        self._total -= self._sizes.pop((id(shelf), key), 0)

    def _forget(self, number: int) -> None:
        """Remove everything of a cache that no longer exists, as after "Clear cache"."""
        with self.lock:
            self._shelves.pop(number, None)
            for entry in [entry for entry in self._sizes if entry[0] == number]:
                self._total -= self._sizes.pop(entry)


@lru_cache(maxsize=1)
def ledger() -> SizeLedger:
    """The server's ledger: EARTH_MAE_CACHE_MB megabytes, by default a quarter of the RAM."""
    said = os.environ.get("EARTH_MAE_CACHE_MB", "")
    return SizeLedger(
        int(said) * 2**20 if said.isdecimal() and len(said) < 9 else psutil.virtual_memory().total // 4
    )


class Kept:
    """A least-recently-used cache of results by spec. Shared by all users: results must not be modified."""

    def __init__(self, most: int, book: SizeLedger | None = None) -> None:
        self._most, self._book = most, book or ledger()
        self._lock = self._book.lock
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable) -> Any:
        """The cached result, or None."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                self._book.touch(self, key)
            return self._held.get(key)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The cached result; the first caller computes it while others wait."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        try:
            with making:
                found = self.get(key)
                return self.put(key, make()) if found is None else found
        finally:
            with self._lock:
                self._making.pop(key, None)

    def drop(self, part: Hashable) -> None:
        """Drop every result whose key contains `part` at any depth."""
        with self._lock:
            for key in [key for key in self._held if _holds(key, part)]:
                self.lose(key)
                self._book.strike(self, key)

    def put(self, key: Hashable, value: Any) -> Any:
        """Store a result and return it."""
        size = size_of(value)
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            self._book.note(self, key, size)
            while len(self._held) > self._most:
                old, _ = self._held.popitem(last=False)
                self._book.strike(self, old)
        return value

    def lose(self, key: Hashable) -> None:
        """Drop a result that the ledger evicted."""
        self._held.pop(key, None)


def size_of(value: Any) -> int:
    """Approximate bytes of a result: its arrays, tensors, tables and text. Memory-mapped arrays count 0."""
    waiting, seen, total = [value], set[int](), 0
    while waiting and len(seen) < MOST_LOOKED_AT:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        base = part.base if isinstance(part, np.ndarray) and isinstance(part.base, np.ndarray) else part
        if isinstance(base, np.memmap):
            continue
        if base is not part:
            waiting.append(base)  # a view keeps the whole array alive
        elif isinstance(
            size := getattr(part, "nbytes", None), int
        ):  # arrays, tensors and tables, without importing torch for it
            total += size
        elif isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            total += sys.getsizeof(part)
            waiting += part
        elif is_dataclass(part) and not isinstance(part, type):
            waiting += [getattr(part, field.name) for field in fields(part)]
        else:
            total += sys.getsizeof(part)
            waiting += (
                vars(part).values()
                if hasattr(part, "__dict__") and type(part).__module__.startswith(("core.", "ui."))
                else ()
            )
    return round(total * (1 + len(waiting) / max(1, len(seen))))


def _holds(key: Hashable, part: Hashable) -> bool:
    return key == part or (isinstance(key, tuple) and any(_holds(each, part) for each in key))
