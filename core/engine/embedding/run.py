"""Embedding runs: plan, run, stop and resume the embedding of rasters of any size.

`embed_sources` and `embed_with_models` write tables, `embed_patches` writes patch rasters; `pipeline` does
the work for all of them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ...atlas import TableInfo
from ...models.base import Encoder, Reconstructor
from ...models.pooling import vector_width
from ...policy import Policy, policy_from_text, policy_to_text
from .. import device
from ..loaded import load
from .digests import modified_since
from .folder import EmbeddingFolder, is_disk_full
from .pipeline import EmbeddingProgress, process, progress
from .plan import EmbeddingPlan, make_plan
from .rows import EmbeddingRecipe
from .sinks.patch_folder import PatchProgress, embed_patches
from .sinks.table import TableSink
from .sources import source_names
from .spec import EmbeddingError, EmbeddingSpec, folder_of, require_tile
from .workers import network_threads

BATCH = {"cpu": 16, "mps": 64}
ACCELERATOR_BATCH = 256
CACHED_PX = 8 * 224**2
"""Largest number of pixels in a CPU batch. Larger batches no longer fit in the caches."""

__all__ = ["EmbeddingProgress", "PatchProgress", "embed_patches", "embed_sources", "embed_with_models"]


def embed_sources(
    spec: EmbeddingSpec, *, resume: bool = False, untrusted: bool = False
) -> Generator[EmbeddingProgress]:
    """Embed all sources of a spec into a folder of GeoParquet shards; yields the plan, then after each batch.

    Closing the generator, `ask_to_stop(folder)` or a full disk stops the run, and `resume=True` continues it.
    Files named by path are decoded in a child process with limits on time and memory if they are `untrusted`.
    Raises EmbeddingError, GeoError, PolicyError, and the errors of loading a model.
    """
    yield from _embed_all([spec], resume=resume, untrusted=untrusted)


def embed_with_models(
    spec: EmbeddingSpec, models: Sequence[str], *, resume: bool = False, untrusted: bool = False
) -> Generator[EmbeddingProgress]:
    """Embed the same windows with several models, each into a subfolder of `spec.out`; windows are read once.

    Each subfolder equals what `embed_sources` writes for that model alone, and either function can resume it.
    Progress counts a window once for each model. Raises the errors of `embed_sources`, and EmbeddingError if
    the models need different tile sizes.
    """
    specs = [replace(spec, model=model, out=str(folder_of(spec.out, model))) for model in models]
    if len({each.out for each in specs}) < len(specs):
        names = ", ".join(Path(each.out).name for each in specs)
        raise EmbeddingError(f"Two models would write to the same folder ({names}): name each model once.")
    yield from _embed_all(specs, resume=resume, untrusted=untrusted)


def _embed_all(
    specs: Sequence[EmbeddingSpec], *, resume: bool, untrusted: bool
) -> Generator[EmbeddingProgress]:
    """Lock the folders of all models, plan, and work through the plan."""
    sinks: list[TableSink] = []
    try:
        with ExitStack() as locks:
            plan: EmbeddingPlan | None = None
            for spec in specs:
                model = load(spec.model)
                recipe, policy = _recipe(spec, model)
                if sinks and recipe.tile_px != sinks[0].tile_px:
                    raise EmbeddingError(
                        f"{sinks[0].model.card.name} takes tiles of {sinks[0].tile_px} px and "
                        f"{model.card.name} of {recipe.tile_px} px: "
                        "choose one size for both (--tile-px), or embed with one model at a time."
                    )
                folder = EmbeddingFolder(Path(spec.out))
                locks.enter_context(folder.locked())
                plan = plan or make_plan(spec, recipe.tile_px, untrusted=untrusted)
                batch = spec.batch or _batch_size(recipe.tile_px)
                sinks.append(TableSink(folder, plan, recipe, policy, model, batch))
            for sink in sinks:
                sink.folder.agree(sink.plan_json(), resume=resume)
            yield from _run(sinks)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise _disk_full(sinks) from error


def _run(sinks: list[TableSink]) -> Generator[EmbeddingProgress]:
    """Yield the plan and the expected time, then continue from what is on disk."""
    for sink in sinks:
        sink.start()
    plan = sinks[0].plan
    modified = modified_since(plan.sampled, min(sink.folder.started for sink in sinks))
    notes = [*plan.notes, *modified, *(sink.note for sink in sinks if sink.note)]
    yield progress(sinks, None, " ".join(notes))
    yield progress(sinks, _measure_rate(sinks) if any(sink.left for sink in sinks) else None)
    yield from process(sinks)


def _disk_full(sinks: list[TableSink]) -> EmbeddingError:
    """Build the error for a full disk, which states how much is done."""
    total = sum(sink.total for sink in sinks)
    if not total:
        return EmbeddingError("The disk is full: free some space, then start again.")
    done = sum(sink.done for sink in sinks)
    return EmbeddingError(
        f"The disk is full after {done:,} of {total:,} tiles, which are saved: "
        "free some space, then add --resume."
    )


def _batch_size(tile_px: int) -> int:
    """Choose the batch size for the device, the same for every model, so that several can share a run."""
    kind = device.device().torch.type
    most = BATCH.get(kind, ACCELERATOR_BATCH)
    return max(1, min(most, CACHED_PX // tile_px**2)) if kind == "cpu" else most


def _recipe(spec: EmbeddingSpec, model: Encoder) -> tuple[EmbeddingRecipe, Policy]:
    """Resolve the settings that the spec leaves to the model card."""
    card = model.card
    tile_px = require_tile(card.input_px if spec.tile_px is None else spec.tile_px, card.patch_px)
    if spec.losses and not isinstance(model, Reconstructor):
        raise EmbeddingError(
            f"{card.name} has no decoder and therefore no reconstruction loss: "
            "leave out --losses, or choose another model."
        )
    policy = policy_from_text(spec.policy) if spec.policy else Policy(card.default_policy)
    pooling = spec.pooling or card.pooling
    width = vector_width(model, pooling)
    weights = card.weights.sha256 if card.weights else None
    info = TableInfo(card.name, weights, pooling, width, spec.data_type, source_names(spec), card.licence)
    return EmbeddingRecipe(spec, info, policy_to_text(policy), tile_px), policy


def _measure_rate(sinks: list[TableSink]) -> float:
    """Measure tiles per second of the networks on noise, for the estimate shown with the plan."""
    cores = device.use_threads()
    threads = network_threads()
    if threads > 1:
        device.use_threads(1)  # as each network thread does
    try:
        return threads * len(sinks) / sum(1 / sink.speed() for sink in sinks)
    finally:
        device.use_threads(cores)
