"""The figure and the caption with which a notebook shows a result; `core.shown` calls `html` and `png`."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib.figure import Figure

from ..atlas import EmbeddingTable
from ..engine.results import Reconstruction
from ..engine.scales import ScaleSeries
from ..geo.tile import Tile
from ..masking import Mask
from ..units import metres
from ..viz import previews

DPI = 110
WIDEST_PX = 1100
FIRST_ROWS = 3
SHOWN_COLUMNS = ("unique_id", "product_id", "centre_lon", "centre_lat", "gsd_m", "status")


@dataclass(frozen=True)
class Drawing:
    """How one class of results is shown: its figure, and its caption as plain text."""

    figure: Callable[[Any], Figure]
    caption: Callable[[Any], str]


def png(result: Any) -> bytes:
    """Return the figure of a result as PNG."""
    out = io.BytesIO()
    _drawing(result).figure(result).savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def html(result: Any) -> str:
    """Return the figure of a result with its caption as HTML; text of files is escaped."""
    caption = escape(_drawing(result).caption(result))
    picture = base64.b64encode(png(result)).decode()
    more = _rows(result) if isinstance(result, EmbeddingTable) else ""
    return (
        f'<figure style="margin:0;max-width:{WIDEST_PX}px">'
        f'<img src="data:image/png;base64,{picture}" alt="{caption}" style="max-width:100%">'
        f"<figcaption>{caption}</figcaption>{more}</figure>"
    )


def _drawing(result: Any) -> Drawing:
    return next(drawing for kind, drawing in DRAWINGS.items() if isinstance(result, kind))


def _tile_caption(tile: Tile) -> str:
    place = ""
    if tile.footprint is not None:
        lon, lat = tile.footprint.centre
        place = f" · {lat:.4f}, {lon:.4f}"
    bands = ", ".join(tile.bands[band] for band in dict.fromkeys(tile.rgb))
    missing = "" if tile.valid.all() else f" · {1 - tile.valid.mean():.0%} missing"
    credit = f" · {tile.credit}" if tile.credit else ""
    return (
        f"{tile.ref.source}/{tile.ref.key} · {tile.width} x {tile.height} px of {metres(tile.gsd)} · "
        f"bands {bands}{place}{missing}{credit}"
    )


def _mask_caption(mask: Mask) -> str:
    rows, cols = mask.hidden.shape
    return f"{mask.hidden.sum()} of {rows} x {cols} patches hidden ({mask.ratio:.0%})"


def _reconstruction_caption(result: Reconstruction) -> str:
    credit = (result.recipe.credit,) if result.recipe.credit else ()
    return " · ".join((result.recipe.caption(), *credit, *result.warnings))


def _series_caption(series: ScaleSeries) -> str:
    recipe = series.own.recipe
    ends = f"{metres(series.scales[0].gsd_m)} to {metres(series.scales[-1].gsd_m)}"
    credit = f" · {recipe.credit}" if recipe.credit else ""
    return f"{recipe.model} at {len(series.scales)} scales, {ends} · {recipe.policy}{credit}"


def _table_caption(table: EmbeddingTable) -> str:
    return f"{table.name}: {len(table):,} rows · {'; '.join(table.models[:3])}"


def _rows(table: EmbeddingTable) -> str:
    first = table.columns.select(SHOWN_COLUMNS).slice(0, FIRST_ROWS).to_pylist()
    head = "".join(f"<th>{name}</th>" for name in SHOWN_COLUMNS)
    cells = ("".join(f"<td>{escape(_short(row[name]))}</td>" for name in SHOWN_COLUMNS) for row in first)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else f"{value!s:.60}"


DRAWINGS: dict[type, Drawing] = {
    Tile: Drawing(previews.tile_figure, _tile_caption),
    Mask: Drawing(previews.mask_figure, _mask_caption),
    Reconstruction: Drawing(previews.reconstruction_figure, _reconstruction_caption),
    ScaleSeries: Drawing(previews.series_figure, _series_caption),
    EmbeddingTable: Drawing(previews.table_figure, _table_caption),
}
