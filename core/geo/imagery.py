"""Training imagery: openly licensed packs, folders of your own, and the images decoded from them."""

from __future__ import annotations

import csv
import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import write_atomic
from .tile import GeoError

Picture = NDArray[np.uint8]

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Imagery:
    """Images of one source, uint8 (h, w, 3) each, image i at `gsd_m[i]` metres per pixel.

    `pictures` may decode on access (FolderPictures). `share` is how often this source is drawn relative to
    the others; crops are 1 to `coarser` times coarser than their picture. `skipped` names files that cannot
    be decoded. `plate_carree` pictures span the globe: latitude is sampled uniformly in area and columns are
    widened by its cosine. `sides_px` holds the shorter side of every image and `digest` identifies the data;
    both are computed from arrays in memory if they are not given.
    """

    name: str
    licence: str
    pictures: Sequence[Picture]
    gsd_m: tuple[float, ...]
    share: float = 1.0
    coarser: float = 4.0
    skipped: tuple[str, ...] = ()
    plate_carree: bool = False
    sides_px: NDArray[np.int64] = field(
        default_factory=lambda: np.empty(0, np.int64), repr=False, compare=False
    )
    digest: str = ""

    def __post_init__(self) -> None:
        if not len(self.sides_px):
            object.__setattr__(
                self, "sides_px", np.array([min(p.shape[:2]) for p in self.pictures], np.int64)
            )
        if not self.digest:
            content = hashlib.sha256()
            for picture in self.pictures:
                content.update(picture.tobytes())
            object.__setattr__(self, "digest", content.hexdigest())

    def large_enough(self, side_px: int) -> NDArray[np.int64]:
        """Return the indices of the images that are at least `side_px` pixels on their shorter side."""
        return np.flatnonzero(self.sides_px >= side_px)


class FolderPictures(Sequence[Picture]):
    """Images of a folder, decoded on access, so that a folder of any size fits in memory.

    Access to a file that cannot be decoded raises GeoError and adds its name to `failed`.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, tuple(names)
        self.failed: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]  # slices are not used
        name = self.names[index]
        try:
            picture = _decode(name.lower(), (self.folder / name).read_bytes(), {})
        except OSError:
            picture = None
        if picture is None:
            with self._lock:
                self.failed.add(name)
            raise GeoError(f"{name} cannot be decoded: replace it or remove it from the folder.")
        return picture


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


@dataclass(frozen=True)
class FoundImagery:
    """Training imagery found in a data folder, and the names of the sources that are missing."""

    imagery: tuple[Imagery, ...]
    lacking: tuple[str, ...]


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


SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def folder_imagery(folder: Path, gsd_m: float, name: str = "folder", licence: str = NOT_STATED) -> Imagery:
    """Use every PNG, JPEG and TIFF under a folder as training imagery at one GSD.

    Only headers are read here, and images are decoded on access; files without a readable header are listed
    in `skipped`. Raises GeoError if no image is left.
    """
    names, sizes, skipped = [], [], []
    listing = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        relative = path.relative_to(folder).as_posix()
        side = _short_side(path)
        if side is None:
            skipped.append(relative)
            continue
        names.append(relative)
        sizes.append(side)
        listing.update(f"{relative} {path.stat().st_size}\n".encode())
    if not names:
        raise GeoError(f"The folder {folder} holds no readable picture: put PNG, JPEG or TIFF files there.")
    pictures = FolderPictures(folder, names)
    gsds = (gsd_m,) * len(names)
    sides = np.array(sizes, np.int64)
    return Imagery(
        name, licence, pictures, gsds, skipped=tuple(skipped), sides_px=sides, digest=listing.hexdigest()
    )


def _short_side(path: Path) -> int | None:
    """Return the shorter side of an image in pixels, from its header; None if the header is not readable."""
    from PIL import Image

    try:
        with Image.open(path) as header:
            return min(header.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


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
    state = pack.stat()
    stamp = hashlib.sha256(
        f"{source.name} {pack.name} {state.st_size} {state.st_mtime_ns}".encode()
    ).hexdigest()[:16]
    kept = cache / f"{source.name}-{stamp}.npz" if cache else None
    if kept and kept.is_file():
        with np.load(kept) as store:
            pictures = [store[f"picture{i}"] for i in range(len(store["gsd_m"]))]
            return _DecodedPack(
                pictures, store["gsd_m"].tolist(), store["skipped"].tolist(), str(store["index"])
            )
    decoded = _read_members(source, pack)
    if kept:
        held = io.BytesIO()
        arrays = {f"picture{i}": picture for i, picture in enumerate(decoded.pictures)}
        lists = {"gsd_m": np.array(decoded.gsd_m), "skipped": np.array(decoded.skipped, dtype=str)}
        np.savez(held, index=np.array(decoded.index), allow_pickle=False, **lists, **arrays)
        with suppress(OSError):  # a cache folder that cannot be written costs time, not the run
            write_atomic(kept, held.getvalue())
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
            picture = _decode(row["file"], archive.read(row["file"]), row)
            if picture is None:
                skipped.append(row["file"])
            else:
                pictures.append(picture)
                gsds.append(float(row["gsd_m"]))
    return _DecodedPack(pictures, gsds, skipped, chosen.hexdigest())


def _decode(name: str, content: bytes, row: dict[str, str]) -> Picture | None:
    """Decode to uint8 (h, w, 3), stretched as the index states; None if the bytes are not an image."""
    import cv2

    if not name.endswith((".tif", ".tiff")):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        return None if picture is None else np.ascontiguousarray(picture[:, :, ::-1], np.uint8)
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(content) as memory, memory.open(driver="GTiff") as raster:
            bands = [int(b) for b in row.get("rgb_bands", "").split()] or (
                [1, 2, 3] if raster.count >= 3 else [1, 1, 1]
            )
            pixels = np.stack([raster.read(b) for b in bands], axis=-1).astype(np.float32)
    except (RasterioError, ValueError, IndexError):
        return None
    ranges = [tuple(map(float, pair.split(":"))) for pair in row.get("rgb_p1_p99", "").split()]
    if ranges and row.get("dtype") != "uint8":
        low, high = np.array(ranges, np.float32).T
        pixels = (np.nan_to_num(pixels) - low) / (high - low) * 255
    return np.clip(np.nan_to_num(pixels), 0, 255).astype(np.uint8)
