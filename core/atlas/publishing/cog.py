"""Writes vectors as a cloud-optimised GeoTIFF, one band per value, with a style for QGIS beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import numpy as np

from ...files import write_atomic
from ..formats.grid import quiet_rasterio
from .window import VectorWindow

BLOCK = 256


def write_cog(window: VectorWindow, path: Path) -> None:
    """Write a window as float32 with NaN for missing vectors, and a QGIS style `<name>.qml`."""
    import rasterio
    import rasterio.shutil
    from rasterio.transform import Affine

    bands = np.ascontiguousarray(window.vectors.transpose(2, 0, 1))
    count, height, width = bands.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": count, "height": height, "width": width, "dtype": "float32",
        "nodata": float("nan"), "interleave": "pixel",
    }  # fmt: skip
    if window.crs is not None and window.transform is not None:
        profile |= {"crs": window.crs, "transform": Affine(*window.transform)}
    path.parent.mkdir(parents=True, exist_ok=True)
    plain, ready = (path.with_name(f".{path.name}.{end}") for end in ("plain", "tmp"))
    try:
        with quiet_rasterio():
            with rasterio.open(plain, "w", **profile) as file:
                file.write(bands)
                file.update_tags(RECIPE=json.dumps(_tag(window.recipe)))
                file.descriptions = [f"e{band:03d}" for band in range(count)]
            rasterio.shutil.copy(
                plain,
                ready,
                driver="COG",
                compress="ZSTD",
                predictor="YES",
                overviews="NONE",
                blocksize=BLOCK,
            )
        ready.replace(path)
    finally:
        plain.unlink(missing_ok=True)
        ready.unlink(missing_ok=True)
    write_atomic(path.with_suffix(".qml"), qgis_style(bands))


def _tag(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe in the words of patch rasters (`formats/patch_raster.py`)."""
    names = {"source": "product_id", "product": "source", "policy": "res_policy", "tile_px": "image_size"}
    renamed = {ours: recipe.get(column) for ours, column in names.items()}
    return {"pooling": None, **recipe, **renamed, "weights_sha256": recipe.get("checkpoint_sha256")}


def qgis_style(bands: Any) -> bytes:
    """Return a QGIS style: the three bands that vary most as RGB, from their 2nd to their 98th percentile."""
    flat = bands.reshape(len(bands), -1)
    flat = flat[:, np.isfinite(flat[0])]
    widest = np.argsort(-flat.std(axis=1), kind="stable")[:3] if flat.size else np.arange(min(3, len(bands)))
    chosen = [int(band) for band in np.resize(widest, 3)]
    root = xml.Element("qgis", version="3.28.0", styleCategories="Symbology")
    names = ("redBand", "greenBand", "blueBand")
    renderer = xml.SubElement(
        xml.SubElement(root, "pipe"),
        "rasterrenderer",
        {
            "type": "multibandcolor", "opacity": "1", "alphaBand": "-1",
            **{name: str(band + 1) for name, band in zip(names, chosen, strict=True)},
        },
    )  # fmt: skip
    for name, band in zip(names, chosen, strict=True):
        low, high = np.percentile(flat[band], (2, 98)) if flat.size else (0.0, 1.0)
        contrast = xml.SubElement(renderer, name.replace("Band", "ContrastEnhancement"))
        for tag, text in (
            ("minValue", f"{low:.6g}"),
            ("maxValue", f"{high:.6g}"),
            ("algorithm", "StretchToMinimumMaximum"),
        ):
            xml.SubElement(contrast, tag).text = text
    return b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + xml.tostring(root) + b"\n"
