"""Patch rasters of this program (`embed --patches`), and rasters that `convert` wrote: a RECIPE tag names the
model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .grid import VectorGrid, geotiff_grid, moment

ENDING = ".patches.tif"
POOLING = "patch"
PRODUCT = "patch raster"


def match(file: Any, path: Path) -> VectorGrid | None:
    """Recognise the raster by its recipe."""
    recipe = _recipe(file.tags().get("RECIPE", ""))
    if recipe is None:
        return None
    constants = {
        "product_id": recipe.get("source"), "source": recipe.get("product"), "gsd_m": recipe.get("gsd_m"),
        "timestamp": moment(recipe.get("timestamp")), "image_size": recipe.get("tile_px"),
        "pooling": recipe.get("pooling", POOLING), "input_res_m": recipe.get("input_res_m"),
        "res_policy": recipe.get("policy"), "model": recipe["model"],
        "checkpoint_sha256": recipe.get("weights_sha256"),
    }  # fmt: skip
    return geotiff_grid(
        file,
        path,
        str(recipe.get("product", PRODUCT)),
        name=path.stem.removesuffix(".patches"),
        constants=constants,
    )


def _recipe(text: str) -> dict[str, Any] | None:
    """Parse the recipe of a raster; None if it holds none."""
    try:
        recipe = json.loads(text)
        return {**recipe, "model": str(recipe["model"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
