"""A regional map of rasters and tables (leafmap, MapLibre) for notebooks, HTML files and the Globe page.

A layer is anything that draws the square tiles of a web map. A layer with a URL is fetched tile by tile; one
without is embedded as a single image, so that a notebook needs no server. Nothing is loaded from the
internet.
"""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from ..geo.ground import METRES_PER_DEGREE
from ..geo.web_tiles import MERCATOR_LAT, RGBA, TILE_PX, Bounds
from .theme import MAP_GROUND, MAP_LEGEND, OUTLINE

if TYPE_CHECKING:
    from leafmap.maplibregl import Map

    from ..atlas import EmbeddingTable

SHIFT = 4
OVERLAY_PX = 1024
MOST_OUTLINED = 3000
_LEGEND = "padding:8px 10px;border-radius:8px;background:{};color:{};font:13px sans-serif"


@dataclass(frozen=True, eq=False)
class MapLayer:
    """A layer of a web map.

    draw: returns the tile (256, 256, 4) at z, x, y, or None where it is empty. bounds: west, south, east,
    north in degrees. finest: the zoom beyond which there is no more detail. shown: whether the layer starts
    switched on.
    """

    name: str
    draw: Callable[[int, int, int], RGBA | None]
    bounds: Bounds
    finest: int
    opacity: float = 1.0
    shown: bool = True


