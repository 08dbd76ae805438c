"""A sweep before it starts: what the settings come to, drawn on the raster and in numbers."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.cli.verbs.embed import arguments
from core.engine.embedding.plan import EmbeddingPlan, make_plan
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.errors import ExplorerError
from core.geo import Source, TileRef, TileSpec, thumbnail
from core.units import metres
from core.viz.plan import colour_of, plan_picture
from core.viz.sheet import jpeg
from ui.pickers.controls import duration
from ui.shell import cached

PICTURE_PX = 900
MOST_DRAWN = 60_000
MOST_TILES = 200_000
"""The most tiles that a page plans or starts; the command line goes further."""


@dataclass(frozen=True)
class Wanted:
    """The settings of a sweep as the page asks for them."""

    models: tuple[str, ...]
    gsd_m: tuple[float, ...]
    tile_px: int
    stride_px: int
    losses: bool
    min_valid: float
    data_type: str

    def spec(self, named: str, only: tuple[str, ...], stated_gsd_m: float | None) -> EmbeddingSpec:
        """The sweep, with everything that is as by default left to the default."""
        return EmbeddingSpec(
            (named,), "table", self.models[0], gsd_m=self.gsd_m, tile_px=self.tile_px, stride_px=None if self.stride_px == self.tile_px else self.stride_px,
            losses=self.losses, min_valid=self.min_valid, data_type=self.data_type, stated_gsd_m=stated_gsd_m, only=only,
        )  # fmt: skip


def metres_of(text: str) -> float:
    """Metres per pixel as a person writes them: 0.3, "0.3 m", "7.4 km". Raises EmbeddingError."""
    number, _, unit = text.strip().replace(",", ".").partition(" ")
    number, unit = (number[:-2], "km") if number.endswith("km") else (number.rstrip("m"), unit)
    try:
        value = float(number) * {"": 1, "m": 1, "km": 1000}[unit]
    except (ValueError, KeyError):
        value = math.nan
    if not 0.001 <= value <= 1e6:
        raise EmbeddingError(
            f"{text!r:.40} is no ground sample distance: write metres per pixel, for example 0.3, 10 or 7.4 km."
        )
    return value


def plan_of(spec: EmbeddingSpec, tile_px: int) -> EmbeddingPlan:
    """The plan of a sweep, laid once for the same settings."""
    return cached.shelf("plans", 16).once(
        (spec, tile_px), lambda: make_plan(spec, tile_px, cached.catalogue(), MOST_TILES, untrusted=True)
    )


def picture(source: Source, key: str, plan: EmbeddingPlan) -> bytes:
    """The raster with the tiles of its plan, as JPEG."""
    header = source.header(key)
    groups = [
        _shares(grid.boxes, grid.lonlat, header.width, header.height)
        for grid in plan.grids
        if grid.key == key
    ]
    asked = tuple((len(group), float(group.sum())) for group in groups)
    return cached.shelf("plan pictures", 32).once(
        (source.name, key, asked), lambda: jpeg(plan_picture(_whole(source, key), groups), 88)
    )


def _shares(
    boxes: NDArray[np.float64], lonlat: NDArray[np.float64] | None, width: int, height: int
) -> NDArray[np.float64]:
    """Boxes as shares of the picture; places of the globe as dots on it."""
    if lonlat is not None:
        dots = np.stack([(lonlat[:, 0] + 180) / 360, (90 - lonlat[:, 1]) / 180], axis=1)
        boxes = np.concatenate([dots, np.zeros_like(dots)], axis=1)
    else:
        boxes = boxes / [width, height, width, height]
    return boxes[:: math.ceil(len(boxes) / MOST_DRAWN)] if lonlat is not None else boxes


def _whole(source: Source, key: str) -> NDArray[np.uint8]:
    """The whole picture, small; grey in its shape where that would take too long to read."""
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
    """Which outline is which scale."""
    first = [grid for grid in plan.grids if grid.key == plan.grids[0].key]
    chips = "".join(
        f'<span style="display:inline-flex;align-items:center;gap:6px;margin-right:14px"><span style="width:12px;height:12px;border-radius:3px;'
        f'background:rgb{colour_of(n)}"></span>{metres(grid.gsd_m) if grid.gsd_m else "scale unknown"}: {len(grid.boxes):,} tiles</span>'
        for n, grid in enumerate(first)
    )
    others = len({(grid.source.name, grid.key) for grid in plan.grids}) - 1
    more = f"The first of {others + 1} pictures. " if others else ""
    st.html(f'<div style="font-size:.85rem;opacity:.85">{more}{chips}</div>')


def numbers(plan: EmbeddingPlan, wanted: Wanted, rate: float) -> None:
    """How many tiles, how much ground, how long."""
    cells = st.columns(3)
    area = plan.area_km2(wanted.tile_px)
    cells[0].metric(
        "Tiles" if len(wanted.models) == 1 else f"Tiles, for each of {len(wanted.models)} models",
        f"{plan.count:,}",
        help=f"{plan.empty:,} windows hold no data and are left out" if plan.empty else None,
    )
    cells[1].metric(
        "Ground",
        "unknown" if not area else f"{area:,.0f} km²" if area >= 10 else f"{area:.2g} km²",
        help="Overlaps count twice",
    )
    cells[2].metric(
        "Time",
        f"about {duration(plan.count / rate)}",
        help=f"{rate:,.0f} tiles/s{' with all models' if len(wanted.models) > 1 else ''} measured on this device just now; it is quicker when nobody else works.",
    )


def command(spec: EmbeddingSpec, title: str, models: tuple[str, ...]) -> str:
    """The command line that makes the same tables, with names instead of this server's paths."""
    sources = tuple(f"{title}.tif" if Path(source).is_absolute() else source for source in spec.sources)
    spec = replace(spec, model=models[0], sources=sources, out=f"tables/{title.replace(' ', '_')}")
    return shlex.join(["python", "-m", "core", *arguments(spec, models=models)])
