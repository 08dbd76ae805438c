"""The reconstruction protocol: hidden pixels of test images, reconstructed by a network or a fill.

PSNR, SSIM and L1 are computed over the hidden pixels of the combined image at the network's input size,
clipped to 0..1. The main metric is the mean PSNR of the images (each over its crops); the PSNR of the pooled
squared error is reported too. The high band is the detail finer than a patch: an image minus the bilinear
enlargement of its patch means. Its correlation with the true one and its energy show whether a reconstruction
has structure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...masking import MaskSpec, make_mask
from ..data.crops import ImageCrops, PictureSet, cut
from ..data.images import Skipped, all_skipped, area_resize
from ..errors import FeatureError
from ..recipes import EvaluationRecipe
from ..results import Result
from ..stats.intervals import bootstrap_mean
from ..stats.metrics import score
from .scoring import Arrays, Scored

MAX_PSNR = 60.0  # dB, about the rounding of 8-bit pixels; a perfect fill would be infinite
ReconstructCrops = Callable[[NDArray[np.float32], NDArray[np.bool_], ImageCrops], NDArray[np.float32]]
"""From crops (n, 3, s, s), hidden patches (n, g, g) and their image to reconstructions (n, 3, s, s)."""


@dataclass(frozen=True)
class Band:
    """Correlation of two high bands over hidden pixels (NaN if the truth is flat), and their energies."""

    correlation: float
    energy: float
    true_energy: float


def reconstruction_scores(
    recipe: EvaluationRecipe, pictures: PictureSet, patch_px: int, reconstruct: ReconstructCrops
) -> Generator[int, None, Scored]:
    """Score `reconstruct` on every test image, and yield how many are done.

    Image i is masked at random with the recipe's ratio and seed i (its crop j: seed i + 1,000,003 j). Raises
    FeatureError for values that are not finite.
    """

    def row(picture: ImageCrops, hidden: NDArray[np.bool_]) -> list[float]:
        reconstructed = checked(reconstruct(picture.crops, hidden, picture), recipe, picture)
        return _image_row(reconstructed, picture.crops, picture.scored_px(hidden, patch_px), patch_px)

    table, names, skipped = yield from image_rows(recipe, pictures, patch_px, row)
    arrays: Arrays = {"names": np.array(names), **dict(zip(_FIELDS, table.T, strict=True))}
    return Scored(_result(recipe, table, skipped), arrays)


def image_rows(
    recipe: EvaluationRecipe,
    pictures: PictureSet,
    patch_px: int,
    row: Callable[[ImageCrops, NDArray[np.bool_]], list[float]],
) -> Generator[int, None, tuple[NDArray[np.float64], list[str], list[Skipped]]]:
    """Score every readable image by `row`, given its crops and hidden patches; yield how many are done.

    Returns the rows (images, scores), the names of the images, and the skipped ones. Raises FeatureError if
    no image can be read.
    """
    assert recipe.size_px is not None
    rows: list[list[float]] = []
    names: list[str] = []
    skipped: list[Skipped] = []
    grid = recipe.size_px // patch_px
    for number, picture in enumerate(cut(pictures, recipe.size_px)):
        if isinstance(picture, Skipped):
            skipped.append(picture)
        else:
            rows.append(row(picture, hidden_patches(recipe, number, len(picture.crops), grid)))
            names.append(picture.name)
        yield number + 1
    if not rows:
        raise all_skipped(skipped, pictures.name)
    return np.array(rows, dtype=np.float64), names, skipped


def hidden_patches(recipe: EvaluationRecipe, number: int, crops: int, grid: int) -> NDArray[np.bool_]:
    """Return the random masks (crops, grid, grid) of the image `number`, one for each of its crops."""
    assert recipe.ratio is not None
    seeds = [(recipe.seed + number + 1_000_003 * crop) % 2**32 for crop in range(crops)]
    return np.stack([make_mask(MaskSpec("random", recipe.ratio, seed), grid, grid).hidden for seed in seeds])


def checked(
    reconstructed: NDArray[np.float32], recipe: EvaluationRecipe, picture: ImageCrops
) -> NDArray[np.float32]:
    """Return reconstructions as they are. Raises FeatureError for values that are not finite."""
    if not np.isfinite(reconstructed).all():
        raise FeatureError(
            f"Model '{recipe.model}' gives values that are not finite for image '{picture.name}'; "
            "check its weights file, or run in float32."
        )
    return reconstructed


def high_band(image: NDArray[np.float32], patch_px: int) -> NDArray[np.float32]:
    """Return the detail finer than a patch: an image (c, s, s) minus its enlarged patch means."""
    side = image.shape[-1]
    means = area_resize(image, side // patch_px).transpose(1, 2, 0)
    smooth = cv2.resize(means, (side, side), interpolation=cv2.INTER_LINEAR)
    return image - smooth.reshape(side, side, -1).transpose(2, 0, 1)


def compare_bands(
    pred: NDArray[np.float32], truth: NDArray[np.float32], hidden: NDArray[np.bool_], patch_px: int
) -> Band:
    """Compare the high bands of two images (c, s, s) over hidden pixels (s, s)."""
    pasted = np.where(hidden, np.clip(pred, 0, 1), truth)
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
    pred: NDArray[np.float32], truth: NDArray[np.float32], hidden: NDArray[np.bool_], patch_px: int
) -> list[float]:
    rows: list[list[float]] = []
    for ours, true, where in zip(pred, truth, hidden, strict=True):
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
                "correlation": band and band.plain(),
                "energy_ratio": float(columns["energy"].sum() / energy) if energy > 0 else None,
            },
        },
    )


def pooled_psnr(squared_error: NDArray[np.float64]) -> float:
    """Return the PSNR in dB of the mean squared error over images."""
    return float(-10 * math.log10(squared_error.mean()))
