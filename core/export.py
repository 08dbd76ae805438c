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


def recipe_json(made: Reconstruction, verdict: Verdict | None = None) -> str:
    """Return the recipe, and the scores if given, as one JSON object."""
    content: dict[str, Any] = {"recipe": made.recipe.to_json()}
    if verdict is not None:
        content["metrics"] = verdict.to_json()
    return json.dumps(content, indent=1, allow_nan=False)


def geotiff(made: Reconstruction) -> bytes:
    """Write low, high, combined (red, green, blue each) and absolute error as ten float32 bands,
    georeferenced if possible.

    Values are in the 0..1 range of the network (high: signed). The recipe is in the tag RECIPE.
    """
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    side = made.combined.shape[-1]
    low = enlarge(made.low, side)
    error = np.where(made.valid_high, error_map(made), np.nan)[None].astype(np.float32)
    stack = np.concatenate([low, made.high, made.combined, error])
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
    if made.crs and made.transform:
        profile |= {
            "crs": made.crs,
            "transform": Affine(*made.transform) @ Affine.scale(made.input.shape[-1] / side),
        }
    with rasterio.Env(), warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as raster:
            raster.write(stack)
            raster.descriptions = BANDS
            raster.update_tags(RECIPE=json.dumps(made.recipe.to_json()))
        return bytes(memory.read())


def figure(
    made: Reconstruction, verdict: Verdict, kind: str = "png", *, dpi: int = 300, title: str = ""
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

    recipe = json.dumps(made.recipe.to_json())
    metadata = {
        "svg": {"Description": recipe, "Date": None},
        "pdf": {"Subject": recipe, "CreationDate": None},
    }.get(kind, {"Description": recipe})
    out = io.BytesIO()
    with mpl.rc_context(
        {"svg.hashsalt": "earth-mae", "svg.fonttype": "none", "pdf.fonttype": 42, "font.size": 8}
    ):
        publication(made, verdict, title).savefig(out, format=kind, dpi=dpi, metadata=metadata)
    return out.getvalue()


def pictures_zip(made: Reconstruction, verdict: Verdict) -> bytes:
    """Return the panels as PNG and the recipe in one zip, which holds no time of day: the same reconstruction gives the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for panel in panels(made):
            archive.writestr(zipfile.ZipInfo(f"{panel.name}.png"), png(panel.pixels))
        archive.writestr(zipfile.ZipInfo("recipe.json"), recipe_json(made, verdict))
    return out.getvalue()


def write_all(made: Reconstruction, verdict: Verdict, folder: Path) -> tuple[Path, ...]:
    """Write the panels, reconstruction.tif, figure.png and recipe.json to `folder`, atomically.

    Raises ExportError.
    """
    contents = {f"{panel.name}.png": png(panel.pixels) for panel in panels(made)}
    contents |= {
        "reconstruction.tif": geotiff(made),
        "figure.png": figure(made, verdict),
        "recipe.json": recipe_json(made, verdict).encode(),
    }
    try:
        return tuple(write_atomic(folder / name, content) for name, content in contents.items())
    except OSError as problem:
        raise ExportError(
            f"The folder {folder} cannot be written ({problem.strerror}): choose another folder with --out."
        ) from problem
