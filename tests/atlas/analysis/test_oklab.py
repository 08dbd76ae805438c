"""Calm colours: known conversions, and the promised range of lightness and chroma."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.atlas.analysis.oklab import CHROMA, LIGHTNESS, LIGHTNESS_RANGE, calm_colours, oklab_to_srgb

KNOWN = {  # sRGB and OKLab as published by Björn Ottosson and in CSS Color 4
    (255, 255, 255): (1.0, 0.0, 0.0),
    (255, 0, 0): (0.627955, 0.224863, 0.125846),
    (0, 255, 0): (0.866440, -0.233888, 0.179498),
    (0, 0, 255): (0.452014, -0.032457, -0.311528),
    (0, 0, 0): (0.0, 0.0, 0.0),
}


def to_oklab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The inverse, from the published forward matrices."""
    coded = rgb / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    to_lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt(linear @ to_lms.T) @ to_lab.T


@pytest.mark.parametrize(("rgb", "lab"), KNOWN.items())
def test_published_values(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert np.abs(oklab_to_srgb(np.array([lab]))[0].astype(int) - rgb).max() <= 1


def test_every_colour_stays_in_the_promised_range() -> None:
    steps = np.linspace(-1.5, 1.5, 13)
    lab = to_oklab(calm_colours(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)))
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    assert np.abs(lab[:, 0] - LIGHTNESS).max() < LIGHTNESS_RANGE + 0.02
    assert chroma.max() < CHROMA + 0.01


def test_equal_steps_look_alike() -> None:
    """One step of a component changes the colour about as much for each hue, which RGB does not do."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([0.7 * np.cos(turn), 0.7 * np.sin(turn), np.zeros(24)], axis=1)
    lab = to_oklab(calm_colours(ring))
    step = np.linalg.norm(lab - np.roll(lab, 1, axis=0), axis=1)
    assert step.max() < 1.6 * step.min()
