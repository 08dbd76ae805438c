"""Reconstructions as displayable images: one stretch for all panels of a tile, residuals around grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.results import Reconstruction, enlarge
from .theme import ERROR, HIDDEN, colour_table

Pixels = NDArray[np.uint8]
LEAST_SPAN = 1 / 4
GAINS = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Stretch:
    """The values drawn as black and white, shared by all bands and panels so that pictures compare."""

    low: float = 0.0
    high: float = 1.0

    def draw(self, values: NDArray[Any]) -> Pixels:
        """Convert values (3, h, w) to pixels (h, w, 3)."""
        scaled = (np.moveaxis(values, 0, -1) - self.low) * (255 / (self.high - self.low))
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture with its title, a one-line caption, and the values that grey levels 0 and 255 stand for."""

    name: str
    title: str
    note: str
    pixels: Pixels
    value_range: tuple[float, float] = (0.0, 1.0)


def stretch_of(result: Reconstruction, plain: bool = False) -> Stretch:
    """Return the 1st to 99th percentile of the target, at least a quarter wide; 0..1 if `plain`."""
    if plain:
        return Stretch()
    low, high = (float(v) for v in np.percentile(result.target[:, result.valid_high], (1, 99)))
    short = max(LEAST_SPAN - (high - low), 0.0) / 2
    return Stretch(max(low - short, 0.0), min(high + short, 1.0))


def gain_of(result: Reconstruction) -> int:
    """Return the gain that gives the true residual good contrast around mid-grey."""
    reach = float(np.percentile(np.abs(result.target_high[:, result.valid_high]), 99)) or 1.0
    return max((gain for gain in GAINS if gain * reach <= 0.5), default=1)


def draw_residual(values: NDArray[Any], gain: float) -> Pixels:
    """Draw a signed residual (3, h, w) as mid-grey + gain * value."""
    return Stretch(-0.5 / gain, 0.5 / gain).draw(values)


def cover(pixels: Pixels, hidden: NDArray[np.bool_]) -> Pixels:
    """Return the pixels with hidden ones covered, `hidden` being bool (h, w)."""
    covered = pixels.copy()
    covered[hidden] = HIDDEN
    return covered


def panels(result: Reconstruction, *, plain: bool = False) -> tuple[Panel, ...]:
    """Draw the panels of a reconstruction: original, masked, low, high, combined and pasted.

    For a network that starts from the harmonic fill of the visible pixels, the panel before the last shows
    what it added to the fill.
    """
    stretch, gain, side = stretch_of(result, plain), gain_of(result), result.combined.shape[-1]
    shown = (stretch.low, stretch.high)
    derived = "" if result.recipe.bands_from == "two heads" else ", by filter"
    original = stretch.draw(result.target)
    share = f"{result.recipe.hidden_share:.0%} hidden"
    all_panels = (
        Panel("original", "Original", f"{result.recipe.ground} per pixel as fed", original, shown),
        Panel("masked", "Visible patches", share, cover(original, result.hidden_high), shown),
        Panel(
            "low",
            "Low frequencies",
            f"{result.low.shape[-1]} px{derived}",
            enlarge_pixels(stretch.draw(result.low), side),
            shown,
        ),
        Panel(
            "high",
            "High frequencies",
            f"mid-grey, × {gain}{derived}",
            draw_residual(result.high, gain),
            (-0.5 / gain, 0.5 / gain),
        ),
        Panel("combined", "Reconstruction", f"low + high, {side} px", stretch.draw(result.combined), shown),
        Panel(
            "pasted",
            "Visible patches restored",
            "visible pixels from the original",
            stretch.draw(result.pasted),
            shown,
        ),
    )
    if result.added is None:
        return all_panels
    added = Panel(
        "added",
        "What the network added",
        f"minus the harmonic fill, × {gain}",
        draw_residual(result.added, gain),
        (-0.5 / gain, 0.5 / gain),
    )
    return (*all_panels[:-1], added, all_panels[-1])


def enlarge_pixels(pixels: Pixels, side: int) -> Pixels:
    """Enlarge pixels (h, w, 3) to `side`, a multiple of their size, by repeating them."""
    return np.moveaxis(enlarge(np.moveaxis(pixels, -1, 0), side), 0, -1)


def png(pixels: NDArray[Any]) -> bytes:
    """Encode pixels (h, w, 3) or (h, w) as PNG, with fast rather than strong compression."""
    ordered = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    done, encoded = cv2.imencode(".png", ordered, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    assert done
    return encoded.tobytes()


def heat(values: NDArray[Any], full: float) -> Pixels:
    """Draw values 0..full (h, w) in the colours of `theme.ERROR`, from black to pale yellow."""
    return colour_table(ERROR)[np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)]
