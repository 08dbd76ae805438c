"""The share of one worker in an embedding run: every N-th shard."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .spec import EmbeddingError


@dataclass(frozen=True)
class Share:
    """The batches of all shards whose number, divided by `workers`, leaves `worker` as the remainder."""

    worker: int
    workers: int

    def __post_init__(self) -> None:
        if not 0 <= self.worker < self.workers:
            raise EmbeddingError(
                f"Workers are counted from 0: of {self.workers} workers, the number must be between 0 and "
                f"{max(0, self.workers - 1)}; {self.worker} is not."
            )

    def has(self, shard: int) -> bool:
        """Tell whether a shard belongs to this worker."""
        return shard % self.workers == self.worker

    def __str__(self) -> str:
        return f"{self.worker}/{self.workers}"


def share_from_text(text: str) -> Share:
    """Read "K/N", for instance "0/8". Raises EmbeddingError."""
    if not (match := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)):
        raise EmbeddingError(
            f"A worker is given as K/N, such as 0/8 for the first of eight; {text!r:.20} is not."
        )
    return Share(int(match[1]), int(match[2]))
