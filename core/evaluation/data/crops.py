"""Crops for the reconstruction protocol: test images of a set, cut or resized to the input size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...geo.catalogue import Catalogue
from ...geo.gallery import GalleryEntry, gallery
from ...geo.sources import open_source
from ...geo.sources.samples import bundled_sources
from ...geo.sources.wheels import WheelSource
from ...geo.stretch import to_unit
from ...geo.tile import GeoError, TileRef, TileSpec
from ..errors import LabelledSetError
from .datasets import DataSpec, LabelledSet, native_gsd, open_set
from .images import Skipped, area_resize, centred_square, read_picture
from .storage import ImageStore, fingerprint

APP_GALLERY = "gallery"
"""The tiles that the app opens with on a machine without data packs. They are not held out."""
SCENE_SETS = ("scenes", "naip2020")  # the held-out scenes, and the one whose area was seen in training
NAIP_2020 = "naip_nd_2020"  # its area was seen in training, in other years
FEW_IMAGES = 60  # sets with fewer test images have up to MANY crops per image, others up to SOME
MANY, SOME = 9, 4
MIN_VALID = 0.999


@dataclass(frozen=True)
class ImageCrops:
    """Crops (n, 3, s, s) in 0..1 of one test image, with the GSD as fed and the native GSD in metres.

    `ratio` is the one over the other, known even where neither GSD is (then NaN). `valid` (s, s) is False
    where the source has no data; None if it has data everywhere.
    """

    name: str
    crops: NDArray[np.float32]
    gsd_m: float
    native_gsd_m: float
    ratio: float = 1.0
    valid: NDArray[np.bool_] | None = None

    def scored_px(self, hidden: NDArray[np.bool_], patch_px: int) -> NDArray[np.bool_]:
        """Return the pixels (n, s, s) that are valid and in hidden patches (n, g, g)."""
        pixels = hidden.repeat(patch_px, axis=1).repeat(patch_px, axis=2)
        return pixels if self.valid is None else pixels & self.valid


@dataclass(frozen=True)
class PictureSet:
    """The test images of a set; `native_px` is the side of the smallest, `hash` of their content."""

    name: str
    count: int
    native_px: int
    gsd_m: float
    split: str
    hash: str
    source: LabelledSet | Path | tuple[GalleryEntry, ...]
    files: tuple[str, ...]


def open_pictures(
    data: str, folders: Sequence[Path], limit: int | None, gsd_m: float | None, seed: int
) -> PictureSet:
    """Open the test images of a set by name, folder or zip.

    `scenes` and `naip2020` come from scenes.zip, `gallery` from the samples that come with the program.
    """
    if data == APP_GALLERY:
        return _gallery()
    if data in SCENE_SETS:
        return _scenes(data, folders)
    opened = open_set(DataSpec(data, limit, gsd_m, seed), folders, labelled=False)
    files = tuple(opened.files[row] for row in opened.rows("test"))
    if not files:
        raise LabelledSetError(f"'{opened.name}' has no test images; mark some as test in its index.csv.")
    return PictureSet(
        opened.name,
        len(files),
        opened.native_px,
        native_gsd(opened),
        opened.split_origin,
        opened.fingerprint,
        opened,
        files,
    )


def crops_per_image(pictures: PictureSet) -> int:
    """Return the maximum number of crops per image of a set."""
    return MANY if pictures.count < FEW_IMAGES else SOME


def interpolation(pictures: PictureSet, size_px: int) -> str:
    """Return how `cut` makes images of a set `size_px` wide, for the recipe."""
    if pictures.native_px < size_px:
        return "bicubic enlargement"
    return "area" if pictures.name == APP_GALLERY else "none: crops at native GSD"


def cut(pictures: PictureSet, size_px: int) -> Iterator[ImageCrops | Skipped]:
    """Yield evenly spaced crops of size_px at native GSD of every test image; smaller images are enlarged.

    Tiles of the gallery are resized as a whole, as in the app, and repeated for as many masks.
    """
    most = crops_per_image(pictures)
    if isinstance(pictures.source, tuple):
        yield from (_tile_crops(entry, size_px, most) for entry in pictures.source)
        return
    for name in pictures.files:
        if isinstance(pictures.source, Path):
            yield _scene_crops(pictures.source, name, size_px, most)
            continue
        image = read_picture(pictures.source.store, name)
        if isinstance(image, Skipped):
            yield image
            continue
        side = min(image.shape[1:])
        if side < size_px:
            crops = _resized(centred_square(image), size_px)[None]
        else:
            places = _places(image.shape[1], image.shape[2], size_px, most)
            crops = np.stack([image[:, top : top + size_px, left : left + size_px] for top, left in places])
        ratio = min(1.0, side / size_px)
        yield ImageCrops(name, crops, pictures.gsd_m * ratio, pictures.gsd_m, ratio)


def _gallery() -> PictureSet:
    entries = gallery(_bundled())
    if not entries:
        raise LabelledSetError("No sample raster is installed: run `make setup`.")
    tiles = [_bundled().read(entry.spec) for entry in entries]
    content = hashlib.sha256(b"".join(tile.pixels.tobytes() for tile in tiles)).hexdigest()[:16]
    native_px = min(min(tile.width, tile.height) for tile in tiles)
    titles = tuple(entry.title for entry in entries)
    split = "tiles of the app, in part from training imagery"
    return PictureSet(APP_GALLERY, len(entries), native_px, float("nan"), split, content, entries, titles)


@lru_cache(maxsize=1)
def _bundled() -> Catalogue:
    return Catalogue([*bundled_sources(), *([wheels] if (wheels := WheelSource()).keys() else [])])


def _tile_crops(entry: GalleryEntry, size_px: int, most: int) -> ImageCrops:
    """Return a tile as the app feeds it, `most` times: a place at its stated GSD, a window resized.

    Holes are filled with the mean of the valid pixels, and not scored.
    """
    spec = entry.spec if entry.spec.lonlat is None else replace(entry.spec, size_px=size_px)
    tile = _bundled().read(spec)
    unit = to_unit(tile)
    unit = np.where(tile.valid, unit, unit[:, tile.valid].mean(axis=1)[:, None, None])
    image, known = centred_square(unit), centred_square(tile.valid[None].astype(np.float32))
    crops = np.repeat(_resized(image, size_px)[None], most, axis=0)
    gsd_m = tile.gsd * image.shape[-1] / size_px
    ratio = gsd_m / tile.native_gsd_m
    valid = _resized(known, size_px)[0] == 1
    return ImageCrops(entry.title, crops, gsd_m, tile.native_gsd_m, ratio, None if valid.all() else valid)


def _places(height: int, width: int, size_px: int, most: int) -> list[tuple[int, int]]:
    """Return the top-left corners of up to `most` crops, evenly spaced from edge to edge."""
    across = max(1, int(most**0.5))
    rows, columns = (max(1, min(across, side // size_px)) for side in (height, width))
    tops = np.linspace(0, height - size_px, rows) if rows > 1 else [(height - size_px) / 2]
    lefts = np.linspace(0, width - size_px, columns) if columns > 1 else [(width - size_px) / 2]
    return [(round(float(top)), round(float(left))) for top in tops for left in lefts]


def _resized(image: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    if image.shape[-1] >= size_px:
        return area_resize(image, size_px)
    enlarged = cv2.resize(image.transpose(1, 2, 0), (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged.transpose(2, 0, 1), 0, 1).astype(np.float32)


def _scenes(data: str, folders: Sequence[Path]) -> PictureSet:
    path = next((folder / "scenes.zip" for folder in folders if (folder / "scenes.zip").is_file()), None)
    if path is None:
        raise LabelledSetError(
            "scenes.zip was not found; put it into a folder and give that with --data or EARTH_MAE_DATA."
        )
    source = open_source(path)
    listed = source.keys()
    keys = [
        key
        for key in listed
        if source.entry(key).split == "test" and Path(key).name.startswith(NAIP_2020) == (data == "naip2020")
    ]
    if not keys:
        raise LabelledSetError(
            f"scenes.zip has no test scene for '{data}'; mark some as test in its index.csv."
        )
    headers = [source.header(key) for key in keys]
    native_px = min(min(header.width, header.height) for header in headers)
    content = fingerprint(ImageStore(path), tuple(keys))
    return PictureSet(data, len(keys), native_px, float("nan"), "index.csv", content, path, tuple(keys))


def _scene_crops(path: Path, key: str, size_px: int, most: int) -> ImageCrops | Skipped:
    source = open_source(path)
    header = source.header(key)
    crops: list[NDArray[np.float32]] = []
    gsd_m = float("nan")
    for top, left in _places(header.height, header.width, size_px, most):
        try:
            tile = source.read(TileSpec(TileRef(source.name, key), window=(left, top, size_px, size_px)))
        except GeoError as problem:
            return Skipped(key, str(problem))
        gsd_m = tile.gsd
        if tile.valid.mean() >= MIN_VALID:
            crops.append(to_unit(tile))
    if not crops:
        return Skipped(key, "it has no crop without missing pixels")
    return ImageCrops(key, np.stack(crops), gsd_m, gsd_m)
