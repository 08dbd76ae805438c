"""Pictures with a class for every pixel: building footprints and land cover of scenes.zip, or a folder of images/ and masks/.

A folder holds `images/` and `masks/` of the same file names (any ending), or `train/` and `test/` folders that do; `val/` stands for test
where there is none, and is left out where there is one. A mask is one band of class numbers; 255 is not labelled, unless masks hold
0 and 255 alone. `classes.txt` may name the classes, one a line from number 0.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...geo.sources import open_source
from ...geo.stretch import to_unit
from ...geo.tile import TileRef, TileSpec
from ..errors import LabelledSetError
from .datasets import DataSpec, own_path, set_beneath
from .images import Skipped, read_picture
from .storage import MAX_PIXELS, ImageStore, fingerprint, is_image, why_unreadable

UNLABELLED = 255
TEST_EVERY = 4  # a scene's every fourth column of tiles, or a quarter of a folder's images, is for test
MOST_PX = 256  # side of the tiles that larger pictures of a folder are cut into
LEAST_PX = 8
MOST_CLASSES = 200

Classes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Piece:
    """A square picture (3, t, t) in 0..1 and the class of every pixel (t, t), UNLABELLED where none is known."""

    name: str
    image: NDArray[np.float32]
    classes: Classes


@dataclass(frozen=True, eq=False)
class MaskedSet:
    """Square pieces with masks: `groups` (n,) tells which image each is of, `gsd_m` (n,) metres per pixel or NaN."""

    name: str
    names: tuple[str, ...]
    splits: NDArray[np.str_]
    groups: NDArray[np.int64]
    gsd_m: NDArray[np.float64]
    classes: tuple[str, ...]
    native_px: int
    split_origin: str
    fingerprint: str
    read: Callable[[int], Piece | Skipped]
    published: None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the pieces, as a labelled set has files."""
        return self.names

    def rows(self, split: str) -> NDArray[np.int64]:
        """Give the rows of one split."""
        return np.flatnonzero(self.splits == split)


@dataclass(frozen=True)
class _Scene:
    image: str
    labels: str
    classes: tuple[str, ...]
    tile_px: int


SCENES = {
    "atlanta_buildings": _Scene(
        "spacenet4_atlanta_pan_0p5m.tif", "spacenet4_atlanta_buildings.geojson", ("ground", "building"), 112
    ),
    "nc_landcover": _Scene(
        "landsat7_nc_2000.tif",
        "landsat7_nc_landcover_labels.tif",
        ("developed", "agriculture", "herbaceous", "shrubland", "forest", "water", "sediment"),
        48,
    ),
}


def open_masked(spec: DataSpec, folders: Sequence[Path]) -> MaskedSet:
    """Open a set with masks by its name in scenes.zip, as a folder or zip, or by its name in one of `folders`. Raises LabelledSetError with what to mend."""
    if spec.limit is not None and spec.limit < 1:
        raise LabelledSetError(f"A limit of {spec.limit} images leaves nothing; give at least 1.")
    found = _from_scenes(spec, folders) if spec.data in SCENES else _from_folder(spec, folders)
    for split in ("train", "test"):
        if not len(found.rows(split)):
            raise LabelledSetError(
                f"'{found.name}' has no {split} images with masks; give at least one of train and one of test."
            )
    return found


def _limited(splits: NDArray[np.str_], groups: NDArray[np.int64], limit: int | None) -> NDArray[np.int64]:
    """Rows of at most `limit` images of each split, evenly spread."""
    keep: list[int] = []
    for split in ("train", "test"):
        there = np.unique(groups[splits == split])
        some = (
            there
            if limit is None or limit >= len(there)
            else there[np.linspace(0, len(there) - 1, limit).round().astype(int)]
        )
        keep += np.flatnonzero((splits == split) & np.isin(groups, some)).tolist()
    return np.array(sorted(keep), np.int64)


def _made(
    name: str,
    listed: Sequence[tuple[str, str, int]],
    spec: DataSpec,
    gsd_m: float,
    read: Callable[[str], Piece | Skipped],
    **known: Any,
) -> MaskedSet:
    """A set of (piece, split, group), cut down to the spec's limit."""
    splits, groups = (
        np.array([split for _, split, _ in listed]),
        np.array([group for _, _, group in listed], np.int64),
    )
    keep = _limited(splits, groups, spec.limit)
    names = tuple(listed[row][0] for row in keep)
    return MaskedSet(
        name,
        names,
        splits[keep],
        groups[keep],
        np.full(len(keep), gsd_m),
        read=lambda row: read(names[row]),
        **known,
    )


# Scenes ------------------------------------------------------------------------------------------------------------------------------------


