"""Points drawn on a static image, for pages without WebGL: a flat map of the Earth, or a projection."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .theme import BLACK, WHITE

FADED = 0.22
MARGIN = 0.04


@dataclass(frozen=True)
class Bounds:
    """The extent of a picture in degrees or in the units of a projection."""

    left: float
    bottom: float
    right: float
    top: float


EARTH = Bounds(-180.0, -90.0, 180.0, 90.0)


def bounds_of(xy: NDArray[np.float32]) -> Bounds:
    """Return the bounds of the finite rows of (n, 2), with a margin; the unit square if there are none."""
    known = xy[np.isfinite(xy).all(axis=1)]
    if not len(known):
        return Bounds(0.0, 0.0, 1.0, 1.0)
    low, high = known.min(axis=0).astype(float), known.max(axis=0).astype(float)
    side = np.maximum(high - low, 1e-6) * MARGIN
    return Bounds(*(low - side).tolist(), *(high + side).tolist())


def still(
    ground: NDArray[np.uint8], bounds: Bounds, xy: NDArray[np.float32], rgb: NDArray[np.uint8],
    *, selected: NDArray[np.int64] | None = None, ringed: NDArray[np.int64] | None = None, radius_px: int = 2,
) -> NDArray[np.uint8]:  # fmt: skip
    """Draw points (n, 2) with colours (n, 3) on a background (h, w, 3) that spans `bounds`.

    Returns a new picture.

    `selected` rows keep their colour and the others fade (None or empty: none fade); `ringed` rows get a
    white ring.
    """
    height, width = ground.shape[:2]
    with np.errstate(invalid="ignore"):
        col = np.floor((xy[:, 0] - bounds.left) / (bounds.right - bounds.left) * width)
        row = np.floor((bounds.top - xy[:, 1]) / (bounds.top - bounds.bottom) * height)
        there = np.flatnonzero((col >= 0) & (col < width) & (row >= 0) & (row < height))
    strength = np.ones(len(xy), np.float32)
    if selected is not None and len(selected):
        strength[:] = FADED
        strength[selected] = 1.0
        there = there[np.argsort(strength[there], kind="stable")]
    picture = ground.copy()
    at_col, at_row, share = col[there].astype(int), row[there].astype(int), strength[there, None]
    reach = range(-radius_px, radius_px + 1)
    for down, right in ((a, b) for a in reach for b in reach if a * a + b * b <= radius_px * radius_px):
        r, c = (at_row + down).clip(0, height - 1), (at_col + right).clip(0, width - 1)
        picture[r, c] = np.rint(share * rgb[there] + (1 - share) * ground[r, c]).astype(np.uint8)
    for at in [] if ringed is None else ringed.tolist():
        if np.isfinite(col[at]) and np.isfinite(row[at]):
            cv2.circle(picture, (int(col[at]), int(row[at])), radius_px + 4, WHITE, 2, cv2.LINE_AA)
            cv2.circle(picture, (int(col[at]), int(row[at])), radius_px + 6, BLACK, 1, cv2.LINE_AA)
    return picture