class Cells:
    """Draws the footprints of the rows of a table, filled or as outlines. Safe to share between threads.

    outlines: (n,) polygons in WGS84 degrees or None. rgb: (n, 3) uint8, None for outlines only. Overlapping
    footprints are shrunk about their centres so that all stay visible; small ones are drawn over large ones.
    """

    def __init__(
        self, outlines: Sequence[shapely.Geometry | None], rgb: NDArray[np.uint8] | None = None
    ) -> None:
        known: Any = np.array(list(outlines), object)
        # A footprint across the antimeridian has a part on either side.
        shapes, rows = shapely.get_parts(known, return_index=True)
        order = np.argsort(-shapely.area(shapes), kind="stable")
        self._shapes, self._rows = shapes[order], rows[order]
        self._rgb = rgb
        self._share = _share(self._shapes)
        self._tree = shapely.STRtree(self._shapes)

    def coloured(self, rgb: NDArray[np.uint8]) -> Cells:
        """Return the same footprints in other colours (n, 3); geometry and index are shared."""
        other = copy(self)
        other._rgb = rgb
        return other

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees, clipped to Web Mercator."""
        west, south, east, north = shapely.total_bounds(self._shapes).tolist()
        return max(west, -180.0), max(south, -MERCATOR_LAT), min(east, 180.0), min(north, MERCATOR_LAT)

    @property
    def finest(self) -> int:
        """The zoom at which the smallest footprints fill a tile."""
        width = float(np.percentile(np.ptp(shapely.bounds(self._shapes)[:, ::2], axis=1), 5))
        return min(22, max(0, math.ceil(math.log2(360 / max(width, 1e-6)))))

    def draw(self, z: int, x: int, y: int) -> RGBA | None:
        """Draw one tile (256, 256, 4); None if it contains no footprint."""
        hits = np.sort(self._tree.query(shapely.box(*tile_bounds(z, x, y))))
        if not len(hits) or (self._rgb is None and len(hits) > MOST_OUTLINED):
            return None
        tile = np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
        if len(hits) > MOST_OUTLINED and self._rgb is not None:
            return self._dots(tile, hits, z, x, y)
        for at in hits.tolist():
            ring = shapely.get_coordinates(shapely.get_exterior_ring(self._shapes[at]))
            if self._rgb is None:
                cv2.polylines(tile, [_pixels(ring, z, x, y)], True, OUTLINE, 1, cv2.LINE_AA, SHIFT)
            else:
                filled = _pixels(_about_centre(ring, self._share), z, x, y)
                cv2.fillPoly(tile, [filled], (*self._rgb[self._rows[at]].tolist(), 255), cv2.LINE_8, SHIFT)
        return tile

    def _dots(self, tile: RGBA, hits: NDArray[np.int64], z: int, x: int, y: int) -> RGBA:
        """Draw small squares, vectorised, where thousands of footprints are only a few pixels wide."""
        assert self._rgb is not None
        boxes = shapely.bounds(self._shapes[hits])
        corners = (
            np.concatenate([_mercator(boxes[:, [0, 3]]), _mercator(boxes[:, [2, 1]])], axis=1) * 2**z
            - [x, y, x, y]
        ) * TILE_PX
        side = max(1, round(float(np.median(corners[:, 2] - corners[:, 0])) * self._share))
        left, top = np.round((corners[:, :2] + corners[:, 2:]) / 2 - side / 2).astype(np.int64).T
        for down in range(side):
            for across in range(side):
                cols, rows = left + across, top + down
                inside = (cols >= 0) & (cols < TILE_PX) & (rows >= 0) & (rows < TILE_PX)
                tile[rows[inside], cols[inside], :3] = self._rgb[self._rows[hits[inside]]]
                tile[rows[inside], cols[inside], 3] = 255
        return tile


def footprints(table: EmbeddingTable) -> NDArray[Any]:
    """Return the outlines (n,) of the rows of a table; None for a row without a location.

    A row with only a point gets the square of its tile or, if its size is unknown, one that fits the density
    of rows.
    """
    shapes: Any = shapely.from_wkb(table.columns["geometry"].to_numpy())
    bare = ~(shapely.area(shapes) > 0) & np.isfinite(table.lonlat).all(axis=1)
    shapes[~bare & ~(shapely.area(shapes) > 0)] = None
    if bare.any():
        lon, lat = table.lonlat[bare].T
        gsd_m, side_px = (
            table.columns[name].to_numpy().astype(np.float64)[bare] for name in ("gsd_m", "image_size")
        )
        share = max(float(np.ptp(lon)), float(np.ptp(lat)), 1e-3) / math.sqrt(len(lon))
        high = np.where(np.isfinite(gsd_m * side_px), gsd_m * side_px / METRES_PER_DEGREE, share) / 2
        wide = high / np.cos(np.radians(lat)).clip(0.02)
        shapes[bare] = shapely.box(lon - wide, lat - high, lon + wide, lat + high)
    return shapes


def stacked(
    drawers: Sequence[Callable[[int, int, int], RGBA | None]],
) -> Callable[[int, int, int], RGBA | None]:
    """Combine several drawing functions into one layer, the first at the bottom."""

    def draw(z: int, x: int, y: int) -> RGBA | None:
        tile: RGBA | None = None
        for drawer in drawers:
            one = drawer(z, x, y)
            if one is not None:
                tile = one if tile is None else np.where(one[..., 3:] > 0, one, tile)
        return tile

    return draw


def png(tile: RGBA) -> bytes:
    """Encode a tile (h, w, 4) as PNG."""
    done, encoded = cv2.imencode(".png", tile[..., [2, 1, 0, 3]], (cv2.IMWRITE_PNG_COMPRESSION, 4))
    assert done
    return encoded.tobytes()


def map_class() -> type[Map]:
    """Return the map class of leafmap.

    The first import takes seconds, so a server calls this ahead of time.
    """
    logging.getLogger("maplibre").setLevel(logging.ERROR)  # it warns about a missing optional framework
    from leafmap.maplibregl import Map

    return Map


def regional_map(
    layers: Sequence[MapLayer],
    *,
    addresses: Mapping[str, str] | None = None,
    theme: str = "light",
    height: str = "600px",
    marker: tuple[float, float] | None = None,
    for_html: bool = True,
) -> Map:
    """Show layers on a leafmap map with a plain background and a switch for each, zoomed to their extent.

    addresses: URL templates with {z}/{x}/{y} by layer name; a layer without one is embedded as an image.
    marker: (longitude, latitude). for_html: False to show the object in a live notebook.
    """
    bounds = _joined([layer.bounds for layer in layers])
    style: Any = {
        "version": 8,
        "sources": {},
        "layers": [{"id": "ground", "type": "background", "paint": {"background-color": MAP_GROUND[theme]}}],
    }
    shown = map_class()(
        style=style,
        bounds=list(bounds),
        fit_bounds_options={"padding": 24},
        height=height,
        use_message_queue=for_html,
        controls={"navigation": "top-right", "fullscreen": "top-right", "scale": "bottom-left"},
    )
    for layer in layers:
        _lay(shown, layer, (addresses or {}).get(layer.name))
    if marker is not None:
        shown.add_marker(lng_lat=list(marker))
    shown.add_layer_control(
        layer_ids=[layer.name for layer in layers],
        css_text=_LEGEND.format(*MAP_LEGEND[theme]),
        position="top-left",
    )
    return shown


def _lay(shown: Map, layer: MapLayer, address: str | None) -> None:
    from maplibre.layer import Layer, LayerType

    if address is None:
        pixels, bounds = overlay(layer)
        west, south, east, north = bounds
        url = f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"
        source: dict[str, Any] = {
            "type": "image",
            "url": url,
            "coordinates": [[west, north], [east, north], [east, south], [west, south]],
        }
    else:
        coarsest = max(0, min(layer.finest, _fitting_zoom(layer.bounds, TILE_PX)) - 4)
        source = {
            "type": "raster",
            "tiles": [address],
            "tileSize": TILE_PX,
            "bounds": list(layer.bounds),
            "minzoom": coarsest,
            "maxzoom": layer.finest,
        }
    shown.add_source(layer.name, source)
    paint = {"raster-resampling": "nearest" if address is None else "linear", "raster-fade-duration": 0}
    raster: Any = Layer(  # pyright: ignore[reportCallIssue]
        id=layer.name, type=LayerType.RASTER, source=layer.name, paint=paint
    )
    shown.add_layer(raster, name=layer.name, opacity=layer.opacity, visible=layer.shown)


def overlay(layer: MapLayer, side_px: int = OVERLAY_PX) -> tuple[RGBA, Bounds]:
    """Draw a layer as one Web Mercator image with sides up to about `side_px`.

    Also return its bounds in degrees.
    """
    zoom = min(layer.finest, _fitting_zoom(layer.bounds, side_px))
    west, south, east, north = layer.bounds
    (left, top), (right, bottom) = _mercator(np.array([[west, north], [east, south]])) * 2**zoom
    xs, ys = range(int(left), math.ceil(right - 1e-9)), range(int(top), math.ceil(bottom - 1e-9))
    empty = np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
    rows = [
        np.concatenate([tile if (tile := layer.draw(zoom, x, y)) is not None else empty for x in xs], axis=1)
        for y in ys
    ]
    corner, end = tile_bounds(zoom, xs[0], ys[0]), tile_bounds(zoom, xs[-1], ys[-1])
    return np.concatenate(rows), (corner[0], end[1], end[2], corner[3])


def tile_bounds(z: int, x: int, y: int) -> Bounds:
    """Return west, south, east, north of a web map tile in degrees."""
    n = 2**z
    north, south = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * at / n)))) for at in (y, y + 1))
    return x / n * 360 - 180, south, (x + 1) / n * 360 - 180, north


def _mercator(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert to the unit square of Web Mercator (n, 2), with its origin in the north-west."""
    lat = np.radians(lonlat[:, 1].clip(-MERCATOR_LAT, MERCATOR_LAT))
    return np.stack([lonlat[:, 0] / 360 + 0.5, 0.5 - np.arcsinh(np.tan(lat)) / (2 * np.pi)], axis=1)


