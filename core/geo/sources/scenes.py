"""Searches a STAC catalogue for satellite scenes, or reads them from the address of an item.

The default is Sentinel-2 L2A of Earth Search: cloud-optimised, all land, every few days, free and without an
account. EARTH_MAE_STAC and EARTH_MAE_STAC_COLLECTION select another. pystac-client builds the query and
follows pages; its HTTP client is replaced by `core.net.client` with its limits. Responses are untrusted:
`stac_items` validates them, and invalid items are left out.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode, urlsplit

from ...net.client import Web
from ...net.failures import RefusedError
from ...net.online import OnlineError
from ..tile import GeoError
from .listed import plain
from .stac_items import SENTINEL_2, SatelliteScene, scene_of

STAC_VARIABLE, COLLECTION_VARIABLE = "EARTH_MAE_STAC", "EARTH_MAE_STAC_COLLECTION"
EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"

MOST_SCENES = 100


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


def search(web: Web, query: SceneQuery, where: StacCatalogue | None = None) -> tuple[SatelliteScene, ...]:
    """Search a catalogue for scenes of a place, least cloudy first; raises OnlineError if there are none."""
    where = where or catalogue()
    lon, lat = (query.lonlat[0] + 180) % 360 - 180, query.lonlat[1]
    conditions: dict[str, Any] = {
        "collections": [where.collection],
        "intersects": {"type": "Point", "coordinates": [lon, lat]},
        "datetime": f"{query.first_day}/{query.last_day}",
    }
    extensions = {
        "query": {"eo:cloud_cover": {"lte": query.cloud_percent}},
        "sortby": [{"field": "properties.eo:cloud_cover", "direction": "asc"}],
    }
    to = f"{where.address.rstrip('/')}/search"
    try:
        items = _items(web, to, query.most, {**conditions, **extensions})
    except RefusedError as refused:
        if refused.status not in (400, 422, 501):
            raise
        items = _items(web, to, MOST_SCENES, conditions)  # no query or sort extension: filter here
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


def _items(web: Web, to: str, most: int, conditions: dict[str, Any]) -> list[Any]:
    from pystac_client import ItemSearch

    try:
        return list(
            ItemSearch(to, stac_io=_io(web), max_items=most, limit=most, **conditions).items_as_dicts()
        )
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
    response = web.json(address)
    items: Any = (
        response.get("features")
        if isinstance(response, dict) and response.get("type") == "FeatureCollection"
        else [response]
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
