"""An embedding run divided among processes: workers embed shares of the batches, a leader makes the table.

They meet in the folder of the run only, which may be a network file system. The leader holds the lock;
workers read the plan and add finished batches. A batch depends on the plan alone, so it does not matter which
worker made it, how often, or when.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

from .folder import EmbeddingFolder
from .pipeline import EmbeddingProgress, Saved, embedded, finished, progress, take
from .share import Share
from .sinks.table import TableSink
from .spec import EmbeddingError

POLL_S = 0.5
"""How often the leader looks for new batches."""
WAIT_S = 900.0
"""How long a worker waits for its leader; tasks of a job queue start in any order."""
REMIND_S = 300.0
"""After so long without a batch the leader names the workers that have batches left."""


def collect(sinks: Sequence[TableSink], workers: int) -> Generator[EmbeddingProgress]:
    """Take the batches that workers save, until none is left; yields after each."""
    for sink in sinks:
        _require_folder(sink.folder)
        sink.folder.divide(workers)
        sink.store()
    start, before = time.perf_counter(), sum(sink.done for sink in sinks)
    quiet = start
    while any(sink.left for sink in sinks):
        for sink in sinks:
            _require_folder(sink.folder)
            for index in sorted(sink.pending.finished() & sink.left):
                if (state := sink.pending.state(index)) is not None:
                    yield take(sinks, [sink], Saved(index, state, ""), start, before)
                    quiet = time.perf_counter()
        if any(sink.folder.stop_requested for sink in sinks):
            break
        if time.perf_counter() - quiet > REMIND_S:
            quiet = time.perf_counter()
            yield progress(sinks, None, _reminder(sinks, workers))
        time.sleep(POLL_S)
    yield finished(sinks)


def wait_for_leader(
    folders: Sequence[EmbeddingFolder], share: Share, wait_s: float
) -> Generator[EmbeddingProgress]:
    """Wait until the folders are divided among the workers of a share, or complete; yields a note if it must.

    Raises EmbeddingError if that takes too long, and if they are divided among another number.
    """
    began = time.monotonic()
    announced = False
    while any(folder.workers() is None and not folder.is_complete for folder in folders):
        if time.monotonic() - began >= wait_s:
            raise EmbeddingError(
                f"No leader has started a run in {folders[0].path.name} that workers can join: start it "
                f"(--leader {share.workers}), then this worker again."
            )
        if not announced:
            announced = True
            yield replace(_NOTHING, note=f"Waiting for the leader of {folders[0].path.name} ...")
        time.sleep(POLL_S)
    for folder in folders:
        if not folder.is_complete:
            _require_share(folder, share)


def embed_share(sinks: Sequence[TableSink], share: Share) -> Generator[EmbeddingProgress]:
    """Embed the batches of a share until none is left, or until others have completed the run."""
    try:
        yield from _embed_share(sinks, share)
    except FileNotFoundError:
        if not all(sink.folder.is_complete for sink in sinks):
            raise
        yield complete(share)


def _embed_share(sinks: Sequence[TableSink], share: Share) -> Generator[EmbeddingProgress]:
    """Embed what is left; look again at the end, in case the leader found a batch damaged."""
    total = sinks[0].share_tiles(share) * len(sinks)
    for sink in sinks:
        sink.find_share(share)
    start, before = time.perf_counter(), total - _tiles_left(sinks)
    done = before
    at = replace(progress(sinks, None), done=done, total=total)
    yield at
    while any(sink.left for sink in sinks):
        with closing(embedded(sinks)) as batches:
            for saved in batches:
                for sink in sinks:
                    if saved.index in sink.left:
                        sink.left.remove(saved.index)
                        done += sink.tiles_of(saved.index)
                rate = max(done - before, 1) / max(time.perf_counter() - start, 1e-9)
                at = replace(at, done=done, rate=rate, seconds_left=(total - done) / rate, note=saved.note)
                yield at
                for sink in sinks:
                    _require_share(sink.folder, share)
        if any(sink.folder.stop_requested for sink in sinks):
            yield replace(
                at, rate=None, seconds_left=None, note="Stopped; start this worker again to continue."
            )
            return
        for sink in sinks:
            sink.find_share(share)
        done = total - _tiles_left(sinks)
    yield replace(complete(share), done=total, total=total)


def complete(share: Share) -> EmbeddingProgress:
    """Return the last progress of a worker."""
    return replace(_NOTHING, finished=True, note=f"Nothing is left for worker {share}.")


_NOTHING = EmbeddingProgress(0, 0, 0, 0, 0, 0.0, 0, 0, None, None, 0)


def _tiles_left(sinks: Sequence[TableSink]) -> int:
    return sum(sink.tiles_of(index) for sink in sinks for index in sink.left)


def _reminder(sinks: Sequence[TableSink], workers: int) -> str:
    """Say which workers have batches left."""
    idle = sorted({worker for sink in sinks for worker in sink.workers_with_work(workers)})
    names = ", ".join(f"{worker}/{workers}" for worker in idle[:20]) + (
        " and others" if len(idle) > 20 else ""
    )
    return (
        f"No batch has arrived for {REMIND_S / 60:.0f} minutes. Batches are left for --worker {names}: "
        "start those again if they have ended."
    )


def _require_folder(folder: EmbeddingFolder) -> None:
    if not folder.has_pending:
        raise FileNotFoundError(2, "No such file or directory", str(folder.pending.path))


def _require_share(folder: EmbeddingFolder, share: Share) -> None:
    """Raise EmbeddingError unless the run is still divided among the workers of a share."""
    workers = folder.workers()
    if workers == share.workers or (workers is None and folder.is_there and folder.is_complete):
        return
    if not folder.is_there:
        raise EmbeddingError(f"{folder.path.name} is gone: {folder.remedy}, then start this worker again.")
    if workers is None:
        raise EmbeddingError(
            f"{folder.path.name} is no longer divided among workers: the run is continued by one process."
        )
    raise EmbeddingError(
        f"{folder.path.name} is divided among {workers} workers and not {share.workers}: "
        f"start the workers again as 0/{workers} to {workers - 1}/{workers}."
    )
