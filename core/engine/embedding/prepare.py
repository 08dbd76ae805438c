"""Preparing an embedding run: models, recipe, plan and batch size, and how fast the networks are here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ...atlas import TableInfo
from ...models.base import Encoder, Reconstructor
from ...models.pooling import vector_width
from ...policy import Policy, policy_from_text, policy_to_text
from .. import device
from ..loaded import load
from .folder import EmbeddingFolder
from .plan import EmbeddingPlan, make_plan
from .rows import EmbeddingRecipe
from .sinks.table import TableSink
from .sources import source_names
from .spec import EmbeddingError, EmbeddingSpec, require_tile
from .threads import network_threads

BATCH = {"cpu": 16, "mps": 64}
ACCELERATOR_BATCH = 256
CACHED_PX = 8 * 224**2
"""Largest number of pixels in a CPU batch. Larger batches no longer fit in the caches."""


def make_sinks(
    specs: Sequence[EmbeddingSpec],
    folders: Sequence[EmbeddingFolder],
    *,
    untrusted: bool,
    locks: ExitStack | None = None,
) -> list[TableSink]:
    """Load the models, lock their folders, plan and return a sink for each model.

    A batch has the size of a saved plan's, so that another device can continue the run.
    """
    sinks: list[TableSink] = []
    batch = specs[0].batch or next((size for folder in folders if (size := folder.batch)), None)
    plan: EmbeddingPlan | None = None
    for spec, folder in zip(specs, folders, strict=True):
        model = load(spec.model)
        recipe, policy = _recipe(spec, model)
        if sinks and recipe.tile_px != sinks[0].tile_px:
            raise EmbeddingError(
                f"{sinks[0].model.card.name} takes tiles of {sinks[0].tile_px} px and "
                f"{model.card.name} of {recipe.tile_px} px: "
                "choose one size for both (--tile-px), or embed with one model at a time."
            )
        if locks is not None:
            locks.enter_context(folder.locked())
        plan = plan or make_plan(spec, recipe.tile_px, untrusted=untrusted)
        batch = batch or _batch_size(recipe.tile_px)
        sinks.append(TableSink(folder, plan, recipe, policy, model, batch))
    return sinks


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


def measured_rate(sinks: Sequence[TableSink]) -> float:
    """Measure tiles per second of the networks on noise, for the estimate shown with the plan."""
    cores = device.use_threads()
    threads = network_threads()
    if threads > 1:
        device.use_threads(1)  # as each network thread does
    try:
        return threads * len(sinks) / sum(1 / sink.speed() for sink in sinks)
    finally:
        device.use_threads(cores)
