"""A gallery of real tiles from 0.1 m to 7 km per pixel, limited to the sources that are available."""

from __future__ import annotations

from dataclasses import dataclass

from .catalogue import Catalogue
from .tile import GeoError, TileRef, TileSpec, Window


@dataclass(frozen=True)
class GalleryEntry:
    """A tile of the gallery: title, spec, metres per pixel as read, credit and licence."""

    title: str
    spec: TileSpec
    gsd_m: float
    credit: str
    licence: str


def _window(source: str, key: str, window: Window | None = None) -> TileSpec:
    return TileSpec(TileRef(source, key), window=window)


def _globe(lon: float, lat: float, gsd_m: float) -> TileSpec:
    return TileSpec(TileRef("globe", "blue_marble"), lonlat=(lon, lat), gsd_m=gsd_m, size_px=224)


def _ground(source: str, key: str, lon: float, lat: float, gsd_m: float) -> TileSpec:
    return TileSpec(TileRef(source, key), lonlat=(lon, lat), gsd_m=gsd_m, size_px=224)


CHOICES: tuple[tuple[str, TileSpec], ...] = (
    ("Pine crowns, Florida", _window("wheels", "neon_osbs", (88, 88, 224, 224))),
    ("Conifers, Yellowstone", _window("wheels", "neon_yell", (500, 400, 224, 224))),
    ("Cleared ground, Atlanta", _window("wheels", "atlanta_pan", (300, 300, 224, 224))),
    ("Harbour, United States", _window("ucmerced", "harbor/harbor04.jpg")),
    ("Streets and a park, Rotterdam", _window("wheels", "rotterdam_ms1", (38, 38, 224, 224))),
    ("Town and forest, North Carolina", _window("wheels", "wake_county", (120, 110, 224, 224))),
    ("Prairie potholes, North Dakota", _window("scenes", "naip_nd_20090818.tif", (300, 250, 224, 224))),
    ("River, Europe", _window("eurosat_rgb", "River/River_1004.jpg")),
    ("Salt ponds, Utah", _window("samples", "landsat", (700, 620, 224, 224))),
    ("San Francisco, false colour", _ground("samples", "landsat7", -122.44, 37.76, 50)),
    ("Bahama banks", _window("samples", "bahamas_rgb", (260, 400, 224, 224))),
    ("Smoke over California", _window("scenes", "modis_california_wildfires_490m.tif", (400, 300, 224, 224))),
    ("The Alps and the Po plain", _globe(9.5, 45.5, 2500)),
    ("Nile delta and Sinai", _globe(31.5, 30.0, 4000)),
    ("Himalaya", _globe(86.0, 29.0, 7400)),
    ("Greenland", _globe(-41.0, 73.0, 12000)),
)


def gallery(catalogue: Catalogue) -> tuple[GalleryEntry, ...]:
    """Return the tiles whose source is in the catalogue, finest first.

    Read one with `catalogue.read(spec)`.
    """
    entries: list[GalleryEntry] = []
    for title, spec in CHOICES:
        if spec.ref.source not in catalogue.names():
            continue
        source = catalogue.source(spec.ref.source)
        try:
            entry = source.entry(spec.ref.key)
            gsd_m = spec.gsd_m or source.native_gsd_m(spec.ref.key)
        except GeoError as error:  # one missing file must not break the gallery
            catalogue.problems.append(str(error))
            continue
        entries.append(
            GalleryEntry(
                title, spec, gsd_m, entry.credit or source.info.credit, entry.licence or source.info.licence
            )
        )
    return tuple(sorted(entries, key=lambda choice: choice.gsd_m))
