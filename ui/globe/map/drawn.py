"""Which rows of a large table the browser draws: a sample of all, and more of those in view.

A view of at most MAX_DRAWN rows is 5 MB of points and colours. Rows are drawn in a fixed order of priority,
so a nearer view shows the same rows as a farther one and others between them, until all are shown.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from earth_mae_components import Camera, encode_points
from numpy.typing import NDArray

from core.atlas import EmbeddingTable
from ui.globe import tables
from ui.globe.panel_api import MAX_RINGS
from ui.globe.rows import RowPictures, picture
from ui.globe.tables import MapData
from ui.shell import cached

MAX_DRAWN = 240_000
"""Rows of a view: at 16 bytes for a point and 3 for its colour, 4.6 MB; less than 5 MB with the coasts."""

MAX_MARKED = MAX_RINGS + 1
"""Rows with rings, and the selected place."""

SPAN_DEG = 640.0
"""Degrees across a map at zoom 0, generously; each step of the zoom halves them."""

MIN_ZOOM = 3
"""From this zoom on, half of the rows drawn are of those in view."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the browser draws: `rows` ascending (None: all), their `points`, and what to say about it.

    `key` identifies the choice of rows among those of one table.
    """

    rows: NDArray[np.int64] | None
    points: bytes
    note: str = ""
    key: Hashable = None

    def positions(self, rows: NDArray[np.int64] | Sequence[int]) -> list[int]:
        """Return where rows stand among those drawn, without the ones that are not."""
        wanted = np.asarray(rows, np.int64)
        if self.rows is None:
            return wanted.tolist()
        at = np.searchsorted(self.rows, wanted).clip(max=len(self.rows) - 1)
        return at[self.rows[at] == wanted].tolist()

    def row(self, position: int) -> int | None:
        """Return the row drawn at a position; None if there is none."""
        if self.rows is None:
            return position
        return int(self.rows[position]) if position < len(self.rows) else None

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the drawn rows of (n, ...) values."""
        return values if self.rows is None else values[self.rows]


@dataclass(frozen=True)
class DrawnPictures(RowPictures):
    """Pictures of the rows drawn, by their position; equal for the same choice of rows."""

    drawn: Drawn
    key: Hashable

    def __call__(self, row: int) -> bytes:
        """Return the picture of a position as JPEG. Raises IndexError if there is no such row."""
        at = self.drawn.row(row)
        if at is None or not 0 <= at < len(self.table):
            raise IndexError(row)
        return picture(self.table, at)


def drawn_rows(data: MapData, camera: Camera | None, marked: Sequence[int]) -> Drawn:
    """Choose what the browser draws of a table in a view; `marked` rows are always among it."""
    if len(data.table) <= tables.WHOLE_ROWS:
        return Drawn(None, data.points)
    box = _box(camera)
    key = (box, tuple(sorted(marked)))
    return cached.result_cache("drawn rows", 8).get_or_compute(
        (data.table.fingerprint, key), lambda: _choose(data, box, marked, key)
    )


Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; east may exceed 180."""


def _choose(data: MapData, box: Box | None, marked: Sequence[int], key: Hashable) -> Drawn:
    total = len(data.table)
    most = MAX_DRAWN - MAX_MARKED
    rows = _of_all(data.table, most if box is None else most // 2)
    note = f"The maps draw {len(rows):,} of {total:,} places, evenly chosen; zoom in to see more of them."
    if box is not None:
        inside = _inside(data.lonlat, box)
        near = _first(inside, most - len(rows))
        rows = np.union1d(rows, near)
        shown = "all" if len(near) == len(inside) else f"{len(near):,}"
        note = (
            f"The maps draw {shown} of the {len(inside):,} places around this view, and some of the others."
        )
    note += " Searches, selections and groups use all places."
    rows = np.union1d(rows, np.asarray(marked, np.int64)).astype(np.int64)
    points = encode_points(lonlat=data.lonlat[rows] if data.has_locations else None, xy=data.plane[rows])
    return Drawn(rows, points, note, key)


def _of_all(table: EmbeddingTable, count: int) -> NDArray[np.int64]:
    return cached.result_cache("rows of first priority", 4).get_or_compute(
        (table.fingerprint, count), lambda: _first(np.arange(len(table)), count)
    )


def _first(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the `count` rows of first priority, ascending.

    Priorities are multiples of the golden ratio (Fibonacci hashing), which spreads the first of any number of
    consecutive rows evenly; rows of a table are in spatial order.
    """
    if len(rows) <= count:
        return rows
    priority = (rows.astype(np.uint32) * np.uint32(2_654_435_769)).astype(np.uint32)
    return rows[priority <= np.partition(priority, count - 1)[count - 1]]


def _box(camera: Camera | None) -> Box | None:
    """Return an area around what a camera shows, the same after small moves; None for far views."""
    if camera is None or camera.zoom < MIN_ZOOM:
        return None
    span = SPAN_DEG / 2 ** int(camera.zoom)
    wide = span / max(np.cos(np.radians(camera.lat)), 0.05) if camera.view == "globe" else span
    if wide >= 180:
        return None
    lat, lon = (round(at / side * 4) * side / 4 for at, side in ((camera.lat, span), (camera.lon, wide)))
    return lon - 0.625 * wide, lat - 0.625 * span, lon + 0.625 * wide, lat + 0.625 * span


def _inside(lonlat: NDArray[np.float32], box: Box) -> NDArray[np.int64]:
    west, south, east, north = box
    lon, lat = lonlat.T
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((lat >= south) & (lat <= north))
        return rows[(lon[rows] - west) % 360 <= east - west]


def pictures_of(table: EmbeddingTable, drawn: Drawn) -> RowPictures:
    """Return the pictures that the maps show on hover."""
    return RowPictures(table) if drawn.rows is None else DrawnPictures(table, drawn, drawn.key)
