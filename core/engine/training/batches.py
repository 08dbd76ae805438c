"""What one training step sees: crops, masks and res, a pure function of the spec and the step's number."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geo.crops import draw_crops
from ...geo.imagery import Imagery
from ...masking import MaskSpec, make_mask
from ...policy import Policy, res_for
from .runs import TrainSpec


@dataclass(frozen=True)
class Draw:
    """One step's pictures before the device: uint8 (n, 3, t, t) at target size, input side, visible
    positions, res."""

    pixels: NDArray[np.uint8]
    side_px: int
    keep: NDArray[np.int64]
    res: NDArray[np.float32]


def draw_batch(
    spec: TrainSpec,
    imagery: tuple[Imagery, ...],
    patch_px: int,
    enlarge: int,
    step: int,
    rank: int = 0,
    world: int = 1,
    workers: Executor | None = None,
) -> Draw:
    """The pictures, masks and res of one step for one of `world` processes.

    `enlarge` is target side over input side where the spec names no targets; `workers` cut crops in parallel.
    """
    rng = np.random.default_rng([spec.seed, 7, step])
    shares = np.array(spec.side_shares) / sum(spec.side_shares)
    which = int(rng.choice(len(spec.sides_px), p=shares))
    side = spec.sides_px[which]
    target = spec.targets_px[which] if spec.targets_px else side * enlarge
    count = max(world, round(spec.batch * (spec.sides_px[0] / side) ** 2))
    crops = draw_crops(
        imagery,
        target,
        spec.seed,
        step,
        range(rank, count, world),
        coarser=spec.coarser or None,
        workers=workers,
    )
    policy = Policy(spec.policy)
    res = [
        res_for(
            policy,
            gsd_m=float(gsd) * target / side,
            input_px=side,
            native_gsd_m=float(native) * spec.native_factor,
        )
        for gsd, native in zip(crops.gsd_m, crops.native_gsd_m, strict=True)
    ]
    keep = _draw_masks(spec, rng, side // patch_px, count)[rank::world]
    pixels = crops.pixels.transpose(0, 3, 1, 2)
    if spec.shuffled_bands:
        order = _draw_band_orders(rng, count, pixels.shape[1], spec.shuffled_bands)[rank::world]
        pixels = np.take_along_axis(pixels, order[:, :, None, None], axis=1)
    return Draw(np.ascontiguousarray(pixels), side, keep, np.array(res, np.float32))


def _draw_band_orders(rng: np.random.Generator, count: int, bands: int, share: float) -> NDArray[np.int64]:
    """An order of the bands for each crop, (count, bands): random for a `share` of them, else as they are."""
    kept = np.tile(np.arange(bands), (count, 1))
    return np.where(rng.random((count, 1)) < share, rng.permuted(kept, axis=1), kept)


def _draw_masks(spec: TrainSpec, rng: np.random.Generator, grid: int, count: int) -> NDArray[np.int64]:
    ratio = float(rng.choice(spec.ratios))
    kinds, shares = zip(*spec.mask_kinds, strict=True)
    kind = str(rng.choice(kinds, p=np.array(shares) / sum(shares)))
    visible = max(1, round(grid * grid * (1 - ratio)))
    if kind == "random":
        return rng.random((count, grid * grid)).argsort(axis=1, kind="stable")[:, :visible]
    masks = [
        make_mask(MaskSpec(kind, ratio, int(rng.integers(2**31))), grid, grid).keep for _ in range(count)
    ]
    shortest = min(len(keep) for keep in masks)
    return np.stack([rng.permutation(keep)[:shortest] for keep in masks])
