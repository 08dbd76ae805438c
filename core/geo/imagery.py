"""Training imagery: images of known GSD from packs or from folders of your own."""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .tile import GeoError

Picture = NDArray[np.uint8]

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Imagery:
    """Images of one source, uint8 (h, w, 3) each, image i at `gsd_m[i]` metres per pixel.

    `pictures` may decode on access (LazyPictures). `share` is how often this source is drawn relative to the
    others; crops are 1 to `coarser` times coarser than their picture. `skipped` names files that cannot be
    decoded. `plate_carree` pictures span the globe: latitude is sampled uniformly in area and columns are
    widened by its cosine. Crops of `upright` pictures are neither flipped nor turned. `sides_px` holds the
    shorter side of every image and `digest` identifies the data; both are computed from arrays in memory if
    they are not given.
    """

    name: str
    licence: str
    pictures: Sequence[Picture]
    gsd_m: tuple[float, ...]
    share: float = 1.0
    coarser: float = 4.0
    skipped: tuple[str, ...] = ()
    plate_carree: bool = False
    upright: bool = False
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


class LazyPictures(Sequence[Picture], ABC):
    """Images that are decoded on access, so that a set of any size fits in memory.

    Access to a file that cannot be decoded raises GeoError and adds its name to `failed`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.failed: set[str] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def decoded(self, name: str) -> Picture | None:
        """Return the image of a name, None if it cannot be decoded."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]  # slices are not used
        name = self.names[index]
        picture = self.decoded(name)
        if picture is None:
            with self._lock:
                self.failed.add(name)
            raise GeoError(f"{name} cannot be decoded: replace it or remove it from its folder.")
        return picture


class FolderPictures(LazyPictures):
    """Images of a folder."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        super().__init__(names)
        self.folder = folder

    def decoded(self, name: str) -> Picture | None:
        """Return the image of a file, None if it cannot be decoded."""
        try:
            return decode_image(name.lower(), (self.folder / name).read_bytes(), {})
        except OSError:
            return None


@dataclass(frozen=True)
class FoundImagery:
    """Training imagery found in a data folder, and the names of the sources that are missing."""

    imagery: tuple[Imagery, ...]
    lacking: tuple[str, ...]


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


def decode_image(name: str, content: bytes, row: dict[str, str]) -> Picture | None:
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
