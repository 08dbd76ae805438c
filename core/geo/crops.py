"""Crops for training: random places, scales and turns from imagery whose ground sample distance is known.

Every crop is a pure function of (imagery, seed, number), so a run that resumes sees exactly the crops it would have seen.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import write_atomic
from .tile import GeoError

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Imagery:
    """Decoded pictures of one kind, uint8 (h, w, 3) each, at `gsd_m` metres per pixel.

    `finer` and `coarser` bound the scale of crops: a crop's GSD is gsd_m times a factor drawn log-uniformly between them. `skipped` names
    members that could not be decoded. `share` is how often this kind is drawn relative to the others. `plate_carree` pictures span the
    globe: crops are cut where latitude is drawn uniformly in area, columns stretched by its cosine.
    """

    name: str
    licence: str
    pictures: tuple[Picture, ...]
    gsd_m: tuple[float, ...]
    share: float
    finer: float
    coarser: float
    skipped: tuple[str, ...] = ()
    plate_carree: bool = False


@dataclass(frozen=True)
class Wanted:
    """One kind of imagery that training asks for: a pack in the data folder and how to sample it."""

    name: str
    pack: str
    licence: str
    share: float
    finer: float
    coarser: float
    members: Callable[[dict[str, str]], bool]
    plate_carree: bool = False


def _training_row(row: dict[str, str]) -> bool:
    return row.get("split") == "train"


WANTED = (
    Wanted("eurosat", "eurosat_rgb.zip", "MIT; contains Copernicus Sentinel data", 0.42, 0.5, 1.0, _training_row),
    Wanted("ucmerced", "ucmerced.zip", "USGS, public domain", 0.26, 1.0, 2.2, _training_row),
    Wanted("neon", "neon_0p1m.zip", "NEON open data; repository MIT", 0.08, 1.0, 3.0, _training_row),
    Wanted(
        "scenes", "scenes.zip", "public domain, CC BY-SA 4.0 (SpaceNet), BSD-3-Clause: per row of its index", 0.14, 1.0, 4.0,
        lambda row: _training_row(row) and row.get("role") == "image" and row["file"].endswith(".tif"),
    ),
    Wanted(
        "bluemarble", "scenes.zip", "NASA, public domain", 0.10, 1.0, 6.0,
        lambda row: _training_row(row) and row["file"].startswith("bluemarble") and row.get("role") == "image", plate_carree=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class FoundImagery:
    """What a data folder holds of what training wants, and what it lacks."""

    imagery: tuple[Imagery, ...]
    lacking: tuple[str, ...]


def find_imagery(folder: Path, names: tuple[str, ...] = (), cache: Path | None = None) -> FoundImagery:
    """Decode the training members of every wanted pack under `folder` (all of them, or those named). Test splits are never read.

    With `cache`, decoded pictures are kept there as one .npz a pack and found again by the pack's size and time. Raises GeoError where
    nothing is found.
    """
    chosen = [wanted for wanted in WANTED if not names or wanted.name in names]
    unknown = set(names) - {wanted.name for wanted in WANTED}
    if unknown:
        raise GeoError(f"There is no training imagery called {', '.join(sorted(unknown))}: choose of {', '.join(w.name for w in WANTED)}.")
    found = [_decode_pack(wanted, folder / wanted.pack, cache) for wanted in chosen if (folder / wanted.pack).is_file()]
    lacking = tuple(wanted.name for wanted in chosen if not (folder / wanted.pack).is_file())
    if not found:
        packs = ", ".join(wanted.pack for wanted in chosen)
        raise GeoError(f"No training imagery was found under {folder}: put {packs} there or name another folder with --data.")
    return FoundImagery(tuple(found), lacking)


def folder_imagery(folder: Path, gsd_m: float, name: str = "folder") -> Imagery:
    """Every PNG, JPEG and TIFF under a folder as training imagery at one stated GSD; unreadable files are counted and named."""
    pictures: list[Picture] = []
    skipped: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".tif", ".tiff"}):
        picture = _decode(path.name, path.read_bytes(), {})
        if picture is None:
            skipped.append(str(path.relative_to(folder)))
        else:
            pictures.append(picture)
    if not pictures:
        raise GeoError(f"The folder {folder} holds no readable picture: put PNG, JPEG or TIFF files there.")
    return Imagery(name, "yours", tuple(pictures), (gsd_m,) * len(pictures), 1.0, 1.0, 2.0, tuple(skipped))


def _decode_pack(wanted: Wanted, pack: Path, cache: Path | None) -> Imagery:
    stamp = hashlib.sha256(f"{wanted.name} {pack.stat().st_size} {pack.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    kept = cache / f"{wanted.name}-{stamp}.npz" if cache else None
    if kept and kept.is_file():
        with np.load(kept) as store:
            pictures = tuple(store[f"picture{i}"] for i in range(len(store["gsd_m"])))
            return _imagery(wanted, pictures, store["gsd_m"].tolist(), store["skipped"].tolist())
    pictures, gsds, skipped = _read_members(wanted, pack)
    if kept:
        held = io.BytesIO()
        arrays = {f"picture{i}": picture for i, picture in enumerate(pictures)}
        np.savez(held, gsd_m=np.array(gsds), skipped=np.array(skipped, dtype=str), allow_pickle=False, **arrays)
        with suppress(OSError):  # a folder that cannot be written costs time, not the run
            write_atomic(kept, held.getvalue())
    return _imagery(wanted, tuple(pictures), gsds, skipped)


def _imagery(wanted: Wanted, pictures: tuple[Picture, ...], gsds: list[float], skipped: list[str]) -> Imagery:
    if not pictures:
        raise GeoError(f"Not one training picture of {wanted.pack} could be read: fetch the pack again.")
    return Imagery(
        wanted.name, wanted.licence, pictures, tuple(gsds), wanted.share, wanted.finer, wanted.coarser, tuple(skipped), wanted.plate_carree
    )


def _read_members(wanted: Wanted, pack: Path) -> tuple[list[Picture], list[float], list[str]]:
    pictures: list[Picture] = []
    gsds: list[float] = []
    skipped: list[str] = []
    with zipfile.ZipFile(pack) as archive:
        rows = csv.DictReader(io.TextIOWrapper(archive.open("index.csv"), "utf-8"))
        for row in filter(wanted.members, rows):
            picture = _decode(row["file"], archive.read(row["file"]), row)
            if picture is None:
                skipped.append(row["file"])
            else:
                pictures.append(picture)
                gsds.append(float(row["gsd_m"]))
    return pictures, gsds, skipped


def _decode(name: str, content: bytes, row: dict[str, str]) -> Picture | None:
    """Bytes to uint8 (h, w, 3), stretched as the index says; None where they are no picture."""
    import cv2

    if not name.endswith((".tif", ".tiff")):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        return None if picture is None else np.ascontiguousarray(picture[:, :, ::-1], np.uint8)
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(content) as memory, memory.open(driver="GTiff") as raster:
            bands = [int(b) for b in row.get("rgb_bands", "").split()] or ([1, 2, 3] if raster.count >= 3 else [1, 1, 1])
            pixels = np.stack([raster.read(b) for b in bands], axis=-1).astype(np.float32)
    except (RasterioError, ValueError, IndexError):
        return None
    ranges = [tuple(map(float, pair.split(":"))) for pair in row.get("rgb_p1_p99", "").split()]
    if ranges and row.get("dtype") != "uint8":
        low, high = np.array(ranges, np.float32).T
        pixels = (np.nan_to_num(pixels) - low) / (high - low) * 255
    return np.clip(np.nan_to_num(pixels), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Crops:
    """A batch of crops: `pixels` uint8 (n, side, side, 3) and the GSD in metres of each."""

    pixels: NDArray[np.uint8]
    gsd_m: NDArray[np.float32]


def draw_crops(imagery: tuple[Imagery, ...], side_px: int, seed: int, numbers: range | list[int]) -> Crops:
    """Crops `numbers` of the endless stream that `seed` defines, each side_px pixels a side, flipped and turned at random."""
    drawn = [_draw(imagery, side_px, np.random.default_rng([seed, number])) for number in numbers]
    return Crops(np.stack([pixels for pixels, _ in drawn]), np.array([gsd for _, gsd in drawn], np.float32))


def _draw(imagery: tuple[Imagery, ...], side_px: int, rng: np.random.Generator) -> tuple[Picture, float]:
    shares = np.array([kind.share for kind in imagery])
    kind = imagery[int(rng.choice(len(imagery), p=shares / shares.sum()))]
    pixels, gsd_m = _cut(kind, side_px, rng)
    for _ in range(7):
        if pixels.std() > 1.5:
            break
        pixels, gsd_m = _cut(kind, side_px, rng)
    turned = np.rot90(pixels, int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned), gsd_m


def _cut(kind: Imagery, side_px: int, rng: np.random.Generator) -> tuple[Picture, float]:
    import cv2

    index = int(rng.integers(len(kind.pictures)))
    picture, gsd_m = kind.pictures[index], kind.gsd_m[index]
    h, w = picture.shape[:2]
    factor = float(np.exp(rng.uniform(np.log(kind.finer), np.log(kind.coarser))))
    tall = min(h, w, max(8, round(side_px * factor)))
    wide, top = tall, int(rng.integers(h - tall + 1))
    if kind.plate_carree:
        sine = rng.uniform(-0.96, 0.96)
        top = int(np.clip((90 - np.degrees(np.arcsin(sine))) / 180 * h - tall / 2, 0, h - tall))
        wide = min(w, round(tall / np.cos(np.arcsin(sine))))
    left = int(rng.integers(w - wide + 1))
    window = picture[top : top + tall, left : left + wide]
    shrinks = tall >= side_px
    pixels = cv2.resize(window, (side_px, side_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(pixels, np.uint8), gsd_m * tall / side_px


def stream(imagery: tuple[Imagery, ...], side_px: int, seed: int, batch: int) -> Iterator[Crops]:
    """Batches of the stream one after the other, for pages and notebooks that only look."""
    number = 0
    while True:
        yield draw_crops(imagery, side_px, seed, range(number, number + batch))
        number += batch
