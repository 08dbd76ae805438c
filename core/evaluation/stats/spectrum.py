"""The radial power spectrum of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EvaluationError


@dataclass(frozen=True, eq=False)
class Spectrum:
    """`cycles` per image side (k,), 1 to half the side, and the variance at each (k,), mean over bands."""

    cycles: NDArray[np.int64]
    power: NDArray[np.float64]


def radial_power(picture: NDArray[Any], *, window: bool = True) -> Spectrum:
    """Sum the power of a square image (c, s, s) over rings of equal frequency.

    Without a window, the rings up to the corners add up to the image's variance (Parseval). The Hann window
    prevents leakage from the edges, and the power is normalised by that of the window. Raises EvaluationError
    if the image is not square.
    """
    if picture.ndim != 3 or picture.shape[1] != picture.shape[2]:
        raise EvaluationError(
            f"A spectrum needs a square image (bands, side, side), not {picture.shape}: crop it first."
        )
    side = picture.shape[-1]
    values = picture.astype(np.float64)
    values = values - values.mean(axis=(1, 2), keepdims=True)
    if window:
        line = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
        weight = line[:, None] * line[None]
        values = values * weight / np.sqrt((weight**2).mean())
    power = (np.abs(np.fft.fft2(values)) ** 2).mean(axis=0) / side**4
    steps = np.fft.fftfreq(side, 1 / side)
    ring = np.rint(np.hypot(steps[:, None], steps[None])).astype(np.int64)
    total = np.asarray(np.bincount(ring.ravel(), power.ravel()), np.float64)
    last = side // 2 if window else len(total) - 1
    return Spectrum(np.arange(1, last + 1), total[1 : last + 1])
