"""The GSD protocol: hidden pixels reconstructed under the true GSD, and under one wrong by a factor of four.

The metric, `gsd_gain`, is the PSNR in dB over hidden pixels under the true GSD minus the mean of those under
four times and a quarter of it, paired by image. The policy turns every GSD into res, limits included. A
network that ignores its GSD gains nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..data.crops import ImageCrops, PictureSet
from ..data.images import Skipped
from ..recipes import EvaluationRecipe
from ..results import Result
from ..stats.intervals import bootstrap_mean
from ..stats.metrics import psnr
from .reconstruction import MAX_PSNR, ReconstructCrops, checked, image_rows
from .scoring import Arrays, Scored

GSD_GAIN = "gsd_gain"
WRONG_BY = 4.0
FACTORS = {"right": 1.0, "coarser": WRONG_BY, "finer": 1 / WRONG_BY}
"""The stated GSD over the true one, by the names that details and arrays use."""


def gsd_scores(
    recipe: EvaluationRecipe, pictures: PictureSet, patch_px: int, reconstruct: ReconstructCrops
) -> Generator[int, None, Scored]:
    """Score every test image under three GSDs and the same masks, and yield how many are done.

    Raises FeatureError for values that are not finite.
    """

    def row(picture: ImageCrops, hidden: NDArray[np.bool_]) -> list[float]:
        stated = [replace(picture, gsd_m=picture.gsd_m * factor) for factor in FACTORS.values()]
        found = [checked(reconstruct(each.crops, hidden, each), recipe, each) for each in stated]
        return [_mean_psnr(each, picture, hidden, patch_px) for each in found]

    table, names, skipped = yield from image_rows(recipe, pictures, patch_px, row)
    arrays: Arrays = {"names": np.array(names), **dict(zip(FACTORS, table.T, strict=True))}
    arrays["gain"] = arrays["right"] - (arrays["coarser"] + arrays["finer"]) / 2
    return Scored(_result(recipe, arrays, skipped), arrays)


def _mean_psnr(
    reconstructed: NDArray[np.float32], picture: ImageCrops, hidden: NDArray[np.bool_], patch_px: int
) -> float:
    """Return the mean PSNR of an image's crops, each over its hidden pixels."""
    pixels = picture.scored_px(hidden, patch_px)
    crops = zip(reconstructed, picture.crops, pixels, strict=True)
    return float(np.mean([min(psnr(ours, true, where), MAX_PSNR) for ours, true, where in crops]))


def _result(recipe: EvaluationRecipe, arrays: Arrays, skipped: list[Skipped]) -> Result:
    gain = bootstrap_mean(arrays["gain"], seed=recipe.seed)
    against = {
        wrong: bootstrap_mean(arrays["right"] - arrays[wrong], seed=recipe.seed)
        for wrong in ("coarser", "finer")
    }
    details = {
        "ratio": recipe.ratio,
        "wrong_by": WRONG_BY,
        "psnr": {name: float(arrays[name].mean()) for name in FACTORS},
        "gain_over": {name: found.plain() for name, found in against.items()},
    }
    return Result(
        recipe,
        GSD_GAIN,
        gain.mean,
        gain.low,
        gain.high,
        len(arrays["gain"]),
        skipped=tuple(f"{s.file}: {s.reason}" for s in skipped),
        details=details,
    )
