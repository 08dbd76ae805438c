"""The binary files the linked globe fetches: places, projection and class of every point; colours apart.

Points: 16 bytes of header (magic "EMP1", uint32 count, uint32 flags, uint32 0), then, little-endian and each
block only if its flag is set: float32 pairs longitude, latitude (flag 1); float32 pairs x, y (flag 2); uint8
class (flag 4). 17 bytes a point with all three. Colours: 16 bytes of header (magic "EMC1", uint32 count,
uint32 kind, uint32 0), then uint8 palette positions (kind 0) or uint8 red, green, blue (kind 1). Recolouring
so sends 1 or 3 bytes a point and no place again. Surface: gzip of 16 bytes of header (magic "EMS1", uint32
width, uint32 height, uint32 0), then int32 row numbers, -1 for none.
"""

from __future__ import annotations

import gzip
import struct
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ExplorerError

PLACES, PROJECTION, CLASSES = 1, 2, 4
INDEXED, RGB = 0, 1


class PointsError(ExplorerError):
    """Arrays that do not describe the points of one table."""


def encode_points(
    *, lonlat: ArrayLike | None = None, xy: ArrayLike | None = None, classes: ArrayLike | None = None
) -> bytes:
    """Pack the points of a table for the browser.

    lonlat: (n, 2) degrees, WGS84; xy: (n, 2) in any unit; either may be missing, and a row that is not finite
    is not drawn on that side. classes: (n,) uint8 positions in the palette, 0 if missing. Raises PointsError
    when the lengths differ or both sides miss.
    """
    blocks: list[tuple[int, NDArray[Any]]] = []
    if lonlat is not None:
        blocks.append((PLACES, _pairs(lonlat, "longitudes and latitudes")))
    if xy is not None:
        blocks.append((PROJECTION, _pairs(xy, "projected positions")))
    if not blocks:
        raise PointsError("These points have neither coordinates nor a projection: project the table first.")
    if classes is not None:
        blocks.append((CLASSES, np.asarray(classes, dtype=np.uint8).reshape(-1)))
    counts = {len(block) for _, block in blocks}
    if len(counts) != 1:
        raise PointsError(
            "The columns of these points have different lengths "
            f"({sorted(counts)}): take all of them from one table."
        )
    head = struct.pack("<4sIII", b"EMP1", counts.pop(), sum(flag for flag, _ in blocks), 0)
    return head + b"".join(block.tobytes() for _, block in blocks)


def encode_colours(colours: ArrayLike) -> bytes:
    """Pack colours for the browser: (n,) uint8 positions in the palette, or (n, 3) uint8 red, green, blue."""
    array = np.ascontiguousarray(colours, dtype=np.uint8)
    if array.ndim == 2 and array.shape[1] == 3:
        kind = RGB
    elif array.ndim == 1:
        kind = INDEXED
    else:
        raise PointsError(
            f"Colours must be (n,) or (n, 3), not {array.shape}: use "
            "palette positions or red, green and blue."
        )
    return struct.pack("<4sIII", b"EMC1", len(array), kind, 0) + array.tobytes()


def encode_surface(rows: ArrayLike) -> bytes:
    """Pack the row shown at each pixel (height, width) of a plate-carree map of the Earth; -1 shows none."""
    array = np.ascontiguousarray(rows, dtype="<i4")
    if array.ndim != 2:
        raise PointsError(f"A surface must be (height, width), not {array.shape}.")
    height, width = array.shape
    head = struct.pack("<4sIII", b"EMS1", width, height, 0)
    return gzip.compress(head + array.tobytes(), compresslevel=3, mtime=0)


def _pairs(values: ArrayLike, name: str) -> NDArray[np.float32]:
    array = np.ascontiguousarray(values, dtype="<f4")
    if array.ndim != 2 or array.shape[1] != 2:
        raise PointsError(f"The {name} must be (n, 2), not {array.shape}: stack two columns.")
    return array
