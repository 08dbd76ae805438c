"""Training imagery without any download: sample rasters of the installed packages, cut into blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .catalogue import DATA_VARIABLE, SHARED_DATA
from .imagery import FoundImagery, Imagery, Picture
from .imagery_packs import SOURCES
from .sources.base import Entry, Source
from .sources.globe import GLOBE_KEY
from .sources.samples import GlobeSource, bundled_sources
from .sources.wheels import WheelSource
from .stretch import to_unit
from .tile import GeoError, TileSpec

SAMPLES, GLOBE = "samples", "globe"
"""Names of the two kinds of sample imagery in `data` of a training spec."""

BLOCK_PX, LEAST_VALID = 448, 0.97
GLOBE_SHARE = 0.2
ELEVATION = ("srtm90", "co_elevation_roi")


def packs_folder() -> Path | None:
    """Return the first folder with a pack of training imagery, among those in EARTH_MAE_DATA or the
    default one."""
    named = [Path(text).expanduser() for text in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if text]
    folders = named or [SHARED_DATA]
    return next(
        (
            folder
            for folder in folders
            if any((folder / pack).is_file() for source in SOURCES for pack in source.packs)
        ),
        None,
    )


def sample_imagery(names: tuple[str, ...] = ()) -> FoundImagery:
    """Read the sample rasters and the Blue Marble (or those of the two in `names`) as training imagery.

    Elevation rasters and test splits are left out. Raises GeoError if no sample raster is installed.
    """
    chosen = names or (SAMPLES, GLOBE)
    available = [imagery for name in chosen if (imagery := _READERS[name]()) is not None]
    if not available:
        raise GeoError(
            "No sample raster is installed: run `make setup`, or put imagery packs into a folder and pass "
            "it with --data."
        )
    present = {imagery.name for imagery in available}
    return FoundImagery(tuple(available), tuple(name for name in chosen if name not in present))


def _samples() -> Imagery | None:
    sources = [source for source in bundled_sources() if not isinstance(source, GlobeSource)] + [
        WheelSource()
    ]
    pictures: list[Picture] = []
    gsds: list[float] = []
    skipped: list[str] = []
    for source, key in [(one, key) for one in sources for key in one.keys()]:  # noqa: SIM118 (not a dict)
        entry = source.entry(key)
        if entry.split == "test" or key in ELEVATION:
            continue
        try:
            pixels, valid, gsd_m = _whole(source, key, entry)
        except GeoError:
            skipped.append(key)
            continue
        blocks = list(_blocks(pixels, valid))
        pictures += blocks
        gsds += [gsd_m] * len(blocks)
    if not pictures:
        return None
    licence = "public domain, MIT or CC BY-SA 4.0 (SpaceNet): per raster, see THIRD_PARTY.md"
    return Imagery(SAMPLES, licence, tuple(pictures), tuple(gsds), 1 - GLOBE_SHARE, skipped=tuple(skipped))


def _globe() -> Imagery | None:
    for source in bundled_sources():
        if isinstance(source, GlobeSource):
            header = source.header(GLOBE_KEY)
            raw = source.opened(GLOBE_KEY).read(0, (0, 0, header.width, header.height))
            picture = np.ascontiguousarray(raw.pixels[:3].transpose(1, 2, 0))
            licence, gsd_m = source.entry(GLOBE_KEY).licence, source.native_gsd_m(GLOBE_KEY)
            return Imagery(GLOBE, licence, (picture,), (gsd_m,), GLOBE_SHARE, coarser=6.0, plate_carree=True)
    return None


_READERS = {SAMPLES: _samples, GLOBE: _globe}


def _whole(source: Source, key: str, entry: Entry) -> tuple[Picture, NDArray[np.bool_], float]:
    """Read a whole raster as uint8 (h, w, 3), with valid pixels and native GSD."""
    header = source.header(key)
    tile = source.read(TileSpec(source.ref(key), window=(0, 0, header.width, header.height), rgb=entry.rgb))
    return (to_unit(tile) * 255).round().astype(np.uint8).transpose(1, 2, 0), tile.valid, tile.gsd


def _blocks(pixels: Picture, valid: NDArray[np.bool_]) -> Iterator[Picture]:
    """Yield evenly spaced blocks of at most BLOCK_PX per side, skipping those with many invalid pixels."""
    height, width = valid.shape
    for top, tall in _spans(height):
        for left, wide in _spans(width):
            if valid[top : top + tall, left : left + wide].mean() >= LEAST_VALID:
                yield np.ascontiguousarray(pixels[top : top + tall, left : left + wide])


def _spans(length: int) -> list[tuple[int, int]]:
    size = min(length, BLOCK_PX)
    count = -(-length // size)
    return [(round(i * (length - size) / max(1, count - 1)), size) for i in range(count)]
