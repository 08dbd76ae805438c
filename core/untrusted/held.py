"""A dedicated child process for a file that is used many times, such as an exported network.

What a called function keeps in its module, an opened file for instance, is there in the next call.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from ..errors import ExplorerError
from .process import Limits, _Child


class HeldProcess:
    """One child process with limits on each call. Thread-safe: calls wait for each other.

    A process that was ended at a limit, or crashed, is replaced at the next call.
    """

    def __init__(self, name: str, error: type[ExplorerError], limits: Limits) -> None:
        self.name, self.error, self.limits = name, error, limits
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._finalizer: Any = None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a module-level function, as `core.untrusted.call` returns it. Raises `error`."""
        with self._lock:
            if self._child is None or self._child.process.poll() is not None:
                self.close()
                try:
                    self._child = _Child()
                except OSError as problem:
                    raise self.error(
                        f"'{self.name}' was not opened because no process could be started "
                        f"({problem.strerror}): try again later."
                    ) from None
                self._finalizer = weakref.finalize(self, self._child.end)
            return self._child.answer(function, arguments, self.name, self.error, self.limits)

    def close(self) -> None:
        """End the child process."""
        if self._finalizer is not None:
            self._finalizer()
        self._child = self._finalizer = None

    def __deepcopy__(self, memo: dict[int, Any]) -> HeldProcess:
        return HeldProcess(self.name, self.error, self.limits)
