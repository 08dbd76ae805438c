"""A folder or zip of images and masks as a set for segmentation.

It holds `images/` and `masks/` with the same file names (any suffix), or folders `train/` and `test/` that
do. `val/` is used as test if there is no `test/`, and ignored otherwise. A mask is a single band of class
numbers; 255 means unlabelled, unless the masks contain only 0 and 255. `classes.txt` may name the classes,
one per line from 0.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import LabelledSetError
from .datasets import DataSpec, own_path, set_beneath
from .images import Skipped, read_picture
from .masked_set import TEST_EVERY, UNLABELLED, Classes, MaskedSet, MaskedTile, masked_set
from .storage import MAX_PIXELS, ImageStore, fingerprint, is_image, why_unreadable

MAX_TILE_PX = 256  # side of the tiles that larger images are cut into
MIN_MASK_PX = 8
MAX_CLASSES = 200


def open_masked_folder(spec: DataSpec, folders: Sequence[Path], known: Sequence[str]) -> MaskedSet:
    """Open a folder or zip by its path, or by its name in one of `folders`; errors list the `known` names."""
    path = own_path(spec.data) or set_beneath(spec.data, folders)
    if path is None:
        raise LabelledSetError(
            f"There is no set with masks '{spec.data:.80}': give a folder with images/ and masks/, "
            f"or one of {', '.join(known)}."
        )
    store = ImageStore(path)
    pairs = _pairs(store, path.stem)
    shapes: dict[str, tuple[int, ...]] = {}
    values: set[int] = set()
    for _, name, _ in pairs:  # one at a time: all masks of a large set do not fit into memory
        mask = read_mask(store, name)
        shapes[name] = mask.shape
        values |= set(np.unique(mask).tolist())
    binary = values == {0, UNLABELLED}
    classes = _names(store, path.stem, {0, 1} if binary else values)
    px = min(MAX_TILE_PX, *(min(shape) for shape in shapes.values()))
    mask_of = {image: mask for image, mask, _ in pairs}
    listed = [
        (f"{image}@{top},{left}", split, number)
        for number, (image, mask, split) in enumerate(_with_splits(pairs, spec.seed))
        for top, left in _tiles(shapes[mask], px)
    ]

    @lru_cache(maxsize=2)
    def picture(image: str) -> NDArray[np.float32] | Skipped:
        return read_picture(store, image)

    @lru_cache(maxsize=2)
    def classes_at(name: str) -> Classes:
        mask = read_mask(store, name)
        return (mask == UNLABELLED).astype(np.uint8) if binary else mask

    def read(name: str) -> MaskedTile | Skipped:
        image, _, corner = name.rpartition("@")
        top, left = (int(number) for number in corner.split(","))
        whole, mask = picture(image), classes_at(mask_of[image])
        if isinstance(whole, Skipped):
            return whole
        if whole.shape[1:] != mask.shape:
            return Skipped(
                image,
                f"it has {whole.shape[2]} x {whole.shape[1]} pixels, "
                f"its mask {mask.shape[1]} x {mask.shape[0]}",
            )
        window = np.s_[top : top + px, left : left + px]
        return MaskedTile(name, np.ascontiguousarray(whole[:, *window]), mask[window])

    return masked_set(
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
    """Return (image, mask, split or "") for every image. Raises LabelledSetError if one has no mask."""
    parts = {name: PurePosixPath(name).parts for name in store.names if is_image(name)}
    folder = {name: part[-2].lower() if len(part) > 1 else "" for name, part in parts.items()}
    masks = {
        (part[:-2], PurePosixPath(name).stem): name for name, part in parts.items() if folder[name] == "masks"
    }
    pairs: list[tuple[str, str, str]] = []
    for name, part in parts.items():
        if folder[name] != "images":
            continue
        mask = masks.get((part[:-2], PurePosixPath(name).stem))
        if mask is None:
            raise LabelledSetError(
                f"'{name}' of '{title}' has no mask; add one with the same file name to the folder masks."
            )
        above = part[-3].lower() if len(part) > 2 else ""
        pairs.append((name, mask, above if above in ("train", "test", "val") else ""))
    if len(pairs) < 2:
        raise LabelledSetError(
            f"'{title}' has {len(pairs)} pairs of image and mask; segmentation needs at least two, "
            "in folders images and masks."
        )
    if len({bool(split) for *_, split in pairs}) > 1:
        raise LabelledSetError(
            f"Only some images of '{title}' are in train or test; move all of them there, or none."
        )
    if any(split == "test" for *_, split in pairs):
        return [pair for pair in pairs if pair[2] != "val"]
    return [(name, mask, "test" if split == "val" else split) for name, mask, split in pairs]


def _with_splits(pairs: list[tuple[str, str, str]], seed: int) -> Iterable[tuple[str, str, str]]:
    if pairs[0][2]:
        return pairs
    order = np.random.default_rng(seed).permutation(len(pairs))
    test = set(order[: max(1, round(len(pairs) / TEST_EVERY))].tolist())
    return [
        (image, mask, "test" if number in test else "train") for number, (image, mask, _) in enumerate(pairs)
    ]


def read_mask(store: ImageStore, name: str) -> Classes:
    """Return class numbers (h, w) of a mask. Raises LabelledSetError if it is not a mask."""
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
            f"The mask '{name}' is a colour image; save class numbers as an image with one band."
        )
    if min(values.shape) < MIN_MASK_PX:
        raise LabelledSetError(
            f"The mask '{name}' has {values.shape[1]} x {values.shape[0]} pixels; the smallest mask sets "
            f"the tile size, so remove masks below {MIN_MASK_PX} px."
        )
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise LabelledSetError(
            f"The mask '{name}' has values that are not whole numbers; save class numbers."
        )
    if values.min() < 0 or values.max() > UNLABELLED:
        raise LabelledSetError(
            f"The mask '{name}' has values from {values.min()} to {values.max()}; "
            "use 0 to 254 for classes and 255 for unlabelled pixels."
        )
    return values.astype(np.uint8)


def _names(store: ImageStore, title: str, found: set[int]) -> tuple[str, ...]:
    values = sorted(found - {UNLABELLED})
    if len(values) < 2:
        raise LabelledSetError(
            f"The masks of '{title}' have the single class {values[0] if values else '-'}; add another class."
        )
    if values[-1] >= MAX_CLASSES:
        raise LabelledSetError(
            f"The masks of '{title}' have class {values[-1]}; use class numbers from 0 to {MAX_CLASSES - 1}."
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
            f"The classes.txt of '{title}' names {len(names)} classes, but masks have class {values[-1]}; "
            "add the missing lines."
        )
    return names


def _tiles(shape: tuple[int, ...], px: int) -> list[tuple[int, int]]:
    return [
        (top, left) for top in range(0, shape[0] - px + 1, px) for left in range(0, shape[1] - px + 1, px)
    ]