def _pixels(ring: NDArray[np.float64], z: int, x: int, y: int) -> NDArray[np.int32]:
    """Convert a ring in degrees to pixels of a tile, in OpenCV's fixed-point format."""
    at = (_mercator(ring) * 2**z - (x, y)) * TILE_PX
    return np.round(at.clip(-1e4, 1e4) * 2**SHIFT).astype(np.int32)


def _about_centre(ring: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    centre = (ring.min(axis=0) + ring.max(axis=0)) / 2
    return centre + (ring - centre) * share


def _share(shapes: NDArray[Any]) -> float:
    """How much footprints must shrink not to overlap: median spacing over median size, at most 1."""
    if len(shapes) < 2:
        return 1.0
    from sklearn.neighbors import KDTree

    boxes = shapely.bounds(shapes)
    centres = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, [1, 3]].mean(axis=1)], axis=1)
    size = np.stack([np.ptp(boxes[:, ::2], axis=1), np.ptp(boxes[:, 1::2], axis=1)], axis=1)
    scaled = centres / np.median(size, axis=0)
    apart = KDTree(scaled).query(scaled, k=2)[0][:, 1]
    return float(np.clip(np.median(apart), 0.05, 1.0))


def _joined(bounds: Sequence[Bounds]) -> Bounds:
    every = np.array(bounds)
    west, south, east, north = *every[:, :2].min(axis=0).tolist(), *every[:, 2:].max(axis=0).tolist()
    return west, south, east, north


def _fitting_zoom(bounds: Bounds, side_px: int) -> int:
    """The finest zoom at which the bounds take at most `side_px` per side."""
    corners = _mercator(np.array([[bounds[0], bounds[3]], [bounds[2], bounds[1]]]))
    return max(0, math.floor(math.log2(side_px / TILE_PX / max(float(np.ptp(corners, axis=0).max()), 1e-9))))
