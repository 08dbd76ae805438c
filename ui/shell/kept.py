"""Results kept in memory by the specs that they answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Kept:
    """Results by their specs, the least recently used given up; shared by all users and therefore never changed."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable) -> Any:
        """The result, or None."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The result, made by the first who asks while the others wait for it."""
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
        """Give up every result whose key holds `part`, however deep."""
        with self._lock:
            for key in [key for key in self._held if _holds(key, part)]:
                del self._held[key]

    def put(self, key: Hashable, value: Any) -> Any:
        """Keep a result and give it back."""
        with self._lock:
            self._held[key] = value
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return value


def _holds(key: Hashable, part: Hashable) -> bool:
    return key == part or (isinstance(key, tuple) and any(_holds(each, part) for each in key))
