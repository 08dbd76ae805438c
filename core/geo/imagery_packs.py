"""Packs of openly licensed training imagery, and the images decoded from them."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import write_atomic
from .imagery import FoundImagery, Imagery, Picture, decode_image
from .tile import GeoError


@dataclass(frozen=True)
class ImagerySource:
    """One source of training imagery: the packs that hold it in the data folder, and how it is sampled."""

    name: str
    packs: tuple[str, ...]
    licence: str
    share: float
    coarser: float
    members: Callable[[dict[str, str]], bool]
    plate_carree: bool = False


def _training_row(row: dict[str, str]) -> bool:
    return row.get("split") == "train"


SOURCES = (
    ImagerySource(
        "eurosat",
        ("eurosat_rgb.zip", "eurosat_rgb_rest.zip"),
        "MIT; contains Copernicus Sentinel data",
        0.40,
        4.0,
        _training_row,
    ),
    ImagerySource("ucmerced", ("ucmerced.zip",), "USGS, public domain", 0.22, 4.0, _training_row),
    ImagerySource("neon", ("neon_0p1m.zip",), "NEON open data; repository MIT", 0.06, 4.0, _training_row),
    ImagerySource(
        "overhead_mix",
        ("overhead_mix.zip",),
        "per row of its index: public domain, CC BY 4.0, Copernicus, Etalab 2.0, NEON; 104 rows CC BY-SA 4.0",
        0.20,
        4.0,
        _training_row,
    ),
    ImagerySource(
        "scenes",
        ("scenes.zip",),
        "public domain, CC BY-SA 4.0 (SpaceNet), BSD-3-Clause: per row of its index",
        0.07,
        4.0,
        lambda row: _training_row(row) and row.get("role") == "image" and row["file"].endswith(".tif"),
    ),
    ImagerySource(
        "bluemarble",
        ("scenes.zip",),
        "NASA, public domain",
        0.05,
        6.0,
        lambda row: (
            _training_row(row) and row["file"].startswith("bluemarble") and row.get("role") == "image"
        ),
        plate_carree=True,
    ),
)
"""Openly licensed training imagery, with the share of crops that each source gets."""


def find_imagery(folder: Path, names: tuple[str, ...] = (), cache: Path | None = None) -> FoundImagery:
    """Decode the training images of the packs in `folder`, of all sources or those named.

    Test splits are never read.

    With `cache`, decoded images are stored there as one .npz per pack, keyed by the size and time of the
    pack. Raises GeoError if nothing is found.
    """
    unknown = set(names) - {source.name for source in SOURCES}
    if unknown:
        known = ", ".join(source.name for source in SOURCES)
        raise GeoError(f"There is no training imagery {', '.join(sorted(unknown))}: choose from {known}.")
    chosen = [source for source in SOURCES if not names or source.name in names]
    present = [source for source in chosen if any((folder / pack).is_file() for pack in source.packs)]
    if not present:
        packs = ", ".join(sorted({pack for source in chosen for pack in source.packs}))
        raise GeoError(
            f"No training imagery was found under {folder}: "
            f"put {packs} there or name another folder with --data."
        )
    lacking = tuple(source.name for source in chosen if source not in present)
    return FoundImagery(tuple(_decode_source(source, folder, cache) for source in present), lacking)


def _decode_source(source: ImagerySource, folder: Path, cache: Path | None) -> Imagery:
    pictures: list[Picture] = []
    gsds: list[float] = []
    skipped: list[str] = []
    content = hashlib.sha256()
    for pack in source.packs:
        if not (folder / pack).is_file():
            continue
        decoded = _decode_pack(source, folder / pack, cache)
        pictures += decoded.pictures
        gsds += decoded.gsd_m
        skipped += decoded.skipped
        content.update(decoded.index.encode())
    if not pictures:
        raise GeoError(
            f"No training image of {' and '.join(source.packs)} could be read: fetch the packs again."
        )
    return Imagery(
        source.name,
        source.licence,
        tuple(pictures),
        tuple(gsds),
        source.share,
        source.coarser,
        tuple(skipped),
        source.plate_carree,
        digest=content.hexdigest(),
    )


@dataclass(frozen=True)
class _DecodedPack:
    """Training images of one pack; `index` is the SHA-256 of the index rows that select them."""

    pictures: list[Picture]
    gsd_m: list[float]
    skipped: list[str]
    index: str


def _decode_pack(source: ImagerySource, pack: Path, cache: Path | None) -> _DecodedPack:
    status = pack.stat()
    key = f"{source.name} {pack.name} {status.st_size} {status.st_mtime_ns}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    cached = cache / f"{source.name}-{digest}.npz" if cache else None
    if cached and cached.is_file():
        with np.load(cached) as store:
            pictures = [store[f"picture{i}"] for i in range(len(store["gsd_m"]))]
            return _DecodedPack(
                pictures, store["gsd_m"].tolist(), store["skipped"].tolist(), str(store["index"])
            )
    decoded = _read_members(source, pack)
    if cached:
        buffer = io.BytesIO()
        arrays = {f"picture{i}": picture for i, picture in enumerate(decoded.pictures)}
        lists = {"gsd_m": np.array(decoded.gsd_m), "skipped": np.array(decoded.skipped, dtype=str)}
        np.savez(buffer, index=np.array(decoded.index), allow_pickle=False, **lists, **arrays)
        with suppress(OSError):  # a cache folder that cannot be written costs time, not the run
            write_atomic(cached, buffer.getvalue())
    return decoded


def _read_members(source: ImagerySource, pack: Path) -> _DecodedPack:
    pictures: list[Picture] = []
    gsds: list[float] = []
    skipped: list[str] = []
    chosen = hashlib.sha256()
    with zipfile.ZipFile(pack) as archive:
        rows = csv.DictReader(io.TextIOWrapper(archive.open("index.csv"), "utf-8"))
        for row in filter(source.members, rows):
            chosen.update(f"{row['file']} {row['gsd_m']} {archive.getinfo(row['file']).CRC}\n".encode())
            picture = decode_image(row["file"], archive.read(row["file"]), row)
            if picture is None:
                skipped.append(row["file"])
            else:
                pictures.append(picture)
                gsds.append(float(row["gsd_m"]))
    return _DecodedPack(pictures, gsds, skipped, chosen.hexdigest())
