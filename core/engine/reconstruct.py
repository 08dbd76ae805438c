"""Reconstruct masked tiles: low, high and combined images as arrays, with the ground truth and the recipe."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from ..geo.tile import Tile
from ..masking import Mask, MaskSpec, make_mask, mask_to_text
from ..models.base import Encoder, Reconstructor
from ..models.frequency import area, high_target
from ..policy import Policy, policy_to_text, warning_for
from .device import device_of, one_thread, to_numpy
from .inputs import Fed, InputError, band_warning, feed, require_side, res_of, target_of
from .prediction import Predicted, reconstruct_each
from .results import Reconstruction, ReconstructionRecipe, enlarge

UNTRAINED = (
    "This network is untrained: its weights are random, and its output is meaningless. "
    "Train it or choose a trained model."
)


def reconstruct(
    model: Encoder,
    tile: Tile,
    mask: MaskSpec | Mask,
    policy: Policy | None = None,
    *,
    size_px: int | None = None,
    repeatable: bool = False,
) -> Reconstruction:
    """Hide part of a tile and reconstruct it; the result includes the ground truth.

    The tile's centred square is resampled to `size_px` (None: the card's input size; else a multiple of its
    patch). A `MaskSpec` is drawn on the network's grid; a `Mask` must fit it. `policy` None takes the card's.
    Holes of the source are filled with the mean, counted, and left out of scores. `repeatable` computes on
    one CPU thread, so that exported files have the same bytes whatever the number of cores. Raises InputError
    for encoders without a decoder, empty tiles and masks of another grid, and PolicyError.
    """
    request = ReconstructionRequest(tile, mask, policy or Policy(model.card.default_policy), size_px)
    with one_thread(device_of(model)) if repeatable else nullcontext():
        return next(result for _, result in reconstruct_many(model, [request]))


@dataclass(frozen=True, eq=False)
class ReconstructionRequest:
    """One reconstruction to compute; its fields are the arguments of `reconstruct`."""

    tile: Tile
    mask: MaskSpec | Mask
    policy: Policy
    size_px: int | None = None


def reconstruct_many(
    model: Encoder, requests: Sequence[ReconstructionRequest]
) -> Iterator[tuple[int, Reconstruction]]:
    """Yield (index of the request, reconstruction) as they finish, inputs of one size together."""
    network = require_reconstructor(model)
    prepared = [prepare(model, each.tile, each.policy, each.size_px) for each in requests]
    masks = [mask_on_grid(each.mask, input_.grid) for each, input_ in zip(requests, prepared, strict=True)]
    for side in dict.fromkeys(input_.fed.side for input_ in prepared):
        members = [n for n, input_ in enumerate(prepared) if input_.fed.side == side]
        images = np.stack([prepared[n].fed.unit for n in members])
        hidden = np.stack([masks[n][1].hidden for n in members])
        res = [prepared[n].res for n in members]
        for indices, out in reconstruct_each(network, images, hidden, res):
            for place, member in enumerate(indices.tolist()):
                n = members[member]
                yield n, finish(network, prepared[n], requests[n].policy, masks[n], out.only(place))


def finish(
    model: Reconstructor, prepared: Prepared, policy: Policy, mask: tuple[MaskSpec, Mask], out: Predicted
) -> Reconstruction:
    """Assemble the result from a prediction (1, ...) of a prepared tile."""
    spec, cells = mask
    tile, fed = prepared.tile, prepared.fed
    truth, target = target_of(tile, fed, out.combined.shape[-1])
    recipe = _recipe(
        model, tile, fed, policy, prepared.res, mask=mask_to_text(spec), cells=cells, target=target
    )
    return _assemble(model, fed, truth, cells, out, recipe)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A tile as input of one network: `fed`, `grid` patches along its side, and the `res` of its policy."""

    tile: Tile
    fed: Fed
    grid: int
    res: float

    def truth(self, side_px: int) -> Fed:
        """Return the ground truth at the size of an output."""
        return target_of(self.tile, self.fed, side_px)[0]


def prepare(model: Encoder, tile: Tile, policy: Policy, size_px: int | None = None) -> Prepared:
    """Resample a tile to a network's input and compute its res.

    Raises InputError for a side that is not a multiple of the patch.
    """
    side = require_side(size_px or model.card.input_px, model.patch_size)
    fed = feed(tile, side)
    return Prepared(
        tile, fed, side // model.patch_size, res_of(model.card, policy, fed.tile.gsd, side, tile.native_gsd_m)
    )


