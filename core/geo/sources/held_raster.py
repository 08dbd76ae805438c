"""Open datasets of one raster file that several reads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any


class HeldRaster:
    """Open datasets of one file by overview level, shared by several reads and never closed during one."""

    def __init__(self) -> None:
        self.given_up = False
        self._opened: dict[int | None, ExitStack] = {}
        self._datasets: dict[int | None, Any] = {}
        self._reading = threading.Lock()

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Mark that a read is in progress."""
        try:
            with self._reading:
                yield
        finally:
            if self.given_up:
                self.close()

    def dataset(self, level: int | None, opened: Callable[[ExitStack], Any]) -> Any:
        """Return the dataset of a level, opening it if necessary."""
        if level not in self._datasets:
            with ExitStack() as stack:
                self._datasets[level] = opened(stack)
                self._opened[level] = stack.pop_all()
        return self._datasets[level]

    def forget(self, level: int | None) -> None:
        """Close the dataset of a level."""
        self._datasets.pop(level, None)
        if (stack := self._opened.pop(level, None)) is not None:
            stack.close()

    def close(self) -> None:
        """Close everything; if a read is in progress, it does so when it ends."""
        self.given_up = True
        if self._reading.acquire(blocking=False):
            try:
                for level in list(self._opened):
                    self.forget(level)
            finally:
                self._reading.release()
