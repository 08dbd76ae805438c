"""SpaceNet 1 as distributed: RGB chips of Rio de Janeiro at 0.5 m, and building footprints as GeoJSON.

`3band/3band_AOI_1_RIO_img<N>.tif` (about 406 x 438 px) and `geojson/Geo_AOI_1_RIO_img<N>.geojson`, in any
folder of the set. Only the published train chips have labels. They are divided at random in the proportion of
Scale-MAE, SatMAE and GASSL, 5,000 to 1,940, whose lists are not published. Of each chip four tiles of TILE_PX
are used, two by two around its centre. Black pixels, where the image is missing, are unlabelled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelledSetError
from .datasets import DataSpec, own_path
from .images import Skipped
from .masked_set import UNLABELLED, Classes, MaskedSet, MaskedTile, masked_set
from .published import SPACENET, published_masked
from .storage import ImageStore, fingerprint

GSD_M, TILE_PX = 0.5, 192
FOUND_AS = ("SN1_buildings", "SpaceNet1", "spacenet1", "spacenet", "SN1_buildings.zip", "spacenet.zip")
TEST_SHARE = 1_940 / 6_940
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
_CHIP = re.compile(r"3band_AOI_1_RIO_img(\d+)\.tif$", re.IGNORECASE)
_LABELS = re.compile(r"Geo_AOI_1_RIO_img(\d+)\.geojson$", re.IGNORECASE)

Chip = tuple[NDArray[np.float32], Classes]


def spacenet_path(data: str, folders: Sequence[Path]) -> Path | None:
    """Return the folder or zip of SpaceNet 1 that a name or path means, None for another set."""
    path = own_path(data)
    if path is not None and (path.name in FOUND_AS or (path / "3band").is_dir()):
        return path
    if published_masked(data) != SPACENET:
        return None
    return next((folder / name for folder in folders for name in FOUND_AS if (folder / name).exists()), None)


def open_spacenet(path: Path, spec: DataSpec) -> MaskedSet:
    """Open SpaceNet 1 in a folder or zip. Raises LabelledSetError with a remedy."""
    store = ImageStore(path)
    chips, labels = (
        {int(m[1]): n for n in store.names if (m := which.search(n))} for which in (_CHIP, _LABELS)
    )
    numbers = sorted(chips.keys() & labels.keys())
    if not numbers:
        raise LabelledSetError(
            f"'{path.name}' has no chip with footprints: unpack the archives of the train images and of the "
            "footprints there, so that it holds the folders 3band and geojson."
        )
    order = np.random.default_rng(spec.seed).permutation(numbers).tolist()
    tests = set(order[: max(1, round(TEST_SHARE * len(order)))])
    listed = [
        (f"{chips[number]}@{row},{column}", "test" if number in tests else "train", number)
        for number in numbers
        for row, column in CORNERS
    ]

    @lru_cache(maxsize=2)
    def chip(number: int) -> Chip | str:
        return _read(store, chips[number], labels[number])

    def read(name: str) -> MaskedTile | Skipped:
        file, _, corner = name.rpartition("@")
        match = _CHIP.search(file)
        assert match is not None
        found = chip(int(match[1]))
        if isinstance(found, str):
            return Skipped(file, found)
        image, classes = found
        row, column = (int(text) for text in corner.split(","))
        top, left = ((side - 2 * TILE_PX) // 2 for side in classes.shape)
        window = np.s_[
            top + row * TILE_PX : top + (row + 1) * TILE_PX,
            left + column * TILE_PX : left + (column + 1) * TILE_PX,
        ]
        return MaskedTile(name, np.ascontiguousarray(image[:, *window]), classes[window])

    return masked_set(
        SPACENET,
        listed,
        spec,
        spec.gsd_m or GSD_M,
        read,
        classes=("ground", "building"),
        native_px=TILE_PX,
        split_origin=f"random, {len(tests):,} of {len(numbers):,} chips for test, seed {spec.seed}",
        fingerprint=fingerprint(store, tuple(f for n in numbers for f in (chips[n], labels[n]))),
    )


def _read(store: ImageStore, chip: str, labels: str) -> Chip | str:
    """Return a chip (3, h, w) in 0..1 and its classes (h, w), or why it cannot be used."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.features import rasterize
    from rasterio.io import MemoryFile

    try:
        features = json.loads(store.read(labels))["features"]
        shapes = [feature["geometry"] for feature in features if feature.get("geometry")]
        with rasterio.Env(), MemoryFile(store.read(chip)) as memory, memory.open() as raster:
            pixels, transform = raster.read((1, 2, 3)), raster.transform
        height, width = raster.height, raster.width
        classes = np.zeros((height, width), np.uint8)
        if shapes:
            rasterize(shapes, out=classes, transform=transform)
    except (
        LabelledSetError,
        RasterioError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as problem:
        return f"its image or footprints cannot be read ({problem})"
    if pixels.dtype != np.uint8:
        return "its image does not have 8 bits; use the archive of pansharpened RGB images (3band)"
    if min(height, width) < 2 * TILE_PX:
        return f"it has {width} x {height} px, less than {2 * TILE_PX} px a side"
    classes[(pixels == 0).all(axis=0)] = UNLABELLED
    return pixels.astype(np.float32) / np.float32(255), classes
