"""Reconstructions as pictures for the eye: one stretch for all of a tile's panels, residuals about grey with their gain stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.results import Reconstruction, enlarge
from .theme import HIDDEN

Pixels = NDArray[np.uint8]
LEAST_SPAN = 1 / 4
GAINS = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Stretch:
    """The values that are drawn black and white, the same for every band and panel, so that pictures compare."""

    low: float = 0.0
    high: float = 1.0

    def draw(self, values: NDArray[Any]) -> Pixels:
        """Values (3, h, w) to pixels (h, w, 3)."""
        scaled = (np.moveaxis(values, 0, -1) - self.low) * (255 / (self.high - self.low))
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture with its heading, one line under it, and what its grey levels 0 and 255 stand for."""

    name: str
    title: str
    note: str
    pixels: Pixels
    value_range: tuple[float, float] = (0.0, 1.0)


def stretch_of(made: Reconstruction, plain: bool = False) -> Stretch:
    """One range for the eye from the truth's 1st to 99th percentile, never narrower than a quarter; `plain` leaves 0..1."""
    if plain:
        return Stretch()
    low, high = (float(v) for v in np.percentile(made.target[:, made.valid_high], (1, 99)))
    short = max(LEAST_SPAN - (high - low), 0.0) / 2
    return Stretch(max(low - short, 0.0), min(high + short, 1.0))


def gain_of(made: Reconstruction) -> int:
    """The gain that spreads the true residual well about grey."""
    reach = float(np.percentile(np.abs(made.target_high[:, made.valid_high]), 99)) or 1.0
    return max((gain for gain in GAINS if gain * reach <= 0.5), default=1)


def draw_residual(values: NDArray[Any], gain: float) -> Pixels:
    """A signed residual (3, h, w) about mid grey: grey + gain * value."""
    return Stretch(-0.5 / gain, 0.5 / gain).draw(values)


def cover(pixels: Pixels, hidden: NDArray[np.bool_]) -> Pixels:
    """Pixels with hidden patches covered; both are brought to the larger of the two sizes."""
    covered = pixels.copy()
    covered[hidden] = HIDDEN
    return covered


def panels(made: Reconstruction, *, plain: bool = False) -> tuple[Panel, ...]:
    """The six panels of a reconstruction: original, masked, low, high, combined, combined with true pixels pasted."""
    stretch, gain, side = stretch_of(made, plain), gain_of(made), made.combined.shape[-1]
    shown = (stretch.low, stretch.high)
    derived = "" if made.recipe.bands_from == "two heads" else ", by filter"
    original = stretch.draw(made.target)
    share = f"{made.recipe.hidden_share:.0%} hidden"
    return (
        Panel("original", "Original", f"{made.recipe.ground} per pixel as fed", original, shown),
        Panel("masked", "What the network sees", share, cover(original, made.hidden_high), shown),
        Panel(
            "low",
            "Low frequencies",
            f"{made.low.shape[-1]} px{derived}",
            enlarge_pixels(stretch.draw(made.low), side),
            shown,
        ),
        Panel(
            "high",
            "High frequencies",
            f"about grey, × {gain}{derived}",
            draw_residual(made.high, gain),
            (-0.5 / gain, 0.5 / gain),
        ),
        Panel("combined", "Combined", f"low + high, {side} px", stretch.draw(made.combined), shown),
        Panel(
            "pasted", "True pixels pasted", "visible patches as they are", stretch.draw(made.pasted), shown
        ),
    )


def enlarge_pixels(pixels: Pixels, side: int) -> Pixels:
    """Repeat pixels (h, w, 3) up to `side`, a multiple of their size."""
    return np.moveaxis(enlarge(np.moveaxis(pixels, -1, 0), side), 0, -1)


def png(pixels: NDArray[Any]) -> bytes:
    """Pixels (h, w, 3) or (h, w) as a PNG: losslessly, and quickly rather than small."""
    ordered = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    done, encoded = cv2.imencode(".png", ordered, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    assert done
    return encoded.tobytes()


HEAT = cv2.COLORMAP_INFERNO


def heat(values: NDArray[Any], full: float) -> Pixels:
    """A map of values 0..full (h, w) in colours from black to pale yellow (inferno)."""
    grey = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, HEAT))[..., ::-1].astype(np.uint8)
