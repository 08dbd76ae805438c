"""The loop of an embedding run: read batches, run the networks, hand the vectors to sinks.

Batches depend on the plan alone, and each is saved on its own, so a run that was killed ends with the same
bytes after it is resumed; at most one batch per network thread is repeated.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.base import Encoder
from ..loaded import on_every_device
from .batches import PendingBatches
from .environment import Environment
from .folder import EmbeddingFolder
from .plan import EmbeddingPlan
from .read import OK, UNREADABLE, Reader, TileBatch
from .spec import EmbeddingSpec
from .threads import NetworkThreads

STOPPED = "Stopped; add --resume to continue."


@dataclass(frozen=True)
class EmbeddingProgress:
    """Progress of an embedding run, in windows.

    Of `total` windows `done` are finished: `embedded`, `unreadable` (without a vector) or `empty` (left out).
    `rate` is in tiles per second; it and `seconds_left` are None until measured. `finished` is true in the
    last step only. `note` is a message for the user, or empty.
    """

    done: int
    total: int
    embedded: int
    unreadable: int
    empty: int
    area_km2: float
    batches: int
    batch: int
    rate: float | None
    seconds_left: float | None
    shards: int
    finished: bool = False
    note: str = ""

    @property
    def ground(self) -> str:
        """Area covered by the tiles as text; unknown if no picture states its GSD."""
        return f"{self.area_km2:,.1f} km²" if self.area_km2 else "an unknown area"


class Sink(ABC):
    """What one model makes of the windows of a plan, and where it is stored.

    `left` are the batches to embed; finished ones are `waiting` in `pending` until `store` takes them.
    `counts` are the finished windows by state, `shards` the number of shards written. `folder` is that of the
    run, with its log and stop file. `made_with` is saved with every batch.
    """

    def __init__(
        self,
        folder: EmbeddingFolder,
        pending: PendingBatches,
        plan: EmbeddingPlan,
        spec: EmbeddingSpec,
        model: Encoder,
        *,
        tile_px: int,
        batch: int,
    ) -> None:
        self.folder, self.pending, self.plan, self.spec, self.model = folder, pending, plan, spec, model
        self.tile_px, self.batch = tile_px, batch
        self.total = plan.count
        self.batches = -(-self.total // batch)
        self.counts = np.zeros(3, np.int64)
        self.shards = 0
        self.waiting: set[int] = set()
        self.left: set[int] = set()
        self.made_with: Environment = {}
        self._networks: tuple[Encoder, ...] = ()

    @property
    def done(self) -> int:
        """Number of finished windows."""
        return int(self.counts.sum())

    @abstractmethod
    def store(self) -> None:
        """Take the waiting batches that can be stored now, and delete them once they are."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the output after the last batch."""

    @abstractmethod
    def _vectors(
        self, batch: TileBatch, network: Encoder, report: Callable[[str], None]
    ) -> dict[str, NDArray[Any]]:
        """Run a network on a batch; returns `vectors` and what else is stored, by name."""

    def prepare(self) -> None:
        """Copy the network to every device, before `embed` is called."""
        self._networks = self._networks or on_every_device(self.model)

    def embed(self, batch: TileBatch, thread: int, report: Callable[[str], None]) -> None:
        """Run the network of a thread on a batch and save the result; `report` takes notes for the user."""
        self.pending.save(batch.index, self.arrays(batch, thread, report), self.made_with)

    def arrays(self, batch: TileBatch, thread: int, report: Callable[[str], None]) -> dict[str, NDArray[Any]]:
        """Run the network of a thread on a batch; returns what is saved of it."""
        network = self._networks[thread % len(self._networks)]
        return {"state": batch.state, **self._vectors(batch, network, report)}

    def take(self, index: int, state: NDArray[np.uint8]) -> bool:
        """Count a saved batch and store it; False if it was not left to do."""
        if index not in self.left:
            return False
        self.left.remove(index)
        self.waiting.add(index)
        self._count(state)
        self.store()
        return True

    def _find_left(self, stored: Container[int]) -> None:
        """Count the batches that wait on disk, and list those that are left."""
        for index in sorted(self.pending.finished()):
            if index >= self.batches or index in stored:
                continue
            state = self.pending.state(index)
            if state is not None:
                self._count(state)
                self.waiting.add(index)
        self.left = {i for i in range(self.batches) if i not in self.waiting and i not in stored}

    def _count(self, state: NDArray[np.uint8]) -> None:
        self.counts += np.bincount(state, minlength=3)


