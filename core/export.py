"""Exports: pictures, a GeoTIFF, figures for print and animations, each with its recipe inside."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from .engine.results import Reconstruction, enlarge
from .errors import ExplorerError
from .files import write_atomic
from .geo import Catalogue, Tile, known_sources
from .judge import Verdict, error_map, judge
from .masking import KINDS, MaskSpec
from .session import PageView
from .units import decibels
from .viz.pictures import Panel, Pixels, panels, png
from .viz.publication import FONTS, NARROWEST_MM, WIDEST_MM, WIDTHS_MM, publication
from .viz.series import Row, contact_sheet, frames, gif, mp4, rows_of

if TYPE_CHECKING:
    from .engine.training.runs import TrainingRun
    from .models.base import Encoder
    from .models.registry import ModelCard

ANIMATIONS = {"gif": "image/gif", "mp4": "video/mp4"}
SERIES = {"ratio": "mask ratio", "scale": "scale"}
TRAINING_PX, MOST_FRAMES = (960, 720), 120
"""An animation of a training run: width and height in pixels, and its most pictures."""
PREVIEW_ROWS = "Rows: original, visible patches, reconstruction, visible patches restored"
FIGURES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
BANDS = tuple(
    f"{part}_{colour}" for part in ("low", "high", "combined") for colour in ("red", "green", "blue")
) + ("error_l1",)


class ExportError(ExplorerError):
    """An unknown format, or a folder that cannot be written."""


def reconstruct_view(
    view: PageView, model: Encoder | None = None, tile: Tile | None = None
) -> tuple[Reconstruction, Verdict]:
    """Reconstruct a view and score it on one thread: `figure(*reconstruct_view(view))`.

    The same view gives files of the same bytes on one machine, however many cores it has. `model` and `tile`
    are loaded where not given; a tile is that of `read_ground`. Raises their errors and InputError.
    """
    from .engine.inputs import read_ground
    from .engine.loaded import load
    from .engine.reconstruct import reconstruct

    model = model or load(view.model)
    side = view.tile.size_px or model.card.input_px
    tile = tile or read_ground(known_sources().read, view.tile, side)
    result = reconstruct(model, tile, view.mask, view.policy, size_px=side, repeatable=True)
    return result, judge(result)


def series_views(
    view: PageView, kind: str, steps: int, card: ModelCard, catalogue: Catalogue
) -> tuple[PageView, ...]:
    """Return a view at `steps` mask ratios (`kind` "ratio", 5 to 95 %) or scales ("scale"), in order.

    Scales keep the same ground and hide the same part of it. Raises ExportError for another kind, and the
    errors of `ladder`.
    """
    from .engine.scales import ScaleSpec, gsd_limits, ladder

    if kind not in SERIES:
        raise ExportError(f"A series over {kind!r:.20} is not known: choose {' or '.join(SERIES)}.")
    if kind == "ratio":
        mask = view.mask if "ratio" in KINDS[view.mask.kind].uses else MaskSpec("random")
        ratios = np.linspace(0.05, 0.95, steps).round(2).tolist()
        return tuple(replace(view, mask=replace(mask, ratio=ratio)) for ratio in ratios)
    side = view.tile.size_px or card.input_px
    scales = ladder(
        ScaleSpec(view.tile, view.mask, count=steps),
        catalogue.read,
        input_px=card.input_px,
        patch_px=card.patch_px,
        limits_m=gsd_limits(catalogue.source(view.tile.ref.source), view.tile, side),
    )
    return tuple(replace(view, tile=scale.tile, mask=scale.mask) for scale in scales)


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
    result: Reconstruction,
    verdict: Verdict,
    kind: str = "png",
    *,
    dpi: int = 300,
    title: str = "",
    width_mm: float = WIDTHS_MM["page"],
    captioned: bool = True,
) -> bytes:
    """Return the figure for print as PNG at `dpi`, SVG or PDF, with the recipe in its metadata.

    `width_mm` is its width on paper, `captioned` prints scores and recipe under it. Fonts are embedded. The
    same arguments always give the same bytes. Raises ExportError.
    """
    _require(kind, dpi, width_mm)
    with mpl.rc_context({"svg.hashsalt": "earth-mae", **FONTS}):
        plot = publication(result, verdict, title, width_mm=width_mm, captioned=captioned)
        return _saved(plot, kind, dpi, json.dumps(result.recipe.to_json()))


def series_sheet(
    results: Sequence[Reconstruction],
    kind: str = "png",
    *,
    dpi: int = 150,
    width_mm: float = WIDTHS_MM["page"],
) -> bytes:
    """Return a contact sheet of several reconstructions, a row each, as PNG, SVG or PDF.

    Raises ExportError.
    """
    _require(kind, dpi, width_mm)
    recipes = [result.recipe for result in results]
    thanked = dict.fromkeys(recipe.credit for recipe in recipes if recipe.credit)
    caption = " · ".join((*dict.fromkeys(recipe.model for recipe in recipes), *thanked))
    with mpl.rc_context({"svg.hashsalt": "earth-mae", **FONTS}):
        plot = contact_sheet(rows_of(results), caption, width_mm=width_mm)
        return _saved(plot, kind, dpi, _recipes(results))


def animation(results: Sequence[Reconstruction], kind: str = "gif", *, seconds: float = 0.8) -> bytes:
    """Return several reconstructions as an animation, GIF or MP4, each shown for `seconds`.

    Raises ExportError.
    """
    _require_animation(kind, seconds)
    return _animated(frames(rows_of(results)), kind, seconds, _recipes(results))


def training_animation(run: TrainingRun, kind: str = "gif", *, seconds: float = 0.3) -> bytes:
    """Return the previews of a training run as an animation, GIF or MP4, each shown for `seconds`.

    A picture shows the same tiles after more and more steps, with the PSNR over their hidden pixels. Long
    runs are thinned out to MOST_FRAMES pictures; first and last stay. The file's comment holds the spec of
    the run. Raises ExportError, and RunError for a folder without a run.
    """
    _require_animation(kind, seconds)
    spec, files = run.spec(), run.preview_files()
    psnr = {row["step"]: row.get("psnr") for row in run.log()}
    chosen = np.unique(np.linspace(0, len(files) - 1, min(len(files), MOST_FRAMES)).round().astype(int))
    steps, rows = list(files), []
    for step in (steps[n] for n in chosen):
        if (pixels := cv2.imread(str(files[step]))) is None:
            continue  # half a file of a process that was killed
        score = psnr.get(step)
        label = f"step {step:,} of {spec.steps:,}" + ("" if score is None else f" · {decibels(score, 1)}")
        panel = Panel("preview", "", PREVIEW_ROWS, np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8))
        rows.append(Row(f"{spec.name} · {label}", (panel,)))
    if not rows:
        raise ExportError(
            f"{run.folder} has no previews yet: they are drawn every {spec.preview_every:,} steps, and "
            "only of networks with a decoder."
        )
    return _animated(frames(rows, TRAINING_PX), kind, seconds, json.dumps(asdict(spec)))


def _animated(frames: Sequence[Pixels], kind: str, seconds: float, comment: str) -> bytes:
    if kind == "gif":
        return gif(frames, seconds, comment)
    try:
        return mp4(frames, seconds, comment)
    except ImportError as error:
        raise ExportError(
            "An MP4 needs imageio-ffmpeg: run `pip install imageio-ffmpeg`, or choose gif."
        ) from error


def _require_animation(kind: str, seconds: float) -> None:
    if kind not in ANIMATIONS or not 0.05 <= seconds <= 10:
        raise ExportError(
            f"An animation of type {kind!r:.10} with {seconds:g} s per picture is not supported: "
            f"choose {' or '.join(ANIMATIONS)} and 0.05 to 10 s."
        )


def _recipes(results: Sequence[Reconstruction]) -> str:
    return json.dumps([result.recipe.to_json() for result in results])


def _require(kind: str, dpi: int, width_mm: float) -> None:
    if kind not in FIGURES or not 50 <= dpi <= 1200:
        raise ExportError(
            f"A figure of type {kind!r:.10} at {dpi} dpi is not supported: "
            f"choose {', '.join(FIGURES)} and 50 to 1200 dpi."
        )
    if not NARROWEST_MM <= width_mm <= WIDEST_MM:
        raise ExportError(
            f"A figure of {width_mm:g} mm is not supported: "
            f"choose a width from {NARROWEST_MM:g} to {WIDEST_MM:g} mm."
        )


def _saved(plot: Figure, kind: str, dpi: int, recipe: str) -> bytes:
    metadata = {
        "svg": {"Description": recipe, "Date": None},
        "pdf": {"Subject": recipe, "CreationDate": None},
    }.get(kind, {"Description": recipe})
    out = io.BytesIO()
    plot.savefig(out, format=kind, dpi=dpi, metadata=metadata)
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
