"""Footprints of satellite scenes on a picture of the Earth around a place."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geo import Tile, for_eye, ground
from .theme import BLACK, SERIES, UNKNOWN, WHITE, rgb

Ring = Sequence[tuple[float, float]]
STEPS = 12


def span_m(place: tuple[float, float], outlines: Sequence[Sequence[Ring]]) -> float:
    """Return the side of a square around a place that contains all outlines, 600 to 4,000 km."""
    lon, lat = place
    points = np.array(
        [point for rings in outlines for ring in rings for point in ring] or [place], np.float64
    )
    east = ((points[:, 0] - lon + 180) % 360 - 180) * np.cos(np.radians(lat))
    reach = np.hypot(east, points[:, 1] - lat).max() * ground.METRES_PER_DEGREE
    return float(np.clip(2.6 * reach, 600_000.0, 4_000_000.0))


def located(
    earth: Tile, outlines: Sequence[Sequence[Ring]], place: tuple[float, float], chosen: int | None = None
) -> NDArray[np.uint8]:
    """Draw outlines (rings in degrees) and a place on a tile of the Earth, as (h, w, 3).

    The outline numbered `chosen` is highlighted and the others are grey; None highlights all of them.
    """
    picture = np.ascontiguousarray(for_eye(earth))
    order = sorted(range(len(outlines)), key=lambda at: at == chosen)
    for at in order:
        strong = chosen is None or at == chosen
        for ring in outlines[at]:
            line = _walk(earth, ring)
            cv2.polylines(picture, [line], True, BLACK, 5 if strong else 3, cv2.LINE_AA)
            cv2.polylines(
                picture, [line], True, rgb(SERIES[1] if strong else UNKNOWN), 3 if strong else 1, cv2.LINE_AA
            )
    (at_place,) = _walk(earth, [place])
    centre = (int(at_place[0]), int(at_place[1]))
    cv2.circle(picture, centre, 4, BLACK, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(picture, centre, 3, WHITE, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def _walk(earth: Tile, ring: Ring) -> NDArray[np.int32]:
    """Convert a ring to pixels; edges are straight in degrees, so each is sampled in several steps."""
    assert earth.crs is not None and earth.transform is not None
    corners = np.array(ring, np.float64)
    following = np.roll(corners, -1, axis=0)
    following[:, 0] = corners[:, 0] + (following[:, 0] - corners[:, 0] + 180) % 360 - 180
    t = np.linspace(0, 1, STEPS + 1)[:-1, None] if len(corners) > 1 else np.zeros((1, 1))
    points = (corners[:, None] + (following - corners)[:, None] * t).reshape(-1, 2)
    found = [
        ground.to_pixel(earth.crs, earth.transform, ((lon + 180) % 360 - 180, lat))
        for lon, lat in points.tolist()
    ]
    return (
        np.array([np.clip(p, -20_000, 20_000) for p in found if p is not None], np.float64)
        .round()
        .astype(np.int32)
        .reshape(-1, 2)
    )
