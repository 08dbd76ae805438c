"""The reconstruction protocol: hidden pixels of test images, painted by a network or by a fill, against the truth.

PSNR, SSIM and L1 are taken over the hidden pixels of the combined picture at the size that the network is fed, data range
1, clipped. The headline is the mean over images of an image's PSNR (over its crops); the PSNR of the pooled squared error
stands beside it. The high band is what is finer than a patch: a picture minus the bilinear enlargement of its patch means;
its correlation with the true one and its share of the true energy tell structure from flat colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...masking import MaskSpec, make_mask
from ..data.crops import ImageCrops, PictureSet, cut
from ..data.images import Skipped, all_skipped, area_resize
from ..errors import FeatureError
from ..recipes import EvaluationRecipe
from ..results import Result
from ..stats.intervals import Interval, bootstrap_mean
from ..stats.metrics import score
from .scoring import Scored

MAX_PSNR = (
    60.0  # about the rounding of 8-bit pixels; a plain picture filled perfectly would count as infinite
)
Paint = Callable[[NDArray[np.float32], NDArray[np.bool_], "ImageCrops"], NDArray[np.float32]]


@dataclass(frozen=True)
class Band:
    """Correlation of two high bands over hidden pixels (NaN where the truth is flat), and their energies."""

    correlation: float
    energy: float
    true_energy: float


def reconstruction_scores(
    recipe: EvaluationRecipe, pictures: PictureSet, patch_px: int, paint: Paint
) -> Generator[int, None, Scored]:
    """Score `paint(crops, hidden cells, picture)` on every test image, yielding how many are done.

    Image i hides cells by a random mask of the recipe's ratio with seed i (crop j of it: seed i + 1,000,003 j). Raises
    FeatureError for pictures that are not finite.
    """
    assert recipe.size_px is not None and recipe.ratio is not None
    rows: list[list[float]] = []
    skipped: list[Skipped] = []
    grid = recipe.size_px // patch_px
    for number, picture in enumerate(cut(pictures, recipe.size_px)):
        if isinstance(picture, Skipped):
            skipped.append(picture)
        else:
            seeds = [(recipe.seed + number + 1_000_003 * crop) % 2**32 for crop in range(len(picture.crops))]
            hidden = np.stack(
                [make_mask(MaskSpec("random", recipe.ratio, seed), grid, grid).hidden for seed in seeds]
            )
            painted = paint(picture.crops, hidden, picture)
            if not np.isfinite(painted).all():
                raise FeatureError(
                    f"Model '{recipe.model}' paints values that are not finite for image '{picture.name}'; "
                    "check its weights file, or run in float32."
                )
            pixels = hidden.repeat(patch_px, axis=1).repeat(patch_px, axis=2)
            rows.append(_image_row(painted, picture.crops, pixels, patch_px))
        yield number + 1
    if not rows:
        raise all_skipped(skipped, pictures.name)
    table = np.array(rows, dtype=np.float64)
    return Scored(_result(recipe, table, skipped), dict(zip(_FIELDS, table.T, strict=True)))


def high_band(image: NDArray[np.float32], patch_px: int) -> NDArray[np.float32]:
    """Give (c, s, s) minus the bilinear enlargement of its patch means: what is finer than a patch."""
    side = image.shape[-1]
    means = area_resize(image, side // patch_px).transpose(1, 2, 0)
    smooth = cv2.resize(means, (side, side), interpolation=cv2.INTER_LINEAR)
    return image - smooth.reshape(side, side, -1).transpose(2, 0, 1)


def compare_bands(
    painted: NDArray[np.float32], truth: NDArray[np.float32], hidden: NDArray[np.bool_], patch_px: int
) -> Band:
    """Compare the high bands of two pictures (c, s, s) over hidden pixels (s, s), true pixels pasted where visible."""
    pasted = np.where(hidden, np.clip(painted, 0, 1), truth)
    ours, true = (high_band(p, patch_px)[:, hidden].astype(np.float64).ravel() for p in (pasted, truth))
    spread = ours.std() * true.std()
    correlation = (
        float(((ours - ours.mean()) * (true - true.mean())).mean() / spread) if spread > 1e-10 else 0.0
    )
    return Band(
        correlation if true.std() > 1e-6 else math.nan, float(np.mean(ours**2)), float(np.mean(true**2))
    )


_FIELDS = ("psnr", "ssim", "l1", "squared_error", "correlation", "energy", "true_energy")


def _image_row(
    painted: NDArray[np.float32], truth: NDArray[np.float32], hidden: NDArray[np.bool_], patch_px: int
) -> list[float]:
    rows: list[list[float]] = []
    for ours, true, where in zip(painted, truth, hidden, strict=True):
        scores, band = score(ours, true, where), compare_bands(ours, true, where, patch_px)
        psnr = min(scores.psnr, MAX_PSNR)
        rows.append(
            [
                psnr,
                scores.ssim,
                scores.l1,
                10 ** (-psnr / 10),
                band.correlation,
                band.energy,
                band.true_energy,
            ]
        )
    table = np.array(rows)
    known = table[:, 4][~np.isnan(table[:, 4])]
    means = table.mean(axis=0)
    means[4] = known.mean() if known.size else math.nan
    return means.tolist()


def _result(recipe: EvaluationRecipe, table: NDArray[np.float64], skipped: list[Skipped]) -> Result:
    columns = dict(zip(_FIELDS, table.T, strict=True))
    psnr = bootstrap_mean(columns["psnr"], seed=recipe.seed)
    known = columns["correlation"][~np.isnan(columns["correlation"])]
    band = bootstrap_mean(known, seed=recipe.seed) if known.size else None
    energy = columns["true_energy"].sum()
    return Result(
        recipe,
        "psnr",
        psnr.mean,
        psnr.low,
        psnr.high,
        len(table),
        skipped=tuple(f"{s.file}: {s.reason}" for s in skipped),
        details={
            "ratio": recipe.ratio,
            "pooled_psnr": pooled_psnr(columns["squared_error"]),
            "ssim": float(columns["ssim"].mean()),
            "l1": float(columns["l1"].mean()),
            "high_band": {
                "correlation": _plain(band),
                "energy_ratio": float(columns["energy"].sum() / energy) if energy > 0 else None,
            },
        },
    )


def pooled_psnr(squared_error: NDArray[np.float64]) -> float:
    """Give the PSNR in dB of the mean squared error over images."""
    return float(-10 * math.log10(squared_error.mean()))


def _plain(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else {"mean": interval.mean, "low": interval.low, "high": interval.high}
