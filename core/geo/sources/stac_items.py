"""STAC items as satellite scenes: time, cloud cover, outline and rasters; untrusted JSON is validated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..tile import GeoError
from .base import Entry
from .listed import Listed, plain
from .remote import name_of

SENTINEL_2 = "sentinel-2-l2a"
CREDITS = {SENTINEL_2: "Contains modified Copernicus Sentinel data"}
FREE = {SENTINEL_2: "Copernicus Sentinel data terms: free, with credit"}
EYE_ASSETS = ("visual", "rendered_preview_cog", "true_color", "image", "data")
TIFF_TYPE = "image/tiff"
PREVIEW_TYPES = ("image/jpeg", "image/png", "image/jpg")


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
