"""Crops for training: random places, scales and orientations from imagery of known ground sample distance
(GSD).

Every crop is a pure function of (imagery, seed, step, number), so a resumed run sees the same crops as an
uninterrupted one. Crops are never enlarged: an image is used only for crops up to its own size, and coarser
crops are area-averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .imagery import Imagery, Picture
from .tile import GeoError

ATTEMPTS = 8
"""How often a crop is redrawn if it is flat or its image cannot be decoded."""

FLAT = 1.5
"""Standard deviation in grey levels below which a crop has nothing to learn from."""

MAX_LATITUDE_SINE = 0.96
"""Crops of the globe stay within 74 degrees of the equator, as plate carree stretches rows beyond it."""


@dataclass(frozen=True)
class Crops:
    """A batch of crops: `pixels` uint8 (n, side, side, 3), the GSD of each in metres and that of the
    picture it was cut from."""

    pixels: NDArray[np.uint8]
    gsd_m: NDArray[np.float32]
    native_gsd_m: NDArray[np.float32]


@dataclass(frozen=True)
class _Crop:
    pixels: Picture
    gsd_m: float
    native_gsd_m: float


def draw_crops(
    imagery: Sequence[Imagery],
    side_px: int,
    seed: int,
    step: int,
    numbers: Sequence[int],
    *,
    coarser: float | None = None,
    workers: Executor | None = None,
) -> Crops:
    """Draw the crops `numbers` of one step, side_px pixels per side, randomly flipped and rotated unless
    their source is upright.

    `coarser` replaces each source's limit on how many times coarser than its image a crop may be. `workers`
    draw in parallel, with the same result for any number of them. Raises GeoError if no image is large
    enough.
    """
    eligible = [(source, source.large_enough(side_px)) for source in imagery]
    eligible = [(source, indices) for source, indices in eligible if len(indices)]
    if not eligible:
        largest = max(int(source.sides_px.max()) for source in imagery)
        raise GeoError(
            f"No training image has {side_px} px per side (the largest has {largest}) and crops are never "
            "enlarged: choose smaller sides."
        )

    def draw(number: int) -> _Crop:
        return _draw(eligible, side_px, coarser, np.random.default_rng([seed, step, number]))

    crops = list(workers.map(draw, numbers) if workers else map(draw, numbers))
    gsd_m, native_gsd_m = (
        np.array(v, np.float32) for v in zip(*((c.gsd_m, c.native_gsd_m) for c in crops), strict=True)
    )
    return Crops(np.stack([crop.pixels for crop in crops]), gsd_m, native_gsd_m)


def _draw(
    eligible: Sequence[tuple[Imagery, NDArray[np.int64]]],
    side_px: int,
    coarser: float | None,
    rng: np.random.Generator,
) -> _Crop:
    """Draw one crop; if it is flat or cannot be decoded, draw again from the same source, then from any."""
    shares = np.array([source.share for source, _ in eligible])
    for _ in range(4):
        source, indices = eligible[int(rng.choice(len(eligible), p=shares / shares.sum()))]
        crop: _Crop | None = None
        for _ in range(ATTEMPTS):
            with suppress(GeoError):
                crop = _cut(source, int(rng.choice(indices)), side_px, coarser or source.coarser, rng)
                if crop.pixels.std() > FLAT:
                    break
        if crop is not None and source.upright:
            return crop
        if crop is not None:
            turned = np.rot90(crop.pixels, int(rng.integers(4)))
            pixels = np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)
            return _Crop(pixels, crop.gsd_m, crop.native_gsd_m)
    names = ", ".join(source.name for source, _ in eligible)
    raise GeoError(f"None of {4 * ATTEMPTS} images from {names} can be decoded: check the files.")


def _cut(source: Imagery, index: int, side_px: int, coarser: float, rng: np.random.Generator) -> _Crop:
    import cv2

    picture, gsd_m = source.pictures[index], source.gsd_m[index]
    h, w = picture.shape[:2]
    coarsest = min(coarser, min(h, w) / side_px)
    if coarsest < 1:  # the header promised a larger picture than the file holds
        raise GeoError(f"An image of {source.name} is smaller than its header states: replace the file.")
    factor = math.exp(rng.uniform(0.0, math.log(coarsest)))
    tall = min(h, w, max(side_px, round(side_px * factor)))
    wide, top = tall, int(rng.integers(h - tall + 1))
    if source.plate_carree:
        sine = rng.uniform(-MAX_LATITUDE_SINE, MAX_LATITUDE_SINE)
        top = int(np.clip((90 - np.degrees(np.arcsin(sine))) / 180 * h - tall / 2, 0, h - tall))
        wide = min(w, round(tall / np.cos(np.arcsin(sine))))
    left = int(rng.integers(w - wide + 1))
    window = picture[top : top + tall, left : left + wide]
    pixels = (
        window
        if window.shape[:2] == (side_px, side_px)
        else cv2.resize(window, (side_px, side_px), interpolation=cv2.INTER_AREA)
    )
    return _Crop(np.asarray(pixels, np.uint8), gsd_m * tall / side_px, gsd_m)
