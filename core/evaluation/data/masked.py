"""Sets with a class for every pixel: two scenes of scenes.zip, SpaceNet 1, ADE20K, or a user's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...geo.sources import open_source
from ...geo.stretch import to_unit
from ...geo.tile import TileRef, TileSpec
from ..errors import LabelledSetError
from .ade20k import ade20k_path, open_ade20k
from .datasets import DataSpec
from .masked_folder import open_masked_folder
from .masked_set import TEST_EVERY, UNLABELLED, Classes, MaskedSet, MaskedTile, masked_set
from .published import ADE20K, SPACENET
from .spacenet import open_spacenet, spacenet_path
from .storage import ImageStore, fingerprint


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
    """Open a set with masks: one of SCENES, SpaceNet 1, ADE20K, a folder or zip, or a name in one of
    `folders`.

    Raises LabelledSetError with a remedy.
    """
    if spec.limit is not None and spec.limit < 1:
        raise LabelledSetError(f"The limit is {spec.limit} images; choose 1 or more.")
    if spec.data in SCENES:
        data = _open_scene(spec, folders)
    elif path := spacenet_path(spec.data, folders):
        data = open_spacenet(path, spec)
    elif path := ade20k_path(spec.data, folders):
        data = open_ade20k(path, spec)
    else:
        data = open_masked_folder(spec, folders, (*SCENES, SPACENET, ADE20K))
    for split in ("train", "test"):
        if not len(data.rows(split)):
            raise LabelledSetError(
                f"'{data.name}' has no {split} images with masks; add at least one train and one test image."
            )
    return data


def _open_scene(spec: DataSpec, folders: Sequence[Path]) -> MaskedSet:
    scene = SCENES[spec.data]
    path = next((folder / "scenes.zip" for folder in folders if (folder / "scenes.zip").is_file()), None)
    if path is None:
        raise LabelledSetError(
            "scenes.zip was not found; put it into a folder and give that with --data or EARTH_MAE_DATA."
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
    return masked_set(
        spec.data,
        listed,
        spec,
        spec.gsd_m or whole.gsd,
        lambda name: MaskedTile(name, np.ascontiguousarray(unit[:, *window[name]]), labels[window[name]]),
        classes=scene.classes,
        native_px=px,
        split_origin=f"every {TEST_EVERY}th column of {px} px tiles for test",
        fingerprint=fingerprint(ImageStore(path), (scene.image, scene.labels)),
    )


def _scene_classes(content: bytes, scene: _Scene, transform: Any, shape: tuple[int, int]) -> Classes:
    """Rasterise footprints as class 1, or read a raster whose class numbers start at 1."""
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
