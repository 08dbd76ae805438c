"""Progress of an evaluation: the share of work done and an estimate of the time left."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class EvaluationProgress:
    """What is being computed, the share of all work done (0..1), and the seconds left, None at first.

    A `notice` reports a problem along the way and should stay visible.
    """

    text: str
    share: float
    seconds_left: float | None
    notice: bool = False


class Clock:
    """Estimates progress over a list of jobs from the `work` of each, in any unit."""

    def __init__(self, work: Sequence[float]) -> None:
        self._work = list(work)
        self._start = time.perf_counter()

    def skip(self, job: int) -> None:
        """Leave out a job whose result was cached."""
        self._work[job] = 0.0

    def at_start(self, job: int, text: str) -> EvaluationProgress:
        """Return the progress at the start of a job."""
        return self._progress(job, 0.0, text)

    def notice(self, job: int, text: str) -> EvaluationProgress:
        """Return a notice about a job."""
        return replace(self._progress(job, 0.0, text), notice=True)

    def track(
        self, steps: Generator[int, None, T], job: int, count: int, text: str
    ) -> Generator[EvaluationProgress, None, T]:
        """Turn a generator of finished images into one of progress with the same return value."""
        while True:
            try:
                done = next(steps)
            except StopIteration as finished:
                return finished.value
            yield self._progress(job, done / count, text)

    def _progress(self, job: int, share: float, text: str) -> EvaluationProgress:
        total = sum(self._work)
        finished = sum(self._work[:job]) + self._work[job] * share
        elapsed = time.perf_counter() - self._start
        left = elapsed * (total - finished) / finished if finished > 0 and elapsed > 1 else None
        return EvaluationProgress(text, finished / total if total else 1.0, left)
