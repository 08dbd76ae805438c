"""Colours of even lightness in OKLab (Björn Ottosson 2020), for maps of three components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIGHTNESS, LIGHTNESS_RANGE, CHROMA = 0.72, 0.10, 0.115
"""Middle lightness, its range up and down, and the greatest chroma: inside sRGB for every hue."""
_TO_CONES = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklab_to_srgb(lab: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Convert (n, 3) OKLab (L 0..1, a, b) to sRGB 0..255; colours outside sRGB are clipped."""
    linear = ((np.asarray(lab, np.float64) @ _TO_CONES.T) ** 3 @ _TO_LINEAR.T).clip(0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * coded).astype(np.uint8)


def calm_colours(components: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Map (n, 3) components in -1..1 to sRGB: the first two give the hue and chroma, the third the lightness.

    Lightness and chroma stay in a narrow range, so equal steps look alike everywhere and nothing glares.
    """
    first, second, third = np.asarray(components, np.float64).clip(-1, 1).T
    # a square of components onto a disc of chroma
    a, b = first * np.sqrt(1 - second**2 / 2), second * np.sqrt(1 - first**2 / 2)
    return oklab_to_srgb(np.stack([LIGHTNESS + LIGHTNESS_RANGE * third, CHROMA * a, CHROMA * b], axis=1))


def calm_wheel(count: int = 12) -> NDArray[np.uint8]:
    """Return the hues of `calm_colours` (count, 3) at full chroma, clockwise from the top, for a legend."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    lab = np.stack([np.full(count, LIGHTNESS), CHROMA * np.sin(turn), CHROMA * np.cos(turn)], axis=1)
    return oklab_to_srgb(lab)