@dataclass(frozen=True, eq=False)
class Saved:
    """A batch that was embedded and saved for every sink that lacked it; `note` is a message for the user."""

    index: int
    state: NDArray[np.uint8]
    note: str


def embedded(sinks: Sequence[Sink]) -> Generator[Saved]:
    """Embed and save the batches that are left for any of the sinks, which share one plan.

    Each window is read once. A stop that a folder requests ends the run after the batches in progress.
    """
    todo = sorted(set[int]().union(*(sink.left for sink in sinks)))
    first = sinks[0]

    def embed_all(batch: TileBatch, thread: int, report: Callable[[str], None]) -> None:
        for sink in sinks:
            if batch.index in sink.left:
                sink.embed(batch, thread, report)

    for sink in sinks:
        sink.prepare()
    reader = Reader(first.plan, first.tile_px, first.batch, first.spec.min_valid)
    with NetworkThreads(reader.batches(iter(todo)), embed_all, len(todo)) as threads:
        for index, state in threads.finished():
            yield Saved(index, state, threads.notes())
            if any(sink.folder.stop_requested for sink in sinks):
                threads.stop()


def process(sinks: Sequence[Sink], batches: Generator[Saved] | None = None) -> Generator[EmbeddingProgress]:
    """Embed the windows that are left for any of the sinks and store them; yields after each batch.

    `batches` embeds and saves them (None: `embedded`, in this process).
    """
    for sink in sinks:
        sink.store()
    start, before = time.perf_counter(), sum(sink.done for sink in sinks)
    with closing(batches or embedded(sinks)) as each:
        for saved in each:
            yield take(sinks, sinks, saved, start, before)
    yield finished(sinks)


def take(
    sinks: Sequence[Sink], owners: Sequence[Sink], saved: Saved, start: float, before: int
) -> EmbeddingProgress:
    """Hand a saved batch to its owners, log it, and return the progress since `start`."""
    took = [sink for sink in owners if sink.take(saved.index, saved.state)]
    rate = (sum(sink.done for sink in sinks) - before) / max(time.perf_counter() - start, 1e-9)
    for sink in took:
        _log_batch(sink, saved.index, rate / len(sinks), saved.note)
    return progress(sinks, rate, saved.note)


def finished(sinks: Sequence[Sink]) -> EmbeddingProgress:
    """Complete the sinks that have no batch left, and return the last progress."""
    for sink in sinks:
        if sink.left:
            sink.folder.log("stopped", done=sink.done)
        else:
            sink.finish()
            sink.folder.log("finished", done=sink.done)
    if any(sink.left for sink in sinks):
        return progress(sinks, None, STOPPED)
    no_rows = not any(sink.counts[OK] + sink.counts[UNREADABLE] for sink in sinks)
    note = "No tile has enough valid pixels (see --min-valid): the table has no rows." if no_rows else ""
    return replace(progress(sinks, None, note), finished=True)


def progress(sinks: Sequence[Sink], rate: float | None, note: str = "") -> EmbeddingProgress:
    """Return the progress of all sinks together."""
    first = sinks[0]
    embedded, unreadable, empty = (int(count) for count in np.sum([sink.counts for sink in sinks], axis=0))
    done, total = sum(sink.done for sink in sinks), sum(sink.total for sink in sinks)
    seconds_left = (total - done) / rate if rate and any(sink.left for sink in sinks) else None
    return EmbeddingProgress(
        done, total, embedded, unreadable, empty, first.plan.area_km2(first.tile_px), first.batches,
        first.batch, rate, seconds_left, sum(sink.shards for sink in sinks), note=note,
    )  # fmt: skip


def _log_batch(sink: Sink, index: int, rate: float, note: str) -> None:
    values = {"rate": round(rate, 3), "done": sink.done, "unreadable": int(sink.counts[UNREADABLE])}
    sink.folder.log("batch", index=index, **values, **({"note": note} if note else {}))
