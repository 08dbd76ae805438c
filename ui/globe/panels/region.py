"""The panel "Map": the open table's imagery at full resolution under its colours, with a switch per layer."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import streamlit as st

from core.atlas import EmbeddingTable
from core.errors import ExplorerError
from core.geo import TileRef
from core.geo.web_tiles import WebTiles
from core.viz.regional import Cells, MapLayer, footprints, png, regional_map, stacked
from ui.globe.globe_state import globe_view
from ui.globe.map.colour import colour_choices, encoded_colours, rgb_of
from ui.globe.panel_api import PanelContext
from ui.globe.rows import spec_of
from ui.shell import cached, routes, state
from ui.shell.escaping import plain

HEIGHT_PX = 620
MAX_PICTURES = 24
MAX_CELLS = 300_000
OFFERED = ("similar", "appearance", "column:recon_loss_low", "column:recon_loss_high", "painted")
GROUND, OUTLINES = "Imagery", "Tile outlines"


@dataclass(frozen=True)
class TileLayer:
    """A map layer as the tile route calls it; equal for the same layer of a table, so its address stays."""

    key: Hashable
    layer: MapLayer = field(compare=False)

    def __call__(self, z: int, x: int, y: int) -> bytes | None:
        """Return one tile as PNG; None if it is empty."""
        pixels = self.layer.draw(z, x, y) if 0 <= z <= 24 and 0 <= x < 2**z and 0 <= y < 2**z else None
        return None if pixels is None else png(pixels)


def draw(context: PanelContext) -> None:
    """Show the map with its layers and the credits of its imagery."""
    if not np.isfinite(context.lonlat).all(axis=1).any():
        st.info(
            "The rows of this table have no location, so they cannot be mapped. Embed a raster with a CRS.",
            icon=":material/map:",
        )
        return
    if len(context.table) > MAX_CELLS:
        st.info(
            f"This table has {len(context.table):,} footprints, more than the map can show. "
            f"Choose one GSD above, or a table of at most {MAX_CELLS:,} rows."
        )
        return
    opacity = st.slider(
        "Opacity of the colours",
        0,
        100,
        format="%d %%",
        key=state.widget("map opacity", 60),
    )
    with st.spinner("Drawing the map"):
        layers, credit_lines = _layers(context, opacity / 100)
        html = _html(context, layers)
    if routes.has_routes():
        st.iframe(f"/maps/{routes.share(state.session_id(), 'maps', html, name='map')}", height=HEIGHT_PX)
    else:
        st.iframe(html.decode(), height=HEIGHT_PX)
        st.caption(
            "Started with `streamlit run app.py`, the map shows one coarse picture per layer. Start with "
            "`make app` for full resolution."
        )
    st.caption(plain(" · ".join(["Switch layers on and off in the corner of the map.", *credit_lines])))


def _layers(context: PanelContext, opacity: float) -> tuple[list[TileLayer], list[str]]:
    """Return the layers from bottom to top (imagery, colours, outlines), and the credits of the imagery."""
    table = context.table
    pictures = _pictures(table)
    layers: list[TileLayer] = []
    if pictures:
        west, south = np.min([one.bounds[:2] for one in pictures], axis=0).tolist()
        east, north = np.max([one.bounds[2:] for one in pictures], axis=0).tolist()
        ground = MapLayer(
            GROUND,
            stacked([one.draw for one in pictures]),
            (west, south, east, north),
            max(one.finest for one in pictures),
        )
        layers.append(TileLayer((table.fingerprint, GROUND), ground))
    outlines = cached.result_cache("footprints", 4).get_or_compute(
        table.fingerprint, lambda: Cells(list(footprints(table)))
    )
    offered = colour_choices(table, context.place)
    first = (
        () if globe_view().by == "appearance" else (globe_view().by,)
    )  # the colours of the globe, if the user chose any
    shown = [by for by in dict.fromkeys((*first, *OFFERED)) if by in offered]
    for by in reversed(shown):
        painted = encoded_colours(table, by, context.place)
        cells = outlines.coloured(rgb_of(painted))
        layer = MapLayer(
            _html_safe(offered[by]),
            cells.draw,
            cells.bounds,
            min(22, cells.finest + 2),
            opacity,
            by == shown[0],
        )
        layers.append(TileLayer((table.fingerprint, by, painted.layer), layer))
    layers.append(
        TileLayer(
            (table.fingerprint, OUTLINES),
            MapLayer(OUTLINES, outlines.draw, outlines.bounds, min(22, outlines.finest + 3), 1.0, False),
        )
    )
    return layers, sorted({one.credit for one in pictures if one.credit})


def _html(context: PanelContext, layers: list[TileLayer]) -> bytes:
    """Return the map as an HTML page, cached for the same layers."""
    place = None
    if context.place is not None and np.isfinite(context.lonlat[context.place]).all():
        place = (float(context.lonlat[context.place, 0]), float(context.lonlat[context.place, 1]))
    theme = st.context.theme.type or "light"
    addresses = {}
    if routes.has_routes():
        here = urlsplit(st.context.url or "")
        for one in layers:
            key = routes.share(state.session_id(), "tiles", one, name=f"map {one.layer.name}")
            addresses[one.layer.name] = f"{here.scheme}://{here.netloc}/tiles/{key}/{{z}}/{{x}}/{{y}}.png"
    inputs = (
        tuple(layers),
        tuple(one.layer.opacity for one in layers),
        tuple(addresses.values()),
        theme,
        place,
    )

    def make() -> bytes:
        page = regional_map([one.layer for one in layers], addresses=addresses, theme=theme, marker=place)
        return page.to_html(title="Regional map", remove_port=False).encode()

    return cached.result_cache("maps", 8).get_or_compute(inputs, make)


def _pictures(table: EmbeddingTable) -> list[WebTiles]:
    """Return the georeferenced pictures that the rows were cut from, if available."""

    def find() -> list[WebTiles]:
        keys = table.columns.select(["source", "product_id"]).to_pandas().drop_duplicates()
        refs: dict[TileRef, None] = {}
        for row in keys.index[: 4 * MAX_PICTURES].tolist():
            if (spec := spec_of(table, int(row))) is not None:
                refs[spec.ref] = None
        opened: list[WebTiles] = []
        for ref in list(refs)[:MAX_PICTURES]:
            try:
                opened.append(WebTiles(cached.catalogue().source(ref.source), ref.key))
            except ExplorerError:
                continue  # a picture without a location cannot be mapped
        return opened

    return cached.result_cache("map pictures", 6).get_or_compute(table.fingerprint, find)


def _html_safe(name: str) -> str:
    """Return a name that is safe inside an HTML page; column names come from untrusted tables."""
    return re.sub(r"[^\w ,.()%-]", "", name)[:60]
