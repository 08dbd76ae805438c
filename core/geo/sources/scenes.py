"""Satellite scenes of a STAC catalogue, found by place, dates and cloud cover or read from the address of
an item.

The default is Sentinel-2 L2A of Earth Search: cloud-optimised, all land, every few days, free and without an
account. EARTH_MAE_STAC and EARTH_MAE_STAC_COLLECTION select another. pystac-client builds the query and
follows pages; its HTTP client is replaced by `core.net.client` with its limits. Responses are untrusted:
items are validated here, and invalid ones are left out.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from ...net.client import RefusedError, Web
from ...net.online import OnlineError
from ..tile import GeoError
from .base import Entry
from .listed import Listed, plain
from .remote import name_of

STAC_VARIABLE, COLLECTION_VARIABLE = "EARTH_MAE_STAC", "EARTH_MAE_STAC_COLLECTION"
EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
SENTINEL_2 = "sentinel-2-l2a"
CREDITS = {SENTINEL_2: "Contains modified Copernicus Sentinel data"}
FREE = {SENTINEL_2: "Copernicus Sentinel data terms: free, with credit"}

MOST_SCENES = 100
EYE_ASSETS = ("visual", "rendered_preview_cog", "true_color", "image", "data")
TIFF_TYPE = "image/tiff"
PREVIEW_TYPES = ("image/jpeg", "image/png", "image/jpg")


@dataclass(frozen=True)
class StacCatalogue:
    """A STAC API and one of its collections."""

    address: str
    collection: str

    @property
    def title(self) -> str:
        """The name to display."""
        return f"{self.collection} at {urlsplit(self.address).hostname}"


def catalogue() -> StacCatalogue:
    """Return the catalogue selected in the environment."""
    return StacCatalogue(
        os.environ.get(STAC_VARIABLE) or EARTH_SEARCH, os.environ.get(COLLECTION_VARIABLE) or SENTINEL_2
    )


@dataclass(frozen=True)
class SceneQuery:
    """A search: `lonlat` in degrees, first and last day (inclusive, ISO 8601), maximum cloud cover in
    percent.

    Raises GeoError for an invalid place or date range.
    """

    lonlat: tuple[float, float]
    first_day: str
    last_day: str
    cloud_percent: float = 20.0
    most: int = 12

    def __post_init__(self) -> None:
        lon, lat = self.lonlat
        if not (math.isfinite(lon) and math.isfinite(lat) and abs(lon) <= 360 and abs(lat) <= 90):
            raise GeoError(
                f"{lon:g}, {lat:g} is not a place on Earth: give longitude, then latitude, in degrees."
            )
        try:
            backwards = date.fromisoformat(self.first_day) > date.fromisoformat(self.last_day)
        except ValueError as error:
            raise GeoError(
                f"'{self.first_day[:20]}' to '{self.last_day[:20]}' is not a date range: "
                "write dates as 2024-06-30."
            ) from error
        if backwards:
            raise GeoError(
                f"The date range ends on {self.last_day}, before it begins on {self.first_day}: swap the two."
            )
        if not 0 <= self.cloud_percent <= 100 or not 1 <= self.most <= MOST_SCENES:
            raise GeoError(
                f"Cloud cover must be 0 to 100 % and the number of scenes 1 to {MOST_SCENES}: "
                "change the invalid value."
            )


@dataclass(frozen=True)
class Asset:
    """A raster of a scene: key in the item, title, address, and GSD in metres if stated."""

    key: str
    title: str
    address: str
    gsd_m: float | None
    roles: tuple[str, ...]


@dataclass(frozen=True)
class SatelliteScene:
    """One acquisition: time (ISO 8601), cloud cover in percent if known, outline as rings of (lon, lat),
    preview, rasters."""

    id: str
    address: str
    collection: str
    when: str
    cloud_percent: float | None
    outline: tuple[tuple[tuple[float, float], ...], ...]
    thumbnail: str | None
    assets: tuple[Asset, ...]

    def asset(self, key: str | None = None) -> Asset:
        """Return an asset by key, by default the visual one; raises GeoError if there is none."""
        names = {asset.key: asset for asset in self.assets}
        if key is not None:
            if key not in names:
                raise GeoError(
                    f"The scene {self.id} has no raster '{key[:40]}': "
                    f"choose one of {', '.join(names) or 'none'}."
                )
            return names[key]
        for name in EYE_ASSETS:
            if name in names:
                return names[name]
        chosen = (
            [a for a in self.assets if "visual" in a.roles]
            or [a for a in self.assets if "data" in a.roles]
            or list(self.assets)
        )
        if not chosen:
            raise GeoError(f"The scene {self.id} has no GeoTIFF with an https address: choose another scene.")
        return chosen[0]

    def listed(self, key: str | None = None) -> Listed:
        """Return an asset as a raster of an online source."""
        asset = self.asset(key)
        year = self.when[:4]
        credit = (
            f"{CREDITS[self.collection]} {year}".strip() if self.collection in CREDITS else self.collection
        )
        title = f"{self.id} {asset.key}"
        entry = Entry(
            plain(asset.address), title, credit=credit, licence=FREE.get(self.collection, ""), when=self.when
        )
        return Listed(entry, asset.address)


def search(web: Web, query: SceneQuery, where: StacCatalogue | None = None) -> tuple[SatelliteScene, ...]:
    """Search a catalogue for scenes of a place, least cloudy first; raises OnlineError if there are none."""
    where = where or catalogue()
    lon, lat = (query.lonlat[0] + 180) % 360 - 180, query.lonlat[1]
    asked: dict[str, Any] = {
        "collections": [where.collection],
        "intersects": {"type": "Point", "coordinates": [lon, lat]},
        "datetime": f"{query.first_day}/{query.last_day}",
    }
    choosy = {
        "query": {"eo:cloud_cover": {"lte": query.cloud_percent}},
        "sortby": [{"field": "properties.eo:cloud_cover", "direction": "asc"}],
    }
    to = f"{where.address.rstrip('/')}/search"
    try:
        items = _items(web, to, query.most, {**asked, **choosy})
    except RefusedError as refused:
        if refused.status not in (400, 422, 501):
            raise
        items = _items(web, to, MOST_SCENES, asked)  # an API without the query or sort extension: filter here
    scenes = [scene for item in items if (scene := scene_of(item)) is not None]
    fit = [s for s in scenes if (s.cloud_percent or 0) <= query.cloud_percent and s.assets]
    if not fit:
        raise OnlineError(
            f"No scene of {where.title} shows {lon:.3f}, {lat:.3f} from {query.first_day} to "
            f"{query.last_day} with at most "
            f"{query.cloud_percent:g} % cloud: widen the dates, allow more cloud, or choose a place on land."
        )
    return tuple(
        sorted(fit, key=lambda s: (101.0 if s.cloud_percent is None else s.cloud_percent, s.id))[: query.most]
    )


def _items(web: Web, to: str, most: int, asked: dict[str, Any]) -> list[Any]:
    from pystac_client import ItemSearch

    try:
        return list(ItemSearch(to, stac_io=_io(web), max_items=most, limit=most, **asked).items_as_dicts())
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise OnlineError(
            f"{urlsplit(to).hostname} does not respond like a STAC API: check the address ({STAC_VARIABLE})."
        ) from error


def _io(web: Web) -> Any:
    """Return a reader for pystac-client that sends every request through `Web` and limits the number of
    pages."""
    from pystac_client.stac_api_io import StacApiIO

    class Guarded(StacApiIO):
        def __init__(self) -> None:
            self.timeout, self._req_modifier, self._pages = None, None, 0

        def read_json(self, source: Any, **kwargs: Any) -> Any:
            self._pages += 1
            if self._pages > 10:
                raise ValueError("too many pages")
            href, method, parameters = source, kwargs.get("method"), kwargs.get("parameters")
            if not isinstance(source, str):
                link = source.to_dict()
                href, method = link["href"], link.get("method", "GET")
                body = link.get("body") or {}
                parameters = {**(parameters or {}), **body} if link.get("merge") else body
            if (method or "GET").upper() == "POST":
                return web.json(str(href), parameters or {})
            return web.json(
                f"{href}{'&' if '?' in str(href) else '?'}{urlencode(parameters)}"
                if parameters
                else str(href)
            )

    return Guarded()


def read_scenes(web: Web, address: str) -> tuple[SatelliteScene, ...]:
    """Read the scene of a STAC item, or those of a list of items, from an address; raises OnlineError."""
    found = web.json(address)
    items: Any = (
        found.get("features")
        if isinstance(found, dict) and found.get("type") == "FeatureCollection"
        else [found]
    )
    scenes = [
        scene
        for item in (items if isinstance(items, list) else [])[:MOST_SCENES]
        if (scene := scene_of(item, address)) is not None
    ]
    if not scenes:
        raise OnlineError(
            f"There is no STAC item at {plain(address)[:120]}: "
            "give the address of an item or of a search result."
        )
    return tuple(scenes)


def scene_of(item: Any, address: str = "") -> SatelliteScene | None:
    """Parse a STAC item, keeping the assets that are GeoTIFFs at http(s) addresses.

    None if it is not an item.
    """
    if (
        not isinstance(item, dict)
        or item.get("type") != "Feature"
        or not isinstance(item.get("assets"), dict)
    ):
        return None
    stated = item.get("properties")
    properties: dict[str, Any] = stated if isinstance(stated, dict) else {}
    base = next(
        (
            link["href"]
            for link in _dicts(item.get("links"))
            if link.get("rel") == "self" and isinstance(link.get("href"), str)
        ),
        address,
    )
    assets = {str(key): asset for key, asset in item["assets"].items() if isinstance(asset, dict)}
    rasters = [
        _raster(key, asset, base)
        for key, asset in assets.items()
        if str(asset.get("type", "")).startswith(TIFF_TYPE)
    ]
    previews = [urljoin(base, str(a.get("href", ""))) for k, a in assets.items() if _is_preview(k, a)]
    return SatelliteScene(
        _short(item.get("id"), 120) or name_of(base),
        base,
        _short(item.get("collection"), 80),
        _short(properties.get("datetime") or properties.get("start_datetime"), 40),
        _number(properties.get("eo:cloud_cover"), 0, 100),
        _outline(item.get("geometry")),
        next((href for href in previews if _is_web(href)), None),
        tuple(raster for raster in rasters if _is_web(raster.address)),
    )


def _raster(key: str, asset: dict[str, Any], base: str) -> Asset:
    bands = _dicts(asset.get("raster:bands")) or [{}]
    gsd = _number(asset.get("gsd"), 1e-3, 1e6) or _number(bands[0].get("spatial_resolution"), 1e-3, 1e6)
    given = asset.get("roles")
    roles: tuple[str, ...] = tuple(str(role) for role in given) if isinstance(given, list) else ()
    return Asset(
        key[:80],
        _short(asset.get("title"), 120) or key[:80],
        urljoin(base, str(asset.get("href", ""))),
        gsd,
        roles,
    )


def _is_preview(key: str, asset: dict[str, Any]) -> bool:
    roles = asset.get("roles")
    named = key == "thumbnail" or (isinstance(roles, list) and "thumbnail" in roles)
    return named and asset.get("type", "image/jpeg") in PREVIEW_TYPES


def _is_web(address: str) -> bool:
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:
        return False


def _outline(geometry: Any) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Return the outer rings of a Polygon or MultiPolygon; empty for anything else."""
    if not isinstance(geometry, dict):
        return ()
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    polygons: Any = [coordinates] if kind == "Polygon" else coordinates if kind == "MultiPolygon" else []
    try:
        rings = tuple(tuple((float(x), float(y)) for x, y, *_ in polygon[0]) for polygon in polygons)
    except (TypeError, ValueError, IndexError, KeyError):
        return ()
    good = all(math.isfinite(x) and abs(x) <= 360 and abs(y) <= 90 for ring in rings for x, y in ring)
    return rings if good and sum(map(len, rings)) < 10_000 else ()


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _short(value: Any, most: int) -> str:
    return value[:most] if isinstance(value, str) and value.isprintable() else ""


def _number(value: Any, low: float, high: float) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    return float(value) if good else None
