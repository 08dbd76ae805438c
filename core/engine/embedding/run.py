"""Embedding runs: plan, run, stop and resume the embedding of rasters of any size.

One thread reads ahead (decodes, cuts, resamples). On a CPU one thread per core runs the network, each on a single core,
so that no core waits for another inside a layer; otherwise one thread per accelerator, each with its own copy. Each
finished batch is written to disk before the next one starts. Batches depend on the plan alone, so a run that was killed
ends with the same bytes after it is resumed; at most one batch per network thread is repeated.
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
"""Largest number of pixels in a CPU batch. Larger batches no longer fit in the caches."""


@dataclass(frozen=True)
class EmbeddingProgress:
    """Progress of an embedding run, in windows.

    Of `total` windows `done` are finished: `embedded`, `unreadable` (in the table without a vector) or `empty` (left
    out). `rate` is in tiles per second; it and `seconds_left` are None until measured. `finished` is true in the last
    step only. `note` is a message for the user, or empty.
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


def embed_sources(spec: EmbeddingSpec, *, resume: bool = False) -> Generator[EmbeddingProgress]:
    """Embed all sources of a spec into a folder of GeoParquet shards; yields the plan first, then after each batch.

    Closing the generator, `ask_to_stop(folder)` or a full disk stops the run, and `resume=True` continues it. Raises
    EmbeddingError, GeoError, PolicyError, and the errors of loading a model.
    """
    yield from _embed_all([spec], resume=resume)


def embed_with_models(
    spec: EmbeddingSpec, models: Sequence[str], *, resume: bool = False
) -> Generator[EmbeddingProgress]:
    """Embed the same windows with several models, reading each window once; each model has a subfolder of `spec.out`.

    Each subfolder equals what `embed_sources` writes for that model alone, and either function can resume it. Progress
    counts a window once for each model. Raises the errors of `embed_sources`, and EmbeddingError if the models need
    different tile sizes.
    """
    specs = [replace(spec, model=model, out=str(folder_of(spec.out, model))) for model in models]
    if len({one.out for one in specs}) < len(specs):
        raise EmbeddingError(
            f"Two models would write to the same folder ({', '.join(Path(one.out).name for one in specs)}): name each model once."
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
    """Lock the folders of all models and work through their plan; fills the list `runs` for the caller."""
    with ExitStack() as held:
        plan: EmbeddingPlan | None = None
        for spec in specs:
            model = load(spec.model)
            recipe, policy = _recipe(spec, model)
            if runs and recipe.tile_px != runs[0].recipe.tile_px:
                raise EmbeddingError(
                    f"{runs[0].model.card.name} takes tiles of {runs[0].recipe.tile_px} px and {model.card.name} of {recipe.tile_px} px: "
                    "choose one size for both (--tile-px), or embed with one model at a time."
                )
            folder = EmbeddingFolder(Path(spec.out))
            held.enter_context(folder.locked())
            plan = plan or make_plan(recipe.spec, recipe.tile_px)
            runs.append(TableRun(folder, plan, recipe, policy, model, spec.batch or _batch(recipe.tile_px)))
        for run in runs:
            run.folder.agree(run.plan_json(), resume=resume)
        yield from _go(runs)


def _full(runs: list[TableRun]) -> EmbeddingError:
    """Build the error for a full disk, which states how much is done."""
    done, total = (sum(getattr(run, what) for run in runs) for what in ("done", "total"))
    kept = f" after {done:,} of {total:,} tiles, which are saved" if total else ""
    return EmbeddingError(
        f"The disk is full{kept}: free some space, then {'add --resume' if total else 'start again'}."
    )


def _batch(tile_px: int) -> int:
    """Choose the batch size for the device, the same for every model, so that several can share a run."""
    kind = device.device().torch.type
    most = BATCH.get(kind, NETWORK_ALONE)
    return max(1, min(most, CACHED_PX // tile_px**2)) if kind == "cpu" else most


def _recipe(spec: EmbeddingSpec, model: Encoder) -> tuple[EmbeddingRecipe, Policy]:
    """Resolve the settings that the spec leaves to the model card."""
    card = model.card
    tile_px = require_tile(card.input_px if spec.tile_px is None else spec.tile_px, card.patch_px)
    if spec.losses and not isinstance(model, Reconstructor):
        raise EmbeddingError(
            f"{card.name} has no decoder and therefore no reconstruction loss: leave out --losses, or choose another model."
        )
    policy = policy_from_text(spec.policy) if spec.policy else Policy(card.default_policy)
    pooling = spec.pooling or card.pooling
    width = vector_width(model, pooling)
    weights = card.weights.sha256 if card.weights else None
    info = TableInfo(card.name, weights, pooling, width, spec.data_type, source_names(spec), card.licence)
    return EmbeddingRecipe(spec, info, policy_to_text(policy), tile_px), policy


def _go(runs: list[TableRun]) -> Generator[EmbeddingProgress]:
    """Run all models over one plan, continuing from what is on disk, until the end or until stopped."""
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
        yield _progress(runs, None, note="Stopped; add --resume to continue.")
        return
    none = not any(run.counts[OK] + run.counts[UNREADABLE] for run in runs)
    note = "No tile has enough valid pixels (see --min-valid): the table has no rows." if none else ""
    yield replace(_progress(runs, None, note=note), finished=True)


def _measured(runs: list[TableRun]) -> float:
    """Measure tiles per second of the networks on noise, for the estimate shown with the plan."""
    cores = device.use_threads()
    workers = network_threads()
    if workers > 1:
        device.use_threads(1)  # as each worker does
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
