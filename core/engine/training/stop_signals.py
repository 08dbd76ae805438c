"""SIGINT and SIGTERM as a request to stop after the current step."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

_HEEDED = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Within `with`, the first SIGINT or SIGTERM only sets `asked`; a second one interrupts as usual.

    For the main thread.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._heed) for number in _HEEDED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _heed(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
