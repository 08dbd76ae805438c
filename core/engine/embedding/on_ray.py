"""An embedding run on Ray: one actor per GPU or core embeds batches, this process stores them.

Batches travel through Ray's object store, so the nodes need the sources but no shared output folder. Ray
starts a lost actor again and repeats what it was doing. A batch depends on the plan alone, so neither the
number of actors nor their losses change a byte of the table.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExplorerError, in_brief
from .. import device
from .environment import Environment
from .folder import require_same_plan
from .pipeline import Saved
from .prepare import make_sinks
from .read import Reader, TileBatch
from .sinks.table import TableSink
from .spec import EmbeddingError, EmbeddingSpec
from .store_folder import folder_at

LOCAL = "local"
IN_FLIGHT = 2
"""Batches that an actor has at one time: it reads the second while its network runs on the first."""
CONNECT_S = 10.0
REMIND_S = 300.0
"""After so long without a batch the user is told."""

Result = tuple[int, dict[str, NDArray[Any]], Environment]
"""What a sink of this number saves of a batch, and the environment that it was made with."""


@dataclass(frozen=True)
class Cluster:
    """Where a run gets its actors: the address of a cluster, or LOCAL for Ray on this machine only.

    `actors` is their number; None: one for each GPU, or for each core where there are no GPUs.
    """

    address: str = LOCAL
    actors: int | None = None

    def __post_init__(self) -> None:
        if self.actors is not None and self.actors < 1:
            raise EmbeddingError(f"A run needs at least one actor; {self.actors} is not enough.")


class BatchActor:
    """What runs in an actor: the plan of the run, laid out again on this node, and its networks.

    Ray does not tell why a constructor failed, so `read` does.
    """

    def __init__(
        self, specs: Sequence[EmbeddingSpec], plans: Sequence[dict[str, Any]], *, untrusted: bool, mix: bool
    ) -> None:
        self._asked: deque[int] = deque()
        self._problem: ExplorerError | None = None
        try:
            folders = [folder_at(spec) for spec in specs]
            self._sinks = make_sinks(specs, folders, untrusted=untrusted)
            for sink, plan in zip(self._sinks, plans, strict=True):
                require_same_plan(sink.folder.path.name, plan, sink.plan_json(), mix=mix)
                sink.may_shrink = mix
                sink.prepare()
        except ExplorerError as error:
            self._problem = error
            return
        first = self._sinks[0]
        reader = Reader(first.plan, first.tile_px, first.batch, first.spec.min_valid)
        self._batches = reader.batches(iter(self._asked.popleft, None))

    def read(self, index: int) -> TileBatch:
        """Read a batch. Always called in the same thread, which keeps the raster open."""
        if self._problem is not None:
            raise self._problem
        self._asked.append(index)
        return next(self._batches)

    def embed(self, batch: TileBatch, numbers: Sequence[int]) -> tuple[Saved, list[Result]]:
        """Run the networks of the sinks with these numbers on a batch."""
        if device.device().torch.type == "cpu":
            device.use_threads(1)
        notes: list[str] = []
        results: list[Result] = []
        for number in numbers:
            sink = self._sinks[number]
            results.append((number, sink.arrays(batch, 0, notes.append), sink.made_with))
        return Saved(batch.index, batch.state, " ".join(notes)), results


def embedded(sinks: Sequence[TableSink], cluster: Cluster, *, untrusted: bool, mix: bool) -> Generator[Saved]:
    """Embed and save the batches that are left for any of the sinks, as `pipeline.embedded` does, on Ray."""
    todo = sorted(set[int]().union(*(sink.left for sink in sinks)))
    if not todo:
        return
    ray = require_ray()
    with _connected(ray, cluster.address), _sentences(ray):
        kind, most = _units(ray)
        count = min(cluster.actors or most, len(todo))
        actors = _start(ray, count, kind, sinks, untrusted=untrusted, mix=mix)
        pool = importlib.import_module("ray.util").ActorPool(actors * IN_FLIGHT)
        submit = partial(_submit, sinks)
        ahead = iter(todo)
        for index in islice(ahead, count * IN_FLIGHT):
            pool.submit(submit, index)
        while pool.has_next():
            try:
                saved, results = pool.get_next_unordered(timeout=REMIND_S)
            except TimeoutError:
                yield Saved(-1, np.empty(0, np.uint8), _reminder(count, kind))
                continue
            for number, arrays, made_with in results:
                sinks[number].pending.save(saved.index, arrays, made_with)
            yield saved
            if not any(sink.folder.stop_requested for sink in sinks):
                for index in islice(ahead, 1):
                    pool.submit(submit, index)


def require_ray() -> Any:
    """Import Ray. Raises EmbeddingError if it is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise EmbeddingError(
            "--ray needs Ray: pip install 'earth-mae-explorer[ray]', or divide the run with --leader and "
            "--worker, which need nothing else."
        )
    return importlib.import_module("ray")


