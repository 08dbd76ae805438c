"""The linked globe in a notebook: the places of a table beside the projection of its vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any
from uuid import uuid4

import numpy as np
import traitlets
from numpy.typing import NDArray

from ..atlas import EmbeddingTable
from ..atlas.analysis.project import ProjectionSpec, colours, project
from ..atlas.errors import TableError
from ..browser.points import encode_colours, encode_points
from ..browser.polygon import contains, decode_polygon
from ..errors import ExplorerError
from ..geo import TileSpec, for_eye, known_sources
from ..viz import stills
from ..viz.sheet import data_url, jpeg
from .widget import ComponentWidget, component

FADED = 0.25
MOST_RINGS = 1000
EARTH_PX = (512, 1024)
RING = "#ffffff"


class GlobeView(ComponentWidget):
    """A globe beside a projection of the vectors, with one selection on both.

    `selected` holds the row numbers inside the last lasso or box, sorted; setting it highlights those rows.
    `clicked` is the row clicked last, None for none. `colour` (n, 3) uint8 replaces the colours, by default
    the first three principal axes. Raises TableError for colours of another number of rows, and for rows
    that the table does not have.
    """

    _esm = component("linked_globe")
    points = traitlets.Bytes().tag(sync=True)
    colours = traitlets.Bytes().tag(sync=True)
    selection = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    camera = traitlets.Dict().tag(sync=True)
    selected: Any = traitlets.Any(())
    clicked = traitlets.Int(None, allow_none=True)

    def __init__(
        self,
        table: EmbeddingTable,
        *,
        colour: NDArray[np.uint8] | None = None,
        projection: ProjectionSpec | None = None,
        height_px: int = 420,
    ) -> None:
        self.table = table
        self._rgb = colours(table) if colour is None else np.asarray(colour, np.uint8)
        if self._rgb.shape != (len(table), 3):
            raise TableError(
                f"The colours are {self._rgb.shape}, but the table has {len(table):,} rows: give (n, 3)."
            )
        self._lonlat = _places(table)
        self._xy = project(table, projection or ProjectionSpec()).xy
        placed = bool(np.isfinite(self._lonlat).any())
        self._name, self._numbers, self._from_browser = uuid4().hex, count(1), False
        self._earth = _earth() if placed else None
        self._fixed = {
            "points": f"{self._name}/points#1",
            "about": "",
            "palette": [RING],
            "legend": None,
            "basemap": None if self._earth is None else data_url("", jpeg(self._earth, 80)),
            "surface": None,
            "coast": None,
            "thumbnail": None,
            "knownSelection": 0,
            "camera": None,
            "knownCamera": 0,
            "flyTo": None,
            "reveal": "",
            "draw": "auto",
            "height": height_px,
            "label": table.name,
            "reportCamera": False,
            "still": None,
        }
        super().__init__(
            points=encode_points(lonlat=self._lonlat if placed else None, xy=self._xy),
            **self._shown(None, ()),
        )

    def still(self) -> NDArray[np.uint8]:
        """Return the Earth and the projection side by side, the selected rows in colour."""
        ground = np.full((*EARTH_PX, 3), 24, np.uint8) if self._earth is None else self._earth
        plane = np.full((EARTH_PX[0], EARTH_PX[0], 3), 245, np.uint8)
        rows = np.asarray(self.selected, np.int64)
        pictures = [
            stills.still(ground, stills.EARTH, self._lonlat, self._rgb, selected=rows, radius_px=1),
            stills.still(plane, stills.bounds_of(self._xy), self._xy, self._rgb, selected=rows, radius_px=1),
        ]
        return np.concatenate(pictures, axis=1)

    @traitlets.validate("selected")
    def _known_rows(self, proposal: Any) -> tuple[int, ...]:
        rows = np.unique(np.asarray(proposal["value"], np.int64))
        if len(rows) and not 0 <= rows[0] <= rows[-1] < len(self.table):
            wrong = rows[0] if rows[0] < 0 else rows[-1]
            raise TableError(f"There is no row {wrong}: the table has rows 0 to {len(self.table) - 1:,}.")
        return tuple(rows.tolist())

    @traitlets.observe("selected")
    def _highlight(self, _: Any) -> None:
        if not self._from_browser:
            with self.hold_sync():
                for name, value in self._shown(None, self.selected).items():
                    setattr(self, name, value)

    @traitlets.observe("selection")
    def _chosen(self, change: Any) -> None:
        news = change["new"]
        kind, side = news["kind"], news["side"]
        self._fixed["knownSelection"] = int(news["revision"])
        if kind == "click":
            self.clicked = next(iter(news["ids"]), None)
            return
        rows = np.empty(0, np.int64)
        shown = None
        if kind != "none":
            ring = decode_polygon(str(news["polygon"]))
            places = self._lonlat if side == "globe" else self._xy
            rows = np.flatnonzero(contains(ring, *places.T, wraps=side == "globe"))
            shown = {name: news[name] for name in ("side", "kind", "polygon", "ids")}
        self._from_browser = True
        try:
            self.selected = tuple(rows.tolist())
        finally:
            self._from_browser = False
        with self.hold_sync():
            for name, value in self._shown(shown, ()).items():
                setattr(self, name, value)

    def _shown(self, selection: dict[str, Any] | None, highlighted: Sequence[int]) -> dict[str, Any]:
        """Return the traits for a selection drawn by the user, or for rows to highlight."""
        rgb, rows = self._rgb, np.asarray(highlighted, np.int64)
        if len(rows):
            rgb = np.rint(128 * (1 - FADED) + FADED * rgb).astype(np.uint8)
            rgb[rows] = self._rgb[rows]
        packed = encode_colours(rgb)
        if packed != self.colours:
            self._fixed["colours"] = f"{self._name}/colours#{next(self._numbers)}"
        rings = [[row, RING, ""] for row in rows[:MOST_RINGS].tolist()]
        return {"colours": packed, "data": {**self._fixed, "selection": selection, "rings": rings}}


def _places(table: EmbeddingTable) -> NDArray[np.float32]:
    """Return (n, 2) degrees with longitudes below 180, NaN where unknown."""
    lonlat = table.lonlat.astype(np.float32)
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180
    return lonlat


def _earth() -> NDArray[np.uint8] | None:
    """Return a picture of the Earth (512, 1024, 3), None where none is installed."""
    try:
        globe = known_sources().source("globe")
        width = globe.opened(globe.keys()[0]).header.width
        return for_eye(
            globe.read(TileSpec(globe.ref(), window=(0, 0, width, width // 2), size_px=EARTH_PX[1]))
        )
    except ExplorerError:
        return None
