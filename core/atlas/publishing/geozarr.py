"""Writes vectors as a Zarr 3 store with the conventions `geoemb:`, `proj:` and `spatial:`."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TableError
from ..formats.patch_raster import POOLING
from .window import VectorWindow

CHUNK = 256
CONVENTIONS = [
    {
        "name": name,
        "uuid": uuid,
        "schema_url": f"https://raw.githubusercontent.com/{repository}/refs/tags/v1/schema.json",
        "spec_url": f"https://github.com/{repository}/blob/v1/README.md",
    }
    for name, uuid, repository in (
        ("geoemb:", "61c12cc5-0e28-4056-999a-480cf3fb7e4c", "geo-embeddings/embeddings-zarr-convention"),
        ("spatial:", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "zarr-conventions/spatial"),
        ("proj:", "f17cb550-5864-4468-aeb7-f3180cfb622f", "zarr-experimental/geo-proj"),
    )
]


def write_zarr(window: VectorWindow, path: Path) -> None:
    """Write a window as (band, y, x) float32 with coordinates; the store appears when it is complete.

    Raises TableError if zarr is not installed, or the path exists.
    """
    if importlib.util.find_spec("zarr") is None:
        raise TableError("To write a Zarr store, install zarr (`pip install zarr`).")
    if path.exists():
        raise TableError(f"{path.name} already exists: choose another name, or delete it first.")
    import zarr

    bands = window.vectors.transpose(2, 0, 1)
    dim, height, width = bands.shape
    building = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        root = zarr.open_group(building, mode="w", zarr_format=3, attributes=attributes(window))
        arrays: dict[str, tuple[Any, tuple[str, ...], tuple[int, ...]]] = {
            "embeddings": (bands, ("band", "y", "x"), (dim, min(CHUNK, height), min(CHUNK, width))),
            "band": (np.arange(dim, dtype=np.int32), ("band",), (dim,)),
        }
        if window.transform is not None:
            a, _, c, _, e, f = window.transform
            arrays["x"] = (c + a * (np.arange(width) + 0.5), ("x",), (width,))
            arrays["y"] = (f + e * (np.arange(height) + 0.5), ("y",), (height,))
        for name, (values, axes, chunks) in arrays.items():
            root.create_array(
                name,
                data=np.ascontiguousarray(values),
                dimension_names=axes,
                chunks=chunks,
                fill_value=np.nan if name == "embeddings" else 0,
            )
        building.rename(path)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def attributes(window: VectorWindow) -> dict[str, Any]:
    """Return the attributes of the root group."""
    recipe, (height, width, dim) = window.recipe, window.vectors.shape
    about: dict[str, Any] = {
        "zarr_conventions": CONVENTIONS, "geoemb:type": "pixel", "geoemb:dimensions": dim,
        "geoemb:model": window.model_address,
        "geoemb:source_data": [str(recipe.get("source") or recipe["product"])],
        "geoemb:data_type": "float32", "recipe": recipe,
    }  # fmt: skip
    if recipe.get("gsd_m"):
        about["geoemb:gsd"] = float(recipe["gsd_m"])
    side = _chip_px(window)
    if recipe.get("pooling") == POOLING and side:
        layout = {"layout_type": "regular_grid", "chip_size": [side, side], "stride": [side, side]}
        about |= {"geoemb:type": "chip", "geoemb:chip_layout": layout}
    if window.crs is not None and window.transform is not None:
        import pyproj

        code = pyproj.CRS.from_user_input(window.crs).to_authority()
        a, _, c, _, e, f = window.transform
        x, y = sorted((c, c + a * width)), sorted((f, f + e * height))
        about |= {
            **({"proj:code": ":".join(code)} if code else {"proj:wkt2": window.crs}),
            "spatial:dimensions": ["y", "x"], "spatial:transform": list(window.transform),
            "spatial:shape": [height, width], "spatial:bbox": [x[0], y[0], x[1], y[1]],
            "spatial:registration": "pixel",
        }  # fmt: skip
    return about


def _chip_px(window: VectorWindow) -> int | None:
    """Return the side in source pixels of what one vector describes; None if unknown."""
    gsd = window.recipe.get("gsd_m")
    return max(1, round(abs(window.transform[0]) / gsd)) if gsd and window.transform is not None else None
