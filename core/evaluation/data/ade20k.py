"""ADE20K as distributed for scene parsing (ADEChallengeData2016): 150 classes.

`images/{training,validation}/NAME.jpg` and `annotations/{training,validation}/NAME.png`, where 0 is
unlabelled and 1 to 150 are the classes, which objectInfo150.txt names. Images are cut into tiles of TILE_PX.
The last tile of a row or column ends at the image's edge; what the tile before it covers is unlabelled there,
so every pixel counts once. Smaller images are filled up with black, unlabelled pixels.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import LabelledSetError
from .datasets import DataSpec, own_path
from .images import Skipped, read_picture
from .masked_folder import read_mask
from .masked_set import UNLABELLED, Classes, MaskedSet, MaskedTile, masked_set
from .published import ADE20K, published_masked
from .storage import ImageStore, fingerprint

TILE_PX, CLASSES = 512, 150
FOUND_AS = ("ADEChallengeData2016", "ADEChallengeData2016.zip", "ADE20K", "ade20k")
_PLACE = re.compile(r"(?:^|/)(images|annotations)/(training|validation)/([^/]+)\.(?:jpg|png)$")


def ade20k_path(data: str, folders: Sequence[Path]) -> Path | None:
    """Return the folder or zip of ADE20K that a name or path means, None for another set."""
    path = own_path(data)
    if path is not None and (path.name in FOUND_AS or (path / "annotations" / "training").is_dir()):
        return path
    if published_masked(data) != ADE20K:
        return None
    return next((folder / name for folder in folders for name in FOUND_AS if (folder / name).exists()), None)


def open_ade20k(path: Path, spec: DataSpec) -> MaskedSet:
    """Open ADE20K in a folder or zip. Raises LabelledSetError with a remedy."""
    store = ImageStore(path)
    files: dict[tuple[str, str], dict[str, str]] = {}
    for name in store.names:
        if match := _PLACE.search(name):
            files.setdefault((match[2], match[3]), {})[match[1]] = name
    pairs = {
        found["images"]: (part, found["annotations"])
        for (part, _), found in sorted(files.items())
        if len(found) == 2
    }
    if not pairs:
        raise LabelledSetError(
            f"'{path.name}' has no image with its annotation: unpack ADEChallengeData2016.zip there, so that "
            "it holds images/training, annotations/training and the same of validation."
        )
    listed = [
        (f"{image}@{top},{left}", "train" if part == "training" else "test", number)
        for number, (image, (part, mask)) in enumerate(pairs.items())
        for top, left in product(*(_starts(side) for side in _shape(store, mask)))
    ]

    @lru_cache(maxsize=2)
    def pair(image: str) -> tuple[NDArray[np.float32], Classes] | Skipped:
        picture, mask = read_picture(store, image), read_mask(store, pairs[image][1])
        if isinstance(picture, Skipped):
            return picture
        if picture.shape[1:] != mask.shape:
            (height, width), expected = picture.shape[1:], mask.shape
            return Skipped(
                image, f"it has {width} x {height} pixels, its annotation {expected[1]} x {expected[0]}"
            )
        known = (mask > 0) & (mask <= CLASSES)
        return picture, np.where(known, mask - 1, UNLABELLED).astype(np.uint8)

    def read(name: str) -> MaskedTile | Skipped:
        image, _, corner = name.rpartition("@")
        found = pair(image)
        if isinstance(found, Skipped):
            return found
        top, left = (int(text) for text in corner.split(","))
        return _tile(name, *found, top, left)

    return masked_set(
        ADE20K,
        listed,
        spec,
        spec.gsd_m if spec.gsd_m is not None else float("nan"),
        read,
        classes=_names(store),
        native_px=TILE_PX,
        split_origin="training and validation of its publisher",
        fingerprint=fingerprint(store, tuple(f for image, (_, mask) in pairs.items() for f in (image, mask))),
    )


def _tile(name: str, picture: NDArray[np.float32], mask: Classes, top: int, left: int) -> MaskedTile:
    image = np.zeros((3, TILE_PX, TILE_PX), np.float32)
    classes = np.full((TILE_PX, TILE_PX), UNLABELLED, np.uint8)
    window = np.s_[top : top + TILE_PX, left : left + TILE_PX]
    inside = np.s_[: mask[window].shape[0], : mask[window].shape[1]]
    image[:, *inside], classes[inside] = picture[:, *window], mask[window]
    rows, columns = -top % TILE_PX, -left % TILE_PX  # covered by the tiles above and to the left
    classes[:rows], classes[:, :columns] = UNLABELLED, UNLABELLED
    return MaskedTile(name, image, classes)


def _starts(side: int) -> list[int]:
    """Where tiles start: at multiples of TILE_PX, the last one so that it ends at the edge."""
    return [*range(0, side - TILE_PX, TILE_PX), max(0, side - TILE_PX)]


def _shape(store: ImageStore, mask: str) -> tuple[int, int]:
    """Return height and width from a mask's header. Raises LabelledSetError."""
    try:
        with Image.open(io.BytesIO(store.read(mask))) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise LabelledSetError(f"The mask '{mask}' cannot be read: unpack the archive again.") from problem


def _names(store: ImageStore) -> tuple[str, ...]:
    """Return the names in objectInfo150.txt, a table with a header, or numbers where it is missing."""
    table = next((name for name in store.names if name.endswith("objectInfo150.txt")), None)
    rows = store.read(table).decode("utf-8", "replace").splitlines()[1:] if table else []
    names = tuple(row.split("\t")[-1].split(",")[0].strip() for row in rows if "\t" in row)
    return names if len(names) == CLASSES else tuple(f"class {n}" for n in range(1, CLASSES + 1))