def _start(
    ray: Any, count: int, kind: str, sinks: Sequence[TableSink], *, untrusted: bool, mix: bool
) -> list[Any]:
    """Start actors, each on a unit of this kind; Ray restarts them and repeats their batches endlessly."""
    remote = ray.remote(
        num_cpus=int(kind == "CPU"),
        num_gpus=int(kind == "GPU"),
        max_restarts=-1,
        max_task_retries=-1,
        concurrency_groups={"read": 1},
    )
    actor = remote(BatchActor)
    specs = [replace(sink.spec, batch=sink.batch) for sink in sinks]
    plans = [sink.plan_json() for sink in sinks]
    return [actor.remote(specs, plans, untrusted=untrusted, mix=mix) for _ in range(count)]


def _submit(sinks: Sequence[TableSink], actor: Any, index: int) -> Any:
    """Let an actor read a batch and then embed it for the sinks that lack it."""
    numbers = [number for number, sink in enumerate(sinks) if index in sink.left]
    return actor.embed.remote(actor.read.options(concurrency_group="read").remote(index), numbers)


def _units(ray: Any) -> tuple[str, int]:
    """Return what an actor takes, "GPU" or "CPU", and how many of it there are."""
    resources = ray.cluster_resources()
    kind = "GPU" if resources.get("GPU") else "CPU"
    return kind, max(1, int(resources.get(kind, 1)))


@contextmanager
def _connected(ray: Any, address: str) -> Generator[None]:
    """Connect to a cluster, or start Ray here; a connection that this process already has is used."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use to its makers
    try:
        _require_answer(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            **({"include_dashboard": False} if address == LOCAL else {}),
        )
    except Exception as error:  # Ray raises RuntimeError, ValueError and others without a common base
        if address == LOCAL:
            raise EmbeddingError(
                f"Ray did not start on this machine ({in_brief(error)}): start the command again, or leave "
                "out --ray: one process uses all cores and GPUs."
            ) from error
        raise EmbeddingError(
            f"No Ray cluster at {address!r:.80} accepts this process ({in_brief(error, 120)}): "
            "set RAY_AUTH_MODE=token if it asks for one, start one with `ray start --head`, or use "
            "--ray local."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise OSError unless something answers at HOST:PORT, where Ray itself would wait for many minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "//" not in address:
        socket.create_connection((host, int(port)), CONNECT_S).close()


@contextmanager
def _sentences(ray: Any) -> Generator[None]:
    """Raise what went wrong in an actor as it was raised there, and other errors of Ray as EmbeddingError."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ExplorerError):
            raise error.cause from None
        raise EmbeddingError(
            f"An actor failed ({in_brief(error.cause)}): finished batches are kept; add --resume to continue."
        ) from error
    except ray.exceptions.RayError as error:
        raise EmbeddingError(
            f"Ray stopped ({in_brief(error)}): finished batches are kept; add --resume to continue."
        ) from error


def _reminder(count: int, kind: str) -> str:
    return (
        f"No batch has arrived for {REMIND_S / 60:.0f} minutes: `ray status` tells whether the cluster has "
        f"{count} free {kind}s, one for each actor."
    )
