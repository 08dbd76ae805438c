"""Zip packs: pictures and rasters listed by an index.csv, read in memory without unpacking."""

from __future__ import annotations

import csv
import io
import math
import os
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from .. import ground
from ..picture import Picture
from ..tile import RGB, GeoError
from .base import Entry, Source, SourceInfo, missing_key
from .picture_file import decode_picture, parse_world_file
from .sniffing import load_bytes, sniff

INDEX = "index.csv"
MAX_INDEX_BYTES = 64 * 2**20
MAX_MEMBER_BYTES = 512 * 2**20
WORLD_SUFFIXES = {".jpg": ".jgw", ".jpeg": ".jgw", ".png": ".pgw"}

Terms = tuple[str, str, str]
KNOWN_PACKS: dict[str, Terms] = {  # title, credit, licence
    "eurosat_rgb": (
        "EuroSAT, Europe, 10 m",
        "EuroSAT (Helber et al. 2019); contains Copernicus Sentinel data",
        "MIT",
    ),
    "ucmerced": ("UC Merced, US cities, 0.3 m", "USGS; Yang & Newsam 2010", "public domain"),
    "harvey_houston": (
        "Hurricane Harvey, 0.46 m",
        "Maxar Open Data; Cao & Choe 2018",
        "CC BY-NC 4.0: evaluation only",
    ),
    "neon_0p1m": ("NEON forests, 0.1 m", "NEON airborne data; Weinstein et al. 2019", "open, cite NEON"),
    "scenes": ("Scenes, 0.5 m to 4.9 km", "", "per scene"),
}


class PackSource(Source):
    """The members of a zip that its `index.csv` lists.

    Columns: `file`; optionally gsd_m, lat, lon, label, split, rgb_bands, licence, source, role and describes.
    Rows whose role is not "image" are left out. Raises GeoError for a damaged zip, or an index that is
    missing or lists none of the members.
    """

    def __init__(self, file: Path, *, name: str | None = None) -> None:
        self._file = file
        self._archive = ZipArchive(file)
        rows = _rows(self._archive)
        self._entries = {row["file"]: _entry(row) for row in rows if row.get("role") in (None, "", "image")}
        self._crs = {row["file"]: row.get("crs") or "" for row in rows}
        present = [key for key in self._entries if key in self._archive.names]
        if not present:
            raise GeoError(
                f"The index of '{file.name}' lists no picture of the zip: "
                "create the zip again with its pictures."
            )
        title, credit, licence = KNOWN_PACKS.get(file.stem, (file.stem, "", ""))
        super().__init__(name or file.stem, SourceInfo(title, "pack", len(present), credit, licence))
        self._keys = tuple(present)

    def keys(self) -> tuple[str, ...]:
        """Return the members present in the zip, in the order of the index."""
        return self._keys

    def entry(self, key: str) -> Entry:
        """Return what the index states about a member."""
        if key not in self._entries:
            raise missing_key(self.info.title, key)
        return self._entries[key]

    def _open(self, key: str) -> Picture:
        data, name = self._archive.read(key), key[-80:]
        world_file = (
            PurePosixPath(key)
            .with_suffix(WORLD_SUFFIXES.get(PurePosixPath(key).suffix.lower(), ".wld"))
            .as_posix()
        )
        crs = self._crs.get(key, "")
        if (
            sniff(data[:64], name) == "picture"
            and world_file in self._archive.names
            and ground.usable_crs(crs)
        ):
            transform = parse_world_file(self._archive.read(world_file).decode("ascii", "replace"))
            return decode_picture(data, name, crs=crs if transform else None, transform=transform)
        return load_bytes(data, name)


class ZipArchive:
    """Reads members of a zip by name, limited in size. Safe to share between threads and across a fork."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self.names = frozenset(self._zip().namelist())

    def read(self, name: str, limit: int = MAX_MEMBER_BYTES) -> bytes:
        """Return the bytes of a member.

        Raises GeoError if it is missing, damaged, encrypted or above `limit` bytes.
        """
        if name not in self.names:
            raise GeoError(
                f"'{self._file.name}' does not contain '{name[:80]}' from its index: "
                "create the zip again, or choose another."
            )
        stated = self._zip().getinfo(name).file_size
        if stated > limit:
            raise self._too_large(name, limit)
        try:
            with self._lock, self._zip().open(name) as stream:
                data = stream.read(stated + 1)
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            RuntimeError,
            NotImplementedError,
            EOFError,
        ) as error:
            raise GeoError(
                f"'{name[:80]}' in '{self._file.name}' is damaged or encrypted: "
                "copy or download the zip again."
            ) from error
        return data

    def _too_large(self, name: str, limit: int) -> GeoError:
        return GeoError(
            f"'{name[:80]}' in '{self._file.name}' unpacks to more than {limit // 2**20} MiB: "
            "remove it from the zip."
        )

    def _zip(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = os.getpid(), zipfile.ZipFile(self._file)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise GeoError(
                    f"'{self._file.name}' is not a readable zip: copy or download it again."
                ) from error
        return self._opened[1]


def _rows(archive: ZipArchive) -> list[dict[str, str]]:
    if INDEX not in archive.names:
        raise GeoError(
            "The zip has no index.csv: add one with a column `file` (and `gsd_m`), or unpack it and open "
            "the folder."
        )
    text = archive.read(INDEX, MAX_INDEX_BYTES).decode("utf-8-sig", "replace")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if "file" not in (reader.fieldnames or ()):
            raise GeoError("The index.csv of the pack has no column `file`: list the members in that column.")
        return [row for row in reader if row.get("file")]
    except csv.Error as error:
        raise GeoError("The index.csv of the pack is not valid CSV: write it again.") from error


def _entry(row: Mapping[str, str]) -> Entry:
    lon, lat = _number(row.get("lon"), -180, 180), _number(row.get("lat"), -90, 90)
    return Entry(
        key=row["file"],
        title=row.get("describes") or PurePosixPath(row["file"]).stem,
        gsd_m=_number(row.get("gsd_m"), 1e-4, 1e6),
        lonlat=None if lon is None or lat is None else (lon, lat),
        label=row.get("label") or "",
        split=row.get("split") or "",
        rgb=_bands((row.get("rgb_bands") or "").split()),
        credit=row.get("source") or "",
        licence=row.get("licence") or "",
    )


def _number(text: str | None, low: float, high: float) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) and low <= value <= high else None


def _bands(texts: Iterable[str]) -> RGB | None:
    numbers = [int(text) - 1 for text in texts if text.isdecimal()]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 and min(numbers) >= 0 else None
