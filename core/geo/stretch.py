"""Contrast stretches of raw values: one for networks and one for display."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tile import Tile

EYE_PERCENTILES = (2.0, 98.0)
NETWORK_PERCENTILES = (1.0, 99.0)
EIGHT_BIT = (0.0, 255.0)

LEAST_SPAN = 1 / 8
"""The smallest range, as a share of the source's, that is stretched for display, so that noise is not
amplified."""


def sample_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the 1st and 99th percentile of the valid values of a band, which become 0 and 1 for the
    network."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known.astype(np.float64), NETWORK_PERCENTILES))
    return (low, high) if high > low else (low, low + max(1.0, abs(low) * 1e-6))


def to_unit(tile: Tile) -> NDArray[np.float32]:
    """Convert a tile to network input: float32 (3, h, w) in 0..1 by `tile.value_range`.

    Invalid pixels are 0, except in 8-bit pictures, where the nodata value is a colour that is kept.
    """
    planes = [_unit(tile.pixels[b], *tile.value_range[b]) for b in tile.rgb]
    return np.stack(
        [
            p if tile.value_range[b] == EIGHT_BIT else p * tile.valid
            for b, p in zip(tile.rgb, planes, strict=True)
        ]
    )


def for_eye(tile: Tile) -> NDArray[np.uint8]:
    """Convert a tile for display: uint8 (h, w, 3), stretched from its 2nd to its 98th percentile.

    The bands of an 8-bit picture share one stretch, which preserves colours; other bands differ in unit and
    gain and are stretched separately.
    """
    limits = eye_limits(tile)
    planes = [_unit(tile.pixels[b], *limit) for b, limit in zip(tile.rgb, limits, strict=True)]
    planes = [
        p if tile.value_range[b] == EIGHT_BIT else p * tile.valid
        for b, p in zip(tile.rgb, planes, strict=True)
    ]
    return np.round(np.stack(planes, axis=-1) * 255).astype(np.uint8)


def eye_limits(tile: Tile) -> list[tuple[float, float]]:
    """Return the values that `for_eye` maps to 0 and 255, for each displayed band."""
    limits = [_eye_limits(tile, band) for band in tile.rgb]
    if all(tile.value_range[band] == EIGHT_BIT for band in tile.rgb):
        limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * 3
    return limits


def _eye_limits(tile: Tile, band: int) -> tuple[float, float]:
    low, high = tile.value_range[band]
    least = (high - low) * LEAST_SPAN
    values = tile.pixels[band][tile.valid]
    if values.size:
        low, high = (float(v) for v in np.percentile(values.astype(np.float64), EYE_PERCENTILES))
    short = max(least - (high - low), 0.0)
    return low - short / 2, high + short / 2


def thumbnail(tile: Tile, px: int) -> NDArray[np.uint8]:
    """Return a small picture for lists: uint8 (h, w, 3), longer side `px`, stretched for display."""
    from .resample import resample

    shown = tuple(dict.fromkeys(tile.rgb))
    first, second, third = (shown.index(band) for band in tile.rgb)
    few = replace(
        tile,
        pixels=tile.pixels[list(shown)],
        bands=tuple(tile.bands[b] for b in shown),
        value_range=tuple(tile.value_range[b] for b in shown),
        rgb=(first, second, third),
    )
    return for_eye(resample(few, size_px=px))


def _unit(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)
