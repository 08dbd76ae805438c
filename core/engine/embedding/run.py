"""A raster of any size becomes shards of vectors, at the speed of the network: plan, run, stop, resume.

One thread reads (decodes, cuts, resamples) ahead; as many threads as there are cores run the network, one core each, so that no core waits for
another inside a layer, or one for each accelerator, with a network of its own; every finished batch is put on disk before the next is
begun. Batches are cut from the plan alone, so a sweep that was killed anywhere goes on to the very same bytes; what it repeats is the batch that
each network thread had in hand, one for each at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...atlas import TableInfo
from ...models.base import Encoder, Reconstructor
from ...models.pooling import vector_width
from ...policy import Policy, policy_from_text, policy_to_text
from .. import device
from ..loaded import load
from .folder import EmbeddingFolder, ran_full
from .plan import EmbeddingPlan, make_plan
from .read import OK, UNREADABLE, Reader, TileBatch
from .rows import EmbeddingRecipe
from .sinks.table import TableRun
from .sources import source_names, written_since
from .spec import EmbeddingError, EmbeddingSpec, folder_of, require_tile
from .workers import Workers, network_threads

BATCH = {"cpu": 16, "mps": 64}
NETWORK_ALONE = 256
CACHED_PX = 8 * 224**2
"""On a CPU a batch holds no more pixels than this: past it the network leaves the caches, and the cores wait longer for the last batch."""


@dataclass(frozen=True)
class EmbeddingProgress:
    """Where a sweep stands: windows `done` of `total`, of which `unreadable` were marked and `empty` left out; `rate` in tiles per second and
    `seconds_left`, None until measured; `batch` size; `finished` only at the very end; `note` a sentence when something happened."""

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
        """The ground that the tiles cover, in words: unknown where no picture says how much a pixel covers."""
        return f"{self.area_km2:,.1f} km²" if self.area_km2 else "an unknown area"


def embed_sources(spec: EmbeddingSpec, *, resume: bool = False) -> Generator[EmbeddingProgress]:
    """Embed everything that a spec names into a folder of GeoParquet shards; yields the plan first, then after every batch.

    Closing the generator, `ask_to_stop(folder)` or a full disk stops it so that `resume=True` goes on. Raises EmbeddingError, GeoError, PolicyError, and
    what loading the model raises.
    """
    yield from _embed_all([spec], resume=resume)


def embed_with_models(
    spec: EmbeddingSpec, models: Sequence[str], *, resume: bool = False
) -> Generator[EmbeddingProgress]:
    """Embed the same windows with several models, every window read once: one folder for each model inside that of the spec.

    Each folder is what `sweep` with that model alone would have written, and either goes on with the other's. Progress counts a window once for
    each model. Raises as `sweep` does, and EmbeddingError where the models' cards do not agree on the tile.
    """
    specs = [replace(spec, model=model, out=str(folder_of(spec.out, model))) for model in models]
    if len({one.out for one in specs}) < len(specs):
        raise EmbeddingError(
            f"Two of the models would share one folder ({', '.join(Path(one.out).name for one in specs)}): name each model once."
        )
    yield from _embed_all(specs, resume=resume)


def _embed_all(specs: Sequence[EmbeddingSpec], *, resume: bool) -> Generator[EmbeddingProgress]:
    runs: list[TableRun] = []
    try:
        yield from _held(specs, runs, resume=resume)
    except OSError as error:
        if not ran_full(error):
            raise
        raise _full(runs) from error


def _held(
    specs: Sequence[EmbeddingSpec], runs: list[TableRun], *, resume: bool
) -> Generator[EmbeddingProgress]:
    """Hold the folders of all models and work through their plan; `runs` are told as soon as they are known."""
    with ExitStack() as held:
        plan: EmbeddingPlan | None = None
        for spec in specs:
            model = load(spec.model)
            recipe, policy = _recipe(spec, model)
            if runs and recipe.tile_px != runs[0].recipe.tile_px:
                raise EmbeddingError(
                    f"{runs[0].model.card.name} takes tiles of {runs[0].recipe.tile_px} px and {model.card.name} of {recipe.tile_px} px: "
                    "state one size for both (--tile-px), or embed with one after the other."
                )
            folder = EmbeddingFolder(Path(spec.out))
            held.enter_context(folder.locked())
            plan = plan or make_plan(recipe.spec, recipe.tile_px)
            runs.append(TableRun(folder, plan, recipe, policy, model, spec.batch or _batch(recipe.tile_px)))
        for run in runs:
            run.folder.agree(run.plan_json(), resume=resume)
        yield from _go(runs)


def _full(runs: list[TableRun]) -> EmbeddingError:
    """Say that the disk is full, and what is kept."""
    done, total = (sum(getattr(run, what) for run in runs) for what in ("done", "total"))
    kept = f" after {done:,} of {total:,} tiles, which are kept" if total else ""
    return EmbeddingError(
        f"The disk is full{kept}: free some space, then {'add --resume' if total else 'start again'}."
    )


def _batch(tile_px: int) -> int:
    """How many tiles the device takes at once, where the spec leaves it open; the same for every model, so that several can share a pass."""
    kind = device.device().torch.type
    most = BATCH.get(kind, NETWORK_ALONE)
    return max(1, min(most, CACHED_PX // tile_px**2)) if kind == "cpu" else most


def _recipe(spec: EmbeddingSpec, model: Encoder) -> tuple[EmbeddingRecipe, Policy]:
    """Settle what the spec leaves to the model's card."""
    card = model.card
    tile_px = require_tile(card.input_px if spec.tile_px is None else spec.tile_px, card.patch_px)
    if spec.losses and not isinstance(model, Reconstructor):
        raise EmbeddingError(
            f"{card.name} is an encoder without a decoder, so it has no reconstruction loss: leave the losses out, or choose another model."
        )
    policy = policy_from_text(spec.policy) if spec.policy else Policy(card.default_policy)
    pooling = spec.pooling or card.pooling
    width = vector_width(model, pooling)
    weights = card.weights.sha256 if card.weights else None
    info = TableInfo(card.name, weights, pooling, width, spec.data_type, source_names(spec), card.licence)
    return EmbeddingRecipe(spec, info, policy_to_text(policy), tile_px), policy


