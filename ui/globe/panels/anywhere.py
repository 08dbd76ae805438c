"""The panel "Anywhere": satellite scenes of any place on Earth, if online access is switched on."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import streamlit as st

from core.atlas.search.neighbors import nearest
from core.engine.inputs import InputError
from core.geo import GeoError, TileRef, TileSpec
from core.geo.sources.online import NAME, OnlineSource
from core.geo.sources.raster import GeoTiff
from core.net import online
from core.session import PageView
from core.units import metres
from ui.globe import panel_api as api
from ui.globe.panel_api import PanelContext
from ui.globe.panels import place, saved_places
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence

SHOWN = 12
YEAR = timedelta(days=365)
RECIPE_COLUMNS = ("model", "checkpoint_sha256", "pooling", "res_policy", "image_size")
FINEST_M, COARSEST_M = 0.05, 5000.0


def draw(context: PanelContext) -> None:
    """Search scenes of a place, choose one, reconstruct and embed its tile, and show similar places."""
    if not online.is_on():
        _how_to_switch_on()
        return
    from core.geo.sources.stac_items import SatelliteScene
    from ui.globe.panels import scenes as shown

    left, right = st.columns([1, 2.2], gap="large")
    with left, in_a_sentence():
        request = _search_form(context)
    if request is None:
        with right:
            st.info(
                "**Click a place** on the globe or type its coordinates, choose dates and cloud cover, and "
                "search. Scenes of it appear here, "
                "the least cloudy first. Only a window of the scene you choose is read, then reconstructed, "
                "embedded and compared with "
                "the open table.",
                icon=":material/satellite_alt:",
            )
        return
    chosen: SatelliteScene | None = None
    with right, in_a_sentence():
        with st.spinner("Searching the catalogue", show_time=True):
            found = shown.find_scenes(request)
        chosen = shown.choose(found)
    if chosen is None:
        return
    with left:
        shown.chart(found, request.query.lonlat, chosen.id)
    with in_a_sentence():
        _show_scene(context, request.query.lonlat, chosen)


def _how_to_switch_on() -> None:
    """Say what this panel does and how to switch online access on."""
    st.info(
        "**Online access is off, and nothing leaves this machine.** When it is on, this panel "
        "searches a public catalogue for the least cloudy Sentinel-2 scenes of any place on "
        "Earth, reads only the window it needs, reconstructs it and embeds it.",
        icon=":material/cloud_off:",
    )
    st.markdown("To switch it on, stop the app and start it again with")
    st.code(f"{online.SWITCH}=1 make app", language="bash")
    st.caption(
        "The app then sends the place, dates and cloud cover of your search to the catalogue (Earth Search, "
        "or the one set in "
        "`EARTH_MAE_STAC`), and requests for parts of the chosen scenes to the servers that host them. To "
        "allow it for a single command, "
        "add `--online`: `python -m core scenes --help`."
    )


def _search_form(context: PanelContext) -> Any:
    """Let the user enter place, dates and cloud cover; return the last search, None before the first."""
    from core.geo.sources.scenes import SceneQuery, catalogue
    from ui.globe.panels.scenes import SceneRequest

    point = _current_point(context)
    first = "" if point is None else f"{point[0]:.4f}, {point[1]:.4f}"
    coordinates = st.text_input(
        "Longitude, latitude",
        max_chars=60,
        key=state.widget(f"anywhere place {first}", first),
        placeholder="longitude, latitude",
    )
    today = date.today()
    days = st.date_input(
        "Taken between",
        key=state.widget("anywhere days", (today - YEAR, today)),
        max_value=today,
        format="YYYY-MM-DD",
    )
    cloud = st.slider("Maximum cloud cover", 0, 100, format="%d %%", key=state.widget("anywhere cloud", 20))
    span = [str(day) for day in days] if isinstance(days, tuple) else []
    ready = bool(coordinates) and len(span) == 2
    if st.button(
        "Search scenes", type="primary", icon=":material/satellite_alt:", disabled=not ready, width="stretch"
    ):
        lonlat = _parse_lonlat(coordinates)
        state.keep("anywhere asked", SceneRequest.now(SceneQuery(lonlat, span[0], span[1], float(cloud))))
        api.fly_to(*lonlat)
    st.caption(f"Searches {plain(catalogue().title)}. The place, dates and cloud cover leave this machine.")
    return state.recall("anywhere asked", None)


def _parse_lonlat(text: str) -> tuple[float, float]:
    """Parse "longitude, latitude" in degrees. Raises GeoError if it is invalid."""
    try:
        lon, lat = (float(part) for part in text.replace(";", ",").split(","))
    except ValueError as error:
        raise GeoError(
            f"'{text[:40]}' is not a place. Enter longitude, then "
            "latitude, in degrees, for example 11.4, 47.3."
        ) from error
    return lon, lat


def _current_point(context: PanelContext) -> tuple[float, float] | None:
    """Return the last point clicked on the globe, or else the location of the selected place."""
    point = api.clicked_point()
    if point is None and context.place is not None and np.isfinite(context.lonlat[context.place]).all():
        point = tuple(context.lonlat[context.place].tolist())
    if point is None:
        return None
    lon, lat = point
    return round((lon + 180) % 360 - 180, 4), round(float(np.clip(lat, -90, 90)), 4)


def _show_scene(context: PanelContext, lonlat: tuple[float, float], scene: Any) -> None:
    """Read the window of a scene around the place; reconstruct, embed, compare and save it."""
    from ui.globe.panels import scenes as shown

    assets = {asset.key: asset for asset in scene.assets}
    best = scene.asset().key
    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom", gap="medium")
    name = left.selectbox(
        "Raster", list(assets), index=list(assets).index(best), key=f"anywhere raster {scene.id}"
    )
    first = max(assets[name].gsd_m or 10.0, FINEST_M)
    gsd_m = middle.number_input(
        "Metres per pixel",
        FINEST_M,
        COARSEST_M,
        value=first,
        key=f"anywhere gsd {scene.id} {name}",
        format="%.4g",
    )
    right.toggle(
        "Save places in my own table",
        key=state.widget("anywhere keep", True),
        help="Each place becomes a row with its vector, window and acquisition time, in a table of your own.",
    )
    source = cached.catalogue().source(NAME)
    assert isinstance(source, OnlineSource)
    listed = scene.listed(name)
    source.remember(listed)
    view = place.view_of(context.view, TileSpec(TileRef(NAME, listed.entry.key), lonlat=lonlat, gsd_m=gsd_m))
    with st.spinner("Reading the window", show_time=True):
        side = view.tile.size_px or cached.card_of(view.model).input_px
        tile = cached.ground(view.tile, side)
    place.show_reconstruction_of(view)
    st.caption(
        f"{plain(scene.id)}, {plain(shown.day(scene))}, {plain(shown.cloud(scene))}. "
        f"{plain(_cost(source, listed.entry.key))} "
        f"From the command line: python -m core embed stac:{plain(scene.address)} --online --out DIR"
    )
    _similar_places(context, view, side, tile, source)


def _cost(source: OnlineSource, key: str) -> str:
    """Say how much of the file has been read."""
    picture = source.opened(key)
    if not isinstance(picture, GeoTiff) or picture.remote is None:
        return ""
    read, whole = picture.remote.fetched_bytes, picture.remote.size_bytes
    return f"{read / 1e6:,.2f} MB of this file's {whole / 1e6:,.2f} MB have been read ({read / whole:.1%})."


def _similar_places(
    context: PanelContext, view: PageView, side: int, tile: Any, source: OnlineSource
) -> None:
    """Show the rows of the open table most similar to the place, and save the place in the user's table."""
    from core.engine.embedding.places import default_recipe, embed_place

    source_key = view.tile.ref.key
    recipe = {name: context.table.columns[name][0].as_py() for name in RECIPE_COLUMNS}
    header, entry = source.header(source_key), source.entry(source_key)

    def embed(recipe: dict[str, Any]) -> Any:
        key = (view.tile, side, tuple(recipe.items()))
        return cached.result_cache("places embedded", 128).get_or_compute(
            key, lambda: embed_place(recipe, tile, header, entry)
        )

    try:
        embedded = embed(recipe)
    except InputError as problem:
        st.caption(f":orange[:material/info:] {plain(problem)}")
        embedded = embed(default_recipe())
    else:
        st.markdown(f"## Most similar places in “{plain(context.name)}”")
        found = nearest(context.table, embedded.vector, SHOWN)
        api.ring_rows(found.rows.tolist())
        clicked = api.picture_strip(
            context, found.rows.tolist(), [f"{score:.3f}" for score in found.similarity], key="anywhere"
        )
        scale = context.table.columns["gsd_m"][0].as_py()
        if scale and not 0.5 <= scale / tile.gsd <= 2:
            st.caption(
                f":orange[:material/info:] The table's tiles have {metres(scale)} per pixel, so they cover "
                "far more or less ground."
            )
        if clicked is not None:
            api.select_place(clicked)
    if state.widget_value("anywhere keep", True):
        saved_places.save_place(embedded)