def _from_scenes(spec: DataSpec, folders: Sequence[Path]) -> MaskedSet:
    scene = SCENES[spec.data]
    path = next((folder / "scenes.zip" for folder in folders if (folder / "scenes.zip").is_file()), None)
    if path is None:
        raise LabelledSetError(
            "scenes.zip is not here; put it into a folder and name that folder with --data or $EARTH_MAE_DATA."
        )
    source, px = open_source(path), scene.tile_px
    header = source.header(scene.image)
    whole = source.read(
        TileSpec(TileRef(source.name, scene.image), window=(0, 0, header.width, header.height))
    )
    labels = _scene_classes(
        ImageStore(path).read(scene.labels), scene, whole.transform, (header.height, header.width)
    )
    labels[~whole.valid] = UNLABELLED
    unit = to_unit(whole)
    places = [(row, column) for row in range(header.height // px) for column in range(header.width // px)]
    listed = [
        (f"row {r}, column {c}", "test" if c % TEST_EVERY == TEST_EVERY - 1 else "train", n)
        for n, (r, c) in enumerate(places)
    ]
    window = {
        text: np.s_[r * px : (r + 1) * px, c * px : (c + 1) * px]
        for (text, _, _), (r, c) in zip(listed, places, strict=True)
    }
    listed = [entry for entry in listed if (labels[window[entry[0]]] != UNLABELLED).any()]
    return _made(
        spec.data,
        listed,
        spec,
        spec.gsd_m or whole.gsd,
        lambda name: Piece(name, np.ascontiguousarray(unit[:, *window[name]]), labels[window[name]]),
        classes=scene.classes,
        native_px=px,
        split_origin=f"every {TEST_EVERY}th column of {px} px tiles for test",
        fingerprint=fingerprint(ImageStore(path), (scene.image, scene.labels)),
    )


def _scene_classes(content: bytes, scene: _Scene, transform: Any, shape: tuple[int, int]) -> Classes:
    """Footprints burnt onto the picture's grid as 1, or a raster whose values count from 1."""
    from affine import Affine
    from rasterio.features import rasterize
    from rasterio.io import MemoryFile

    if scene.labels.endswith(".geojson"):
        shapes = [feature["geometry"] for feature in json.loads(content)["features"]]
        return rasterize(shapes, shape, transform=Affine(*transform[:6]), dtype="uint8")
    with MemoryFile(content) as memory, memory.open() as raster:
        values = raster.read(1)
    known = (values >= 1) & (values <= len(scene.classes))
    return np.where(known, values - 1, UNLABELLED).astype(np.uint8)


# Folders -----------------------------------------------------------------------------------------------------------------------------------


def _from_folder(spec: DataSpec, folders: Sequence[Path]) -> MaskedSet:
    path = own_path(spec.data) or set_beneath(spec.data, folders)
    if path is None:
        raise LabelledSetError(
            f"There is no set with masks '{spec.data:.80}': give a folder of images/ and masks/, or one of {', '.join(SCENES)}."
        )
    store = ImageStore(path)
    pairs = _pairs(store, path.stem)
    masks = {mask: _read_mask(store, mask) for _, mask, _ in pairs}
    binary = {0, UNLABELLED} == set().union(*(np.unique(mask).tolist() for mask in masks.values()))
    if binary:
        masks = {name: (mask == UNLABELLED).astype(np.uint8) for name, mask in masks.items()}
    classes = _names(store, path.stem, masks.values())
    px = min(MOST_PX, min(min(mask.shape) for mask in masks.values()))
    of = {image: mask for image, mask, _ in pairs}
    listed = [
        (f"{image}@{top},{left}", split, number)
        for number, (image, mask, split) in enumerate(_with_splits(pairs, spec.seed))
        for top, left in _tiles(masks[mask].shape, px)
    ]

    @lru_cache(maxsize=2)
    def picture(image: str) -> NDArray[np.float32] | Skipped:
        return read_picture(store, image)

    def read(name: str) -> Piece | Skipped:
        image, _, corner = name.rpartition("@")
        top, left = (int(number) for number in corner.split(","))
        whole, classes_there = picture(image), masks[of[image]]
        if isinstance(whole, Skipped):
            return whole
        if whole.shape[1:] != classes_there.shape:
            return Skipped(
                image,
                f"it has {whole.shape[2]} x {whole.shape[1]} pixels, its mask {classes_there.shape[1]} x {classes_there.shape[0]}",
            )
        here = np.s_[top : top + px, left : left + px]
        return Piece(name, np.ascontiguousarray(whole[:, *here]), classes_there[here])

    return _made(
        path.stem,
        listed,
        spec,
        spec.gsd_m if spec.gsd_m is not None else float("nan"),
        read,
        classes=classes,
        native_px=px,
        split_origin="train and test folders"
        if any(split for *_, split in pairs)
        else f"random, a quarter for test, seed {spec.seed}",
        fingerprint=fingerprint(store, tuple(name for image, mask, _ in pairs for name in (image, mask))),
    )


def _pairs(store: ImageStore, title: str) -> list[tuple[str, str, str]]:
    """(image, mask, split or "") of a folder; every image has its mask."""
    parts = {name: PurePosixPath(name).parts for name in store.names if is_image(name)}
    folder = {name: part[-2].lower() if len(part) > 1 else "" for name, part in parts.items()}
    masks = {
        (part[:-2], PurePosixPath(name).stem): name for name, part in parts.items() if folder[name] == "masks"
    }
    found: list[tuple[str, str, str]] = []
    for name, part in parts.items():
        if folder[name] != "images":
            continue
        mask = masks.get((part[:-2], PurePosixPath(name).stem))
        if mask is None:
            raise LabelledSetError(
                f"'{name}' of '{title}' has no mask; put one of the same file name into the folder masks beside images."
            )
        above = part[-3].lower() if len(part) > 2 else ""
        found.append((name, mask, above if above in ("train", "test", "val") else ""))
    if len(found) < 2:
        raise LabelledSetError(
            f"'{title}' holds {len(found)} pairs of image and mask; segmentation needs folders images and masks with two or more."
        )
    if len({bool(split) for *_, split in found}) > 1:
        raise LabelledSetError(
            f"Only some images of '{title}' lie below train or test; put all of them there, or none."
        )
    if any(split == "test" for *_, split in found):
        return [pair for pair in found if pair[2] != "val"]
    return [(name, mask, "test" if split == "val" else split) for name, mask, split in found]


def _with_splits(pairs: list[tuple[str, str, str]], seed: int) -> Iterable[tuple[str, str, str]]:
    if pairs[0][2]:
        return pairs
    order = np.random.default_rng(seed).permutation(len(pairs))
    test = set(order[: max(1, round(len(pairs) / TEST_EVERY))].tolist())
    return [
        (image, mask, "test" if number in test else "train") for number, (image, mask, _) in enumerate(pairs)
    ]


def _read_mask(store: ImageStore, name: str) -> Classes:
    try:
        with Image.open(io.BytesIO(store.read(name))) as image:
            if image.width * image.height > MAX_PIXELS:
                raise LabelledSetError(
                    f"'{name}' has {image.width} x {image.height} pixels; cut it into smaller masks."
                )
            values = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise LabelledSetError(
            f"The mask '{name}' cannot be read ({why_unreadable(problem)}); replace or remove it."
        ) from problem
    if values.ndim != 2:
        raise LabelledSetError(
            f"The mask '{name}' is a colour picture; save class numbers as a picture of one band."
        )
    if min(values.shape) < LEAST_PX:
        raise LabelledSetError(
            f"The mask '{name}' has {values.shape[1]} x {values.shape[0]} pixels; all are cut to the smallest, so remove those below {LEAST_PX}."
        )
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise LabelledSetError(
            f"The mask '{name}' holds numbers that are not whole; save the number of each pixel's class."
        )
    if values.min() < 0 or values.max() > UNLABELLED:
        raise LabelledSetError(
            f"The mask '{name}' holds numbers from {values.min()} to {values.max()}; use 0 to 254, and 255 where nothing is known."
        )
    return values.astype(np.uint8)


def _names(store: ImageStore, title: str, masks: Iterable[Classes]) -> tuple[str, ...]:
    values = sorted(set().union(*(np.unique(mask).tolist() for mask in masks)) - {UNLABELLED})
    if len(values) < 2:
        raise LabelledSetError(
            f"The masks of '{title}' hold the single class {values[0] if values else '-'}; there is nothing to tell apart."
        )
    if values[-1] >= MOST_CLASSES:
        raise LabelledSetError(
            f"The masks of '{title}' hold class {values[-1]}; number classes from 0, at most {MOST_CLASSES} of them."
        )
    if "classes.txt" not in store.names:
        return tuple(f"class {number}" for number in range(values[-1] + 1))
    names = tuple(
        line.strip()
        for line in store.read("classes.txt").decode("utf-8", "replace").splitlines()
        if line.strip()
    )
    if len(names) <= values[-1]:
        raise LabelledSetError(
            f"The classes.txt of '{title}' names {len(names)} classes, but masks hold class {values[-1]}; add the missing lines."
        )
    return names


def _tiles(shape: tuple[int, ...], px: int) -> list[tuple[int, int]]:
    return [
        (top, left) for top in range(0, shape[0] - px + 1, px) for left in range(0, shape[1] - px + 1, px)
    ]
