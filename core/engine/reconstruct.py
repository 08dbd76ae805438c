"""Reconstruct masked tiles: low, high and combined images as arrays, with the ground truth and the recipe."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geo.tile import Tile
from ..masking import Mask, MaskSpec, make_mask, mask_to_text
from ..models.base import Encoder, Reconstructor
from ..models.frequency import area, bilinear, high_target
from ..policy import Policy, policy_to_text, warning_for
from .device import Device, Pace, device_of, fitting_batches, one_thread, precision, to_device, to_numpy
from .inputs import Fed, InputError, band_warning, feed, normalised, require_side, res_of, target_of
from .results import ON_FILL, Reconstruction, ReconstructionRecipe, enlarge

Pictures = NDArray[np.float32]
BATCH = {
    "cpu": 4,
    "mps": 16,
}  # largest batch tried: on few cores larger feature maps fall out of the cache
UNTRAINED = (
    "This network is untrained: its weights are random, and its output is meaningless. "
    "Train it or choose a trained model."
)


@dataclass(frozen=True, eq=False)
class Predicted:
    """Pictures for n inputs: `low` (n, 3, s, s) and `combined` (n, 3, t, t) in 0..1, not clipped.

    `high` (n, 3, t, t) signed.

    `fill` (n, 3, t, t) is the fill that the network worked on top of, None where it did not.
    """

    low: Pictures
    high: Pictures
    combined: Pictures
    fill: Pictures | None = None

    def only(self, n: int) -> Predicted:
        """The pictures of the n-th input, (1, ...) each."""
        one = slice(n, n + 1)
        fill = None if self.fill is None else self.fill[one]
        return Predicted(self.low[one], self.high[one], self.combined[one], fill)


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
    wanted = ReconstructionRequest(tile, mask, policy or Policy(model.card.default_policy), size_px)
    with one_thread(device_of(model)) if repeatable else nullcontext():
        return next(made for _, made in reconstruct_many(model, [wanted]))


@dataclass(frozen=True, eq=False)
class ReconstructionRequest:
    """One reconstruction to compute; its fields are the arguments of `reconstruct`."""

    tile: Tile
    mask: MaskSpec | Mask
    policy: Policy
    size_px: int | None = None


def reconstruct_many(
    model: Encoder, wanted: Sequence[ReconstructionRequest]
) -> Iterator[tuple[int, Reconstruction]]:
    """Yield (index into `wanted`, reconstruction) as they finish: inputs of one size, in the fastest batch
    size of the device."""
    painter = require_reconstructor(model)
    ready = [prepare(model, each.tile, each.policy, each.size_px) for each in wanted]
    drawn = [draw(each.mask, at.grid) for each, at in zip(wanted, ready, strict=True)]
    for side in dict.fromkeys(at.fed.side for at in ready):
        members = [n for n, at in enumerate(ready) if at.fed.side == side]
        images = np.stack([ready[n].fed.unit for n in members])
        hidden = np.stack([drawn[n][1].hidden for n in members])
        for which, out in reconstruct_each(painter, images, hidden, [ready[n].res for n in members]):
            for place, member in enumerate(which.tolist()):
                n = members[member]
                yield n, finish(painter, ready[n], wanted[n].policy, drawn[n], out.only(place))


def finish(
    model: Reconstructor, ready: Prepared, policy: Policy, drawn: tuple[MaskSpec, Mask], out: Predicted
) -> Reconstruction:
    """Assemble the result from a prediction (1, ...) of a prepared tile, with the ground truth and the
    recipe."""
    spec, mask = drawn
    truth, said = target_of(ready.tile, ready.fed, out.combined.shape[-1])
    recipe = _recipe(
        model, ready.tile, ready.fed, policy, ready.res, mask=mask_to_text(spec), cells=mask, target=said
    )
    return _assemble(model, ready.fed, truth, mask, out, recipe)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A tile as input of one network: `fed` at its side, `grid` patches along that side, and the `res` of
    its policy."""

    tile: Tile
    fed: Fed
    grid: int
    res: float

    def truth(self, side_px: int) -> Fed:
        """The ground truth at the size of an output."""
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
            "choose a model that reconstructs."
        )
    return model


def draw(mask: MaskSpec | Mask, grid: int) -> tuple[MaskSpec, Mask]:
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
    """The spec that lists the hidden cells of a mask."""
    rows, cols = mask.hidden.shape
    return MaskSpec("cells", cells=tuple(np.flatnonzero(mask.hidden).tolist()), painted_on=(rows, cols))


def reconstruct_batch(
    model: Reconstructor,
    images: Pictures,
    hidden: NDArray[np.bool_],
    res: Sequence[float] | NDArray[np.float64],
) -> Predicted:
    """Reconstruct n inputs, in their order: images (n, 3, s, s) in 0..1, hidden (n, g, g), res (n,)."""
    done = list(reconstruct_each(model, images, hidden, res))
    order = np.argsort(np.concatenate([which for which, _ in done]))
    bands = ((p.low, p.high, p.combined) for _, p in done)
    low, high, combined = (np.concatenate(band)[order] for band in zip(*bands, strict=True))
    fills = [p.fill for _, p in done if p.fill is not None]
    return Predicted(low, high, combined, np.concatenate(fills)[order] if fills else None)


def reconstruct_each(
    model: Reconstructor,
    images: Pictures,
    hidden: NDArray[np.bool_],
    res: Sequence[float] | NDArray[np.float64],
    *,
    batch: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[tuple[NDArray[np.int64], Predicted]]:
    """Yield (indices of the inputs, predictions) in batches that fit the device.

    Inputs with equally many visible patches go together. `images` may hold a single picture for all masks:
    (1, 3, s, s).
    """
    on = device_of(model)
    values = np.asarray(res, np.float32)
    counts = (~hidden).sum(axis=(1, 2))
    for count in np.unique(counts):
        members = np.flatnonzero(counts == count)

        def work(piece: slice, members: NDArray[np.int64] = members) -> Predicted:
            which = members[piece]
            pictures = images if len(images) == 1 else images[which]
            return _run(model, on, pictures, hidden[which], values[which])

        most, key = BATCH.get(on.torch.type, 64), (model.card.name, images.shape[-1])
        pace = None if batch else Pace((on.torch.type, *key), most)
        for piece, predicted in fitting_batches(
            work, len(members), start=batch or most, key=key, say=say, pace=pace
        ):
            yield members[piece], predicted


def _run(
    model: Reconstructor, on: Device, images: Pictures, hidden: NDArray[np.bool_], res: NDArray[np.float32]
) -> Predicted:
    n = len(hidden)
    keep = np.stack([np.flatnonzero(~cells) for cells in hidden]).astype(np.int64)
    pictures = np.broadcast_to(normalised(images, model.card), (n, *images.shape[1:]))
    with torch.inference_mode(), precision(on):
        out = model.reconstruct(to_device(pictures, on), to_device(res, on), to_device(keep, on))
    side, twice = images.shape[-1], images.shape[-1] * (2 if model.card.two_bands else 1)
    low, high, combined = (
        _fit(picture, wanted)
        for picture, wanted in ((out.low, side), (out.high, twice), (out.combined, twice))
    )
    fill = to_numpy(_fit(out.base, twice)) if model.backbone.centre == ON_FILL else None
    return Predicted(to_numpy(low), to_numpy(high), to_numpy(combined), fill)


def _fit(pictures: Tensor, side: int) -> Tensor:
    """Resize output of heads made for another patch size, so that it aligns with the tile."""
    if pictures.shape[-1] == side:
        return pictures
    return area(pictures, side) if pictures.shape[-1] > side else bilinear(pictures, side)


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
