"""PSNR, SSIM and L1 over hidden pixels, for data in 0..1."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Image = NDArray[np.float32]

_WINDOW_PX = 11  # of SSIM's Gaussian window with sigma 1.5 px


@dataclass(frozen=True)
class Scores:
    """PSNR in dB (inf if perfect), SSIM (at most 1) and mean absolute error; NaN if nothing is hidden."""

    psnr: float
    ssim: float
    l1: float

    def to_json(self) -> dict[str, float | None]:
        """Return plain numbers, with None for inf and nan, which JSON does not have."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def score(pred: Image, truth: Image, hidden: NDArray[np.bool_]) -> Scores:
    """Compare two images (c, h, w), clipped to 0..1, over the hidden pixels (h, w) and all channels.

    SSIM follows Wang et al. (2004): Gaussian window with sigma 1.5 px, K 0.01 and 0.03, data range 1. It is
    the mean of the full map over channels and hidden pixels, so it also rates the transition to visible
    pixels.
    """
    if pred.shape != truth.shape or pred.shape[1:] != hidden.shape:
        raise ValueError(f"images {pred.shape} and {truth.shape} and mask {hidden.shape} do not match")
    if not hidden.any():
        return Scores(math.nan, math.nan, math.nan)
    pred, truth = np.clip(pred, 0, 1), np.clip(truth, 0, 1)
    difference = pred[:, hidden].astype(np.float64) - truth[:, hidden]
    return Scores(
        psnr=_decibels(difference),
        ssim=float(ssim_map(pred, truth)[:, hidden].mean()),
        l1=float(np.abs(difference).mean()),
    )


def psnr(pred: Image, truth: Image, hidden: NDArray[np.bool_]) -> float:
    """Return the PSNR in dB of two images as in `score`, without the slower SSIM; some pixels are hidden."""
    return _decibels(np.clip(pred, 0, 1)[:, hidden].astype(np.float64) - np.clip(truth, 0, 1)[:, hidden])


def _decibels(difference: NDArray[np.float64]) -> float:
    mean_square = float(np.mean(difference**2))
    return -10 * math.log10(mean_square) if mean_square else math.inf


def ssim_map(pred: Image, truth: Image) -> NDArray[np.floating]:
    """Return SSIM at every pixel (c, h, w); images smaller than the window are mirrored, as at borders."""
    height, width = pred.shape[1:]
    pad = ((0, 0), *((0, _WINDOW_PX if side < _WINDOW_PX else 0) for side in (height, width)))
    pair = (np.pad(image.astype(np.float64), pad, mode="symmetric") for image in (pred, truth))
    ssim = structural_similarity(
        *pair, channel_axis=0, data_range=1, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    return np.asarray(ssim[1])[:, :height, :width]