def require_reconstructor(model: Encoder) -> Reconstructor:
    """Return a network that has a decoder; raises InputError for one that has none."""
    if not isinstance(model, Reconstructor):
        raise InputError(
            f"{model.card.name} is an encoder without a decoder and gives only embeddings: "
            "embed and evaluate with it, and choose a model that reconstructs here."
        )
    return model


def mask_on_grid(mask: MaskSpec | Mask, grid: int) -> tuple[MaskSpec, Mask]:
    """Create the mask on a grid of grid x grid cells, with its spec.

    Raises InputError for a mask of another grid.
    """
    if isinstance(mask, MaskSpec):
        return mask, make_mask(mask, grid, grid)
    if mask.hidden.shape != (grid, grid):
        rows, cols = mask.hidden.shape
        raise InputError(
            f"The mask has {rows} x {cols} cells, the network's grid {grid} x {grid}: "
            "create it for this grid."
        )
    return cells_spec(mask), mask


def cells_spec(mask: Mask) -> MaskSpec:
    """Return the spec that lists the hidden cells of a mask."""
    rows, cols = mask.hidden.shape
    return MaskSpec("cells", cells=tuple(np.flatnonzero(mask.hidden).tolist()), painted_on=(rows, cols))


def _assemble(
    model: Reconstructor, fed: Fed, truth: Fed, mask: Mask, out: Predicted, recipe: ReconstructionRecipe
) -> Reconstruction:
    combined = out.combined[0]
    true = torch.from_numpy(truth.unit[None])
    hidden_high = enlarge(mask.hidden, truth.side)
    return Reconstruction(
        input=fed.unit,
        low=out.low[0],
        high=out.high[0],
        combined=combined,
        pasted=np.where(hidden_high, combined, truth.unit),
        target=truth.unit,
        target_low=to_numpy(area(true, out.low.shape[-1]))[0],
        target_high=to_numpy(high_target(true, model.band_config))[0],
        hidden=enlarge(mask.hidden, fed.side),
        hidden_high=hidden_high,
        valid=fed.valid,
        valid_high=truth.valid,
        cells=mask.hidden,
        recipe=recipe,
        footprint=fed.tile.footprint,
        crs=fed.tile.crs,
        transform=fed.tile.transform,
        fill=None if out.fill is None else out.fill[0],
    )


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, importlib.metadata.version(name)) for name in ("torch", "timm", "numpy"))


def _recipe(
    model: Reconstructor,
    tile: Tile,
    fed: Fed,
    policy: Policy,
    res: float,
    *,
    mask: str,
    cells: Mask,
    target: str,
) -> ReconstructionRecipe:
    card, on = model.card, device_of(model)
    invalid = int((~fed.valid).sum())
    warnings = (
        UNTRAINED if card.weights is None else None,
        warning_for(policy, res, card.res_range),
        band_warning(tile),
        f"{invalid} of {fed.valid.size} pixels hold no data; they were filled with the mean and are left "
        "out of scores."
        if invalid
        else None,
    )
    red, green, blue = (tile.bands[band] for band in tile.rgb)
    return ReconstructionRecipe(
        model=card.name,
        family=card.family,
        weights=card.weights.sha256 if card.weights else None,
        source=tile.ref.source,
        key=tile.ref.key,
        credit=tile.credit,
        bands=(red, green, blue),
        value_range=tuple(tile.value_range[band] for band in tile.rgb),
        gsd_m=fed.tile.gsd_m,
        native_gsd_m=tile.native_gsd_m,
        input_px=fed.side,
        patch_px=card.patch_px,
        policy=policy_to_text(policy),
        res=res,
        mask=mask,
        hidden=mask_to_text(cells_spec(cells)),
        hidden_cells=int(cells.hidden.sum()),
        grid=(cells.hidden.shape[0], cells.hidden.shape[1]),
        invalid_px=invalid,
        resampling=fed.resampling,
        target=target,
        bands_from="two heads" if card.two_bands else "a filter on the single image that this model predicts",
        mean=card.mean,
        std=card.std,
        device=on.name,
        precision=on.precision,
        versions=dict(_versions()),
        notices=card.notices,
        warnings=tuple(sentence for sentence in warnings if sentence),
        centre=model.backbone.centre,
    )
