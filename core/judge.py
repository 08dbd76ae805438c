"""Scores of a reconstruction beside simple fills, and error maps. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engine.results import Picture, Reconstruction
from .errors import ExplorerError
from .evaluation.baselines.fills import FILLS
from .evaluation.stats.metrics import Scores, score, ssim_map

DEFAULT_FILLS = ("visible_mean", "nearest", "harmonic")
FILL_NAMES = {
    "visible_mean": "Mean of the visible",
    "nearest": "Nearest visible patch",
    "harmonic": "Harmonic (Laplace)",
    "telea": "Telea (OpenCV)",
}
ERRORS = {"l1": "absolute difference", "squared": "squared difference", "ssim": "1 - structural similarity"}
BANDS = {"combined": "Reconstruction", "low": "Low frequencies", "high": "High frequencies"}


class JudgeError(ExplorerError):
    """An unknown kind of error map."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Scores of the model and of each fill over hidden, valid pixels at input size.

    pictures: the fills themselves, (3, s, s).
    """

    model: Scores
    fills: dict[str, Scores]
    pictures: dict[str, Picture]

    def to_json(self) -> dict[str, dict[str, float | None]]:
        """Return `{"model": {"psnr", "ssim", "l1"}, "visible_mean": {...}, ...}` as plain numbers."""
        return {
            "model": self.model.to_json(),
            **{name: scores.to_json() for name, scores in self.fills.items()},
        }

    @property
    def best_fill(self) -> str:
        """The name of the fill with the highest PSNR."""
        return max(self.fills, key=lambda name: self.fills[name].psnr)


def judge(result: Reconstruction, fills: Sequence[str] = DEFAULT_FILLS) -> Verdict:
    """Score the combined picture and simple fills from the same visible pixels."""
    pictures = {name: FILLS[name](result.input, result.hidden) for name in fills}
    scores = {name: score(picture, result.input, result.scored) for name, picture in pictures.items()}
    return Verdict(score(result.at_input, result.input, result.scored), scores, pictures)


def error_map(
    result: Reconstruction, kind: str = "l1", band: str = "combined", channel: int | None = None
) -> NDArray[np.float32]:
    """Return the error of each pixel, (t, t), or (s, s) for the low band.

    kind: one of ERRORS. band: one of BANDS. channel: 0..2, or None for the mean of all three. Invalid pixels
    are 0. Combined and low are clipped to 0..1 first, as for scores. Raises JudgeError.
    """
    if kind not in ERRORS or band not in BANDS:
        raise JudgeError(
            f"There is no error map {kind!r:.20} of {band!r:.20}: "
            f"choose one of {', '.join(ERRORS)} and of {', '.join(BANDS)}."
        )
    pred, truth, valid = {
        "combined": (result.combined, result.target, result.valid_high),
        "low": (result.low, result.target_low, result.valid),
        "high": (result.high, result.target_high, result.valid_high),
    }[band]
    if band != "high":
        pred = np.clip(pred, 0, 1)
    if kind == "ssim":
        # SSIM is defined for intensities, so residuals are shifted to mid-grey.
        shift = 0.5 if band == "high" else 0.0
        difference: NDArray[Any] = 1 - ssim_map(np.clip(pred + shift, 0, 1), np.clip(truth + shift, 0, 1))
    else:
        difference = np.abs(pred - truth) if kind == "l1" else (pred - truth) ** 2
    chosen = difference.mean(axis=0) if channel is None else difference[channel]
    return np.where(valid, chosen, 0).astype(np.float32)


def band_errors(result: Reconstruction) -> dict[str, float] | None:
    """Return the mean absolute error of each of BANDS over hidden, valid pixels.

    Returns None if nothing is hidden.
    """
    where = {
        band: result.scored if band == "low" else result.hidden_high & result.valid_high for band in BANDS
    }
    if not all(mask.any() for mask in where.values()):
        return None
    return {band: float(error_map(result, "l1", band)[mask].mean()) for band, mask in where.items()}


def shared_scale(maps: Sequence[NDArray[np.float32]], hidden: Sequence[NDArray[np.bool_]]) -> float:
    """Return the value of the brightest colour for all maps: the 99th percentile over their hidden pixels."""
    values = [error[where] for error, where in zip(maps, hidden, strict=True) if where.any()]
    if not values:
        return 1.0
    return max(float(np.percentile(np.concatenate(values), 99)), 1e-6)


def alike(image: Picture, patch_px: int, cell: tuple[int, int], share: float) -> NDArray[np.bool_]:
    """Return the `share` 0..1 of patches most similar to the clicked one, including it: bool (rows, cols).

    Patches are compared by mean and standard deviation per channel and by mean gradient, each scaled by its
    spread.
    """
    rows, cols = image.shape[1] // patch_px, image.shape[2] // patch_px
    patches = (
        image.reshape(3, rows, patch_px, cols, patch_px)
        .transpose(1, 3, 0, 2, 4)
        .reshape(rows * cols, 3, patch_px, patch_px)
    )
    grey = patches.mean(axis=1)
    slopes = np.stack([np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)], axis=1)
    features = np.concatenate([patches.mean(axis=(2, 3)), patches.std(axis=(2, 3)), slopes], axis=1)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    clicked = cell[0] * cols + cell[1]
    distance = np.linalg.norm(features - features[clicked], axis=1)
    distance[clicked] = -1  # first among equals
    count = max(1, round(share * rows * cols))
    chosen = np.zeros(rows * cols, np.bool_)
    chosen[np.argsort(distance, kind="stable")[:count]] = True
    return chosen.reshape(rows, cols)
