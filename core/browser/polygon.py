"""Which points are inside a lasso, exactly as the browser decides, and the lasso as URL-safe text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ExplorerError

MAX_VERTICES = 2000
FULL_CIRCLE_DEG = 360.0


class PolygonError(ExplorerError):
    """Text or a list that is not a polygon."""


def contains(
    polygon: Sequence[Sequence[float]], a: ArrayLike, b: ArrayLike, *, wraps: bool = False
) -> NDArray[np.bool_]:
    """Return for every point (a, b) whether it is inside the polygon by the even-odd rule.

    polygon: n pairs, closed by itself. a, b: (points,), taken as float32, the precision the browser holds.
    wraps: a is a longitude in degrees; the polygon may run past 180 on either side, and a point counts if it
    lies inside at a, a + 360 or a - 360. A point that is not finite is never inside. The rule and its order
    of operations are those of frontend/src/polygon.ts, in double precision, so both sides agree on every
    point.
    """
    ring = np.asarray(polygon, dtype=np.float32).astype(np.float64).reshape(-1, 2)
    x = np.asarray(a, dtype=np.float32).astype(np.float64)
    y = np.asarray(b, dtype=np.float32).astype(np.float64)
    inside = np.zeros(x.shape, dtype=bool)
    if len(ring) < 3:
        return inside
    for shift in (0.0, FULL_CIRCLE_DEG, -FULL_CIRCLE_DEG) if wraps else (0.0,):
        moved = x + shift
        near = np.flatnonzero(_in_box(ring, moved, y))
        inside[near] |= _even_odd(ring, moved[near], y[near])
    return inside


def _in_box(ring: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    (west, south), (east, north) = ring.min(0), ring.max(0)
    return (x >= west) & (x <= east) & (y >= south) & (y <= north)


def _even_odd(ring: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside = np.zeros(x.shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(np.roll(ring, 1, axis=0), ring, strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def encode_polygon(polygon: Sequence[Sequence[float]]) -> str:
    """Pack a polygon into base64url text: little-endian float32 pairs, so a vertex takes 11 characters."""
    return base64.urlsafe_b64encode(np.asarray(polygon, dtype="<f4").tobytes()).decode().rstrip("=")


def decode_polygon(text: str) -> tuple[tuple[float, float], ...]:
    """Unpack base64url text into a polygon of at most 2,000 vertices. Raises PolygonError."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise PolygonError(
            "The selection in the link is not valid base64url text: copy the whole link, or draw it again."
        ) from error
    if len(packed) % 8 or len(packed) > 8 * MAX_VERTICES:
        raise PolygonError(
            f"The selection has {len(packed)} bytes, which cannot be a list of at most {MAX_VERTICES} "
            "vertices: draw it again."
        )
    ring = np.frombuffer(packed, dtype="<f4").reshape(-1, 2)
    if not np.isfinite(ring).all():
        raise PolygonError("The selection has a vertex that is not a number: draw it again.")
    return tuple((float(x), float(y)) for x, y in ring)
