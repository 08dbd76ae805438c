"""The panel "Map": the open table's ground at full resolution, under what the network makes of it, as a leafmap map with a switch for each layer."""

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
from ui.globe.desk import Desk
from ui.globe.map.colour import choices, paint_by, rgb_of
from ui.globe.rows import spec_of
from ui.globe.sight import sight
from ui.shell import cached, routes, state
from ui.shell.escaping import plain

HEIGHT_PX = 620
MOST_PICTURES = 24
MOST_CELLS = 300_000
OFFERED = ("similar", "appearance", "column:recon_loss_low", "column:recon_loss_high", "painted")
GROUND, OUTLINES = "Imagery", "Tile outlines"


@dataclass(frozen=True)
class Drawn:
    """What the tile route calls for a layer: the same layer of the same table is the same thing, so its address stays."""

    key: Hashable
    layer: MapLayer = field(compare=False)

    def __call__(self, z: int, x: int, y: int) -> bytes | None:
        """One tile as PNG; None where there is nothing."""
        found = self.layer.draw(z, x, y) if 0 <= z <= 24 and 0 <= x < 2**z and 0 <= y < 2**z else None
        return None if found is None else png(found)


def draw(desk: Desk) -> None:
    """Show the map, what is on it, and whose imagery it is."""
    if not np.isfinite(desk.lonlat).all(axis=1).any():
        st.info(
            "The rows of this table do not say where they are, so there is no map of them: embed a raster with a CRS.",
            icon=":material/map:",
        )
        return
    if len(desk.table) > MOST_CELLS:
        st.info(
            f"A map of {len(desk.table):,} footprints is too much at once: choose one scale above, or a table of at most {MOST_CELLS:,} rows."
        )
        return
    opacity = st.slider(
        "How strongly the colours cover the imagery",
        0,
        100,
        format="%d %%",
        key=state.widget("map cover", 60),
    )
    with st.spinner("Drawing the map"):
        layers, whose = _layers(desk, opacity / 100)
        html = _html(desk, layers)
    if routes.served():
        st.iframe(f"/maps/{routes.share(state.session_id(), 'maps', html, name='map')}", height=HEIGHT_PX)
    else:
        st.iframe(html.decode(), height=HEIGHT_PX)
        st.caption(
            "Started with `streamlit run app.py`, the map shows one coarse picture for each layer; start with `make app` for full resolution."
        )
    st.caption(plain(" · ".join(["Switch layers in the map's corner; colours as above.", *whose])))


def _layers(desk: Desk, opacity: float) -> tuple[list[Drawn], list[str]]:
    """Imagery lowest, then one layer of colours shown and the others at hand, then outlines; also whose imagery it is."""
    table = desk.table
    pictures = _pictures(table)
    found: list[Drawn] = []
    if pictures:
        west, south = np.min([one.bounds[:2] for one in pictures], axis=0).tolist()
        east, north = np.max([one.bounds[2:] for one in pictures], axis=0).tolist()
        ground = MapLayer(
            GROUND,
            stacked([one.draw for one in pictures]),
            (west, south, east, north),
            max(one.finest for one in pictures),
        )
        found.append(Drawn((table.fingerprint, GROUND), ground))
    outlines = cached.shelf("footprints", 4).once(table.fingerprint, lambda: Cells(footprints(table)))
    offered = choices(table, desk.place)
    first = (
        () if sight().by == "appearance" else (sight().by,)
    )  # what the globe shows, where somebody chose it
    shown = [by for by in dict.fromkeys((*first, *OFFERED)) if by in offered]
    for by in reversed(shown):
        painted = paint_by(table, by, desk.place)
        cells = outlines.coloured(rgb_of(painted))
        layer = MapLayer(
            _plain(offered[by]), cells.draw, cells.bounds, min(22, cells.finest + 2), opacity, by == shown[0]
        )
        found.append(Drawn((table.fingerprint, by, painted.layer), layer))
    found.append(
        Drawn(
            (table.fingerprint, OUTLINES),
            MapLayer(OUTLINES, outlines.draw, outlines.bounds, min(22, outlines.finest + 3), 1.0, False),
        )
    )
    return found, sorted({one.credit for one in pictures if one.credit})


def _html(desk: Desk, layers: list[Drawn]) -> bytes:
    """The map as a page of its own, made once for the same layers."""
    place = None
    if desk.place is not None and np.isfinite(desk.lonlat[desk.place]).all():
        place = (float(desk.lonlat[desk.place, 0]), float(desk.lonlat[desk.place, 1]))
    theme = st.context.theme.type or "light"
    addresses = {}
    if routes.served():
        here = urlsplit(st.context.url or "")
        for one in layers:
            name = f"map {one.layer.name}"
            addresses[one.layer.name] = (
                f"{here.scheme}://{here.netloc}/tiles/{routes.share(state.session_id(), 'tiles', one, name=name)}/{{z}}/{{x}}/{{y}}.png"
            )
    asked = (
        tuple(layers),
        tuple(one.layer.opacity for one in layers),
        tuple(addresses.values()),
        theme,
        place,
    )

    def make() -> bytes:
        made = regional_map([one.layer for one in layers], addresses=addresses, theme=theme, marker=place)
        return made.to_html(title="Regional map", remove_port=False).encode()

    return cached.shelf("maps", 8).once(asked, make)


def _pictures(table: EmbeddingTable) -> list[WebTiles]:
    """The georeferenced pictures that the rows were cut from, those that are here."""

    def find() -> list[WebTiles]:
        keys = table.columns.select(["source", "product_id"]).to_pandas().drop_duplicates()
        refs: dict[TileRef, None] = {}
        for row in keys.index[: 4 * MOST_PICTURES].tolist():
            if (spec := spec_of(table, int(row))) is not None:
                refs[spec.ref] = None
        opened: list[WebTiles] = []
        for ref in list(refs)[:MOST_PICTURES]:
            try:
                opened.append(WebTiles(cached.catalogue().source(ref.source), ref.key))
            except ExplorerError:
                continue  # a picture without a place is no ground for a map
        return opened

    return cached.shelf("map pictures", 6).once(table.fingerprint, find)


def _plain(name: str) -> str:
    """A name that can stand inside a page: what a table from outside calls its columns may hold anything."""
    return re.sub(r"[^\w ,.()%-]", "", name)[:60]
