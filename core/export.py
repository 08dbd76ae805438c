"""Exports: pictures, a GeoTIFF and a figure for print, each with its recipe inside."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .engine.results import Reconstruction, enlarge
from .errors import ExplorerError
from .files import write_atomic
from .judge import Verdict, error_map
from .viz.pictures import panels, png
from .viz.publication import publication

FIGURES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
BANDS = tuple(
    f"{part}_{colour}" for part in ("low", "high", "combined") for colour in ("red", "green", "blue")
) + ("error_l1",)


class ExportError(ExplorerError):
    """An unknown format, or a folder that cannot be written."""


def recipe_json(result: Reconstruction, verdict: Verdict | None = None) -> str:
    """Return the recipe, and the scores if given, as one JSON object."""
    content: dict[str, Any] = {"recipe": result.recipe.to_json()}
    if verdict is not None:
        content["metrics"] = verdict.to_json()
    return json.dumps(content, indent=1, allow_nan=False)


def geotiff(result: Reconstruction) -> bytes:
    """Encode a reconstruction as a GeoTIFF of ten float32 bands, georeferenced if possible.

    Bands: low, high and combined (red, green, blue each), and the absolute error. Values are in the 0..1
    range of the network (high: signed). The recipe is in the tag RECIPE.
    """
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    side = result.combined.shape[-1]
    low = enlarge(result.low, side)
    error = np.where(result.valid_high, error_map(result), np.nan)[None].astype(np.float32)
    stack = np.concatenate([low, result.high, result.combined, error])
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": len(stack),
        "dtype": "float32",
        "compress": "deflate",
        "predictor": 3,
        "nodata": float("nan"),
    }
    if result.crs and result.transform:
        profile |= {
            "crs": result.crs,
            "transform": Affine(*result.transform) @ Affine.scale(result.input.shape[-1] / side),
        }
    with rasterio.Env(), warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as raster:
            raster.write(stack)
            raster.descriptions = BANDS
            raster.update_tags(RECIPE=json.dumps(result.recipe.to_json()))
        return bytes(memory.read())


def figure(
    result: Reconstruction, verdict: Verdict, kind: str = "png", *, dpi: int = 300, title: str = ""
) -> bytes:
    """Return the figure for print as PNG at `dpi`, SVG or PDF, with the recipe in its metadata.

    Raises ExportError.
    """
    if kind not in FIGURES or not 50 <= dpi <= 1200:
        raise ExportError(
            f"A figure of type {kind!r:.10} at {dpi} dpi is not supported: "
            f"choose {', '.join(FIGURES)} and 50 to 1200 dpi."
        )
    import matplotlib as mpl

    recipe = json.dumps(result.recipe.to_json())
    metadata = {
        "svg": {"Description": recipe, "Date": None},
        "pdf": {"Subject": recipe, "CreationDate": None},
    }.get(kind, {"Description": recipe})
    out = io.BytesIO()
    with mpl.rc_context(
        {"svg.hashsalt": "earth-mae", "svg.fonttype": "none", "pdf.fonttype": 42, "font.size": 8}
    ):
        publication(result, verdict, title).savefig(out, format=kind, dpi=dpi, metadata=metadata)
    return out.getvalue()


def pictures_zip(result: Reconstruction, verdict: Verdict) -> bytes:
    """Return the panels as PNG and the recipe in one zip file without time stamps.

    The same reconstruction always gives the same bytes.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for panel in panels(result):
            archive.writestr(zipfile.ZipInfo(f"{panel.name}.png"), png(panel.pixels))
        archive.writestr(zipfile.ZipInfo("recipe.json"), recipe_json(result, verdict))
    return out.getvalue()


def write_all(result: Reconstruction, verdict: Verdict, folder: Path) -> tuple[Path, ...]:
    """Write the panels, reconstruction.tif, figure.png and recipe.json to `folder`, atomically.

    Raises ExportError.
    """
    contents = {f"{panel.name}.png": png(panel.pixels) for panel in panels(result)}
    contents |= {
        "reconstruction.tif": geotiff(result),
        "figure.png": figure(result, verdict),
        "recipe.json": recipe_json(result, verdict).encode(),
    }
    try:
        return tuple(write_atomic(folder / name, content) for name, content in contents.items())
    except OSError as problem:
        raise ExportError(
            f"The folder {folder} cannot be written ({problem.strerror}): choose another folder with --out."
        ) from problem
