"""The preview of an embedding run: its tiles drawn on the raster, and its size and duration in numbers."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.atlas.schema import Precision
from core.cli.verbs.embed import arguments
from core.engine.embedding.plan import EmbeddingPlan, make_plan
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.errors import ExplorerError
from core.geo import Source, TileRef, TileSpec, thumbnail
from core.units import duration, metres
from core.viz.plan import colour_of, plan_picture
from core.viz.sheet import jpeg
from ui.shell import cached, state
from ui.shell.session_store import Item, sessions

PICTURE_PX = 900
MAX_DRAWN = 60_000
MAX_TILES = 200_000
"""Maximum number of tiles of a run started on the page; the command line has no limit."""


@dataclass(frozen=True)
class EmbeddingSettings:
    """Settings of an embedding run, as chosen on the page."""

    models: tuple[str, ...]
    gsd_m: tuple[float, ...]
    tile_px: int
    stride_px: int
    losses: bool
    min_valid: float
    data_type: Precision

    def spec(self, named: str, only: tuple[str, ...], stated_gsd_m: float | None) -> EmbeddingSpec:
        """Return the spec of the run; settings equal to their defaults are left out."""
        return EmbeddingSpec(
            (named,),
            "table",
            self.models[0],
            gsd_m=self.gsd_m,
            tile_px=self.tile_px,
            stride_px=None if self.stride_px == self.tile_px else self.stride_px,
            losses=self.losses,
            min_valid=self.min_valid,
            data_type=self.data_type,
            stated_gsd_m=stated_gsd_m,
            only=only,
        )


def metres_of(text: str) -> float:
    """Parse metres per pixel: 0.3, "0.3 m", "7.4 km". Raises EmbeddingError."""
    number, _, unit = text.strip().replace(",", ".").partition(" ")
    number, unit = (number[:-2], "km") if number.endswith("km") else (number.rstrip("m"), unit)
    try:
        value = float(number) * {"": 1, "m": 1, "km": 1000}[unit]
    except (ValueError, KeyError):
        value = math.nan
    if not 0.001 <= value <= 1e6:
        raise EmbeddingError(
            f"{text!r:.40} is not a ground sample distance. Enter "
            "metres per pixel, for example 0.3, 10 or 7.4 km."
        )
    return value


def plan_of(spec: EmbeddingSpec, tile_px: int) -> EmbeddingPlan:
    """Return the plan of an embedding run, cached for equal settings while the session lasts."""
    return kept_for_session(
        "plans",
        16,
        (spec, tile_px),
        lambda: make_plan(spec, tile_px, cached.catalogue(), MAX_TILES, untrusted=True),
    )


def kept_for_session(name: str, limit: int, key: Hashable, make: Callable[[], Any]) -> Any:
    """The result under a key of `cached.result_cache(name, limit)`, dropped after this session has closed.

    For results that hold the decoded pixels of an upload, up to 170 MB that nobody else asks for.
    """
    results, session_id = cached.result_cache(name, limit), state.session_id()
    result = results.get_or_compute(key, make)
    sessions.put(name, f"{session_id} {hash(key)}", Item(session_id, delete=partial(results.drop, key)))
    return result


def picture(source: Source, key: str, plan: EmbeddingPlan) -> bytes:
    """Draw the tiles of a plan on the raster; return JPEG."""
    header = source.header(key)
    groups = [
        _shares(grid.boxes, grid.lonlat, header.width, header.height)
        for grid in plan.grids
        if grid.key == key
    ]
    asked = tuple((len(group), float(group.sum())) for group in groups)
    return cached.result_cache("plan pictures", 32).get_or_compute(
        (source.name, key, asked), lambda: jpeg(plan_picture(_whole(source, key), groups), 88)
    )


def _shares(
    boxes: NDArray[np.float64], lonlat: NDArray[np.float64] | None, width: int, height: int
) -> NDArray[np.float64]:
    """Return boxes as fractions of the picture; points of the globe become dots."""
    if lonlat is not None:
        dots = np.stack([(lonlat[:, 0] + 180) / 360, (90 - lonlat[:, 1]) / 180], axis=1)
        boxes = np.concatenate([dots, np.zeros_like(dots)], axis=1)
    else:
        boxes = boxes / [width, height, width, height]
    return boxes[:: math.ceil(len(boxes) / MAX_DRAWN)] if lonlat is not None else boxes


def _whole(source: Source, key: str) -> NDArray[np.uint8]:
    """Return a small version of the whole picture, or a grey one if reading it takes too long."""
    header = source.header(key)
    spec = TileSpec(TileRef(source.name, key), window=(0, 0, header.width, header.height), stated_gsd_m=1.0)
    try:
        return thumbnail(source.read(replace(spec, size_px=PICTURE_PX)), PICTURE_PX)
    except ExplorerError:
        scale = PICTURE_PX / max(header.width, header.height)
        return np.full(
            (max(1, round(header.height * scale)), max(1, round(header.width * scale)), 3), 150, np.uint8
        )


def legend(plan: EmbeddingPlan) -> None:
    """Show which outline colour belongs to which scale."""
    first = [grid for grid in plan.grids if grid.key == plan.grids[0].key]
    chips = "".join(
        '<span style="display:inline-flex;align-items:center;gap:6px;margin-right:14px">'
        f'<span style="width:12px;height:12px;border-radius:3px;background:rgb{colour_of(n)}"></span>'
        f"{metres(grid.gsd_m) if grid.gsd_m else 'scale unknown'}: {len(grid.boxes):,} tiles</span>"
        for n, grid in enumerate(first)
    )
    others = len({(grid.source.name, grid.key) for grid in plan.grids}) - 1
    more = f"First of {others + 1} pictures. " if others else ""
    st.html(f'<div style="font-size:.85rem;opacity:.85">{more}{chips}</div>')


def numbers(plan: EmbeddingPlan, settings: EmbeddingSettings, rate: float) -> None:
    """Show the number of tiles, the area and the estimated time."""
    cells = st.columns(3)
    area = plan.area_km2(settings.tile_px)
    cells[0].metric(
        "Tiles" if len(settings.models) == 1 else f"Tiles, for each of {len(settings.models)} models",
        f"{plan.count:,}",
        help=f"{plan.empty:,} windows contain no data and are skipped" if plan.empty else None,
    )
    cells[1].metric(
        "Ground",
        "unknown" if not area else f"{area:,.0f} km²" if area >= 10 else f"{area:.2g} km²",
        help="Overlaps count twice",
    )
    cells[2].metric(
        "Time",
        f"about {duration(plan.count / rate)}",
        help=f"{rate:,.0f} tiles/s{' for all models' if len(settings.models) > 1 else ''}, just measured "
        "on this device. It is faster when nobody else is using it.",
    )


def command(spec: EmbeddingSpec, title: str, models: tuple[str, ...]) -> str:
    """Return the command that computes the same tables, with names instead of paths on this server."""
    sources = tuple(f"{title}.tif" if Path(source).is_absolute() else source for source in spec.sources)
    spec = replace(spec, model=models[0], sources=sources, out=f"tables/{title.replace(' ', '_')}")
    return shlex.join(["python", "-m", "core", *arguments(spec, models=models)])