def _go(runs: list[TableRun]) -> Generator[EmbeddingProgress]:
    """Work through one plan with all models, from what is on disk to the end or to wherever it is stopped."""
    for run in runs:
        run.start()
    changed = written_since(runs[0].plan.sampled, min(run.folder.began for run in runs))
    yield _progress(
        runs, None, note=" ".join([*runs[0].plan.notes, *changed, *(run.said for run in runs if run.said)])
    )
    rate = _measured(runs) if any(run.left for run in runs) else None
    yield _progress(runs, rate)
    yield from _work(runs)


def _work(runs: list[TableRun]) -> Generator[EmbeddingProgress]:
    for run in runs:
        run.seal({index // run.per_shard for index in run.waiting})
    todo = sorted(set[int]().union(*(run.left for run in runs)))
    began, before = time.perf_counter(), sum(run.done for run in runs)
    first = runs[0]

    def embed_all(batch: TileBatch, thread: int, say: Callable[[str], None]) -> None:
        for run in runs:
            if batch.index in run.left:
                run.embed(batch, thread, say)

    reader = Reader(first.plan, first.recipe.tile_px, first.batch, first.recipe.spec.min_valid)
    with Workers(reader.batches(iter(todo)), embed_all, len(todo)) as workers:
        for index, state in workers.finished():
            theirs = [run for run in runs if run.take(index, state)]
            rate = (sum(run.done for run in runs) - before) / max(time.perf_counter() - began, 1e-9)
            note = workers.said()
            for run in theirs:
                run.log_batch(index, rate / len(runs), note)
            yield _progress(runs, rate, note=note)
            if any(run.folder.asked_to_stop for run in runs):
                workers.stop()
    ended = [run.end() for run in runs]
    if not all(ended):
        yield _progress(runs, None, note="Stopped as asked; add --resume to go on.")
        return
    none = not any(run.counts[OK] + run.counts[UNREADABLE] for run in runs)
    note = (
        "No tile holds data (nodata, or less of it known than the least share asked for): the table has no rows."
        if none
        else ""
    )
    yield replace(_progress(runs, None, note=note), finished=True)


def _measured(runs: list[TableRun]) -> float:
    """Measure tiles per second of the networks on noise, for the estimate that comes with the plan."""
    cores = device.use_threads()
    workers = network_threads()
    if workers > 1:
        device.use_threads(1)  # as each of the workers will
    try:
        return workers * len(runs) / sum(1 / run.pace() for run in runs)
    finally:
        device.use_threads(cores)


def _progress(runs: list[TableRun], rate: float | None, note: str = "") -> EmbeddingProgress:
    first = runs[0]
    embedded, unreadable, empty = (int(n) for n in np.sum([run.counts for run in runs], axis=0))
    done, total = sum(run.done for run in runs), sum(run.total for run in runs)
    seconds = (total - done) / rate if rate and any(run.left for run in runs) else None
    return EmbeddingProgress(
        done, total, embedded, unreadable, empty, first.plan.area_km2(first.recipe.tile_px), first.batches, first.batch, rate, seconds,
        sum(len(run.shards) for run in runs), note=note,
    )  # fmt: skip
