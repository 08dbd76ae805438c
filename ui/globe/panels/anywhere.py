"""The panel "Anywhere": any place on Earth from a catalogue of satellite scenes, where online access is switched on."""

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
from ui.globe import desk as ask
from ui.globe.desk import Desk
from ui.globe.panels import keeping, place
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence

SHOWN = 12
YEAR = timedelta(days=365)
OF_THE_RECIPE = ("model", "checkpoint_sha256", "pooling", "res_policy", "image_size")
FINEST_M, COARSEST_M = 0.05, 5000.0


def draw(desk: Desk) -> None:
    """Ask for scenes of a place, choose one, see its ground, what the network makes of it, and what is like it."""
    if not online.is_on():
        _how_to_switch_on()
        return
    from core.geo.sources.scenes import SatelliteScene
    from ui.globe.panels import scenes as shown

    left, right = st.columns([1, 2.2], gap="large")
    with left, in_a_sentence():
        asked = _question(desk)
    if asked is None:
        with right:
            st.info(
                "**Click a place** on the globe (or type one), choose dates and cloud, and ask: the scenes that show it appear here, the least cloudy "
                "first. Of the one you choose only the window is read, then reconstructed, embedded and compared with the open table.",
                icon=":material/satellite_alt:",
            )
        return
    chosen: SatelliteScene | None = None
    with right, in_a_sentence():
        with st.spinner("Asking the catalogue", show_time=True):
            found = shown.answer(asked)
        chosen = shown.choose(found)
    if chosen is None:
        return
    with left:
        shown.chart(found, asked.query.lonlat, chosen.id)
    with in_a_sentence():
        _ground(desk, asked.query.lonlat, chosen)


def _how_to_switch_on() -> None:
    """What there would be, and how to have it; nothing is asked."""
    st.info(
        "**Any place on Earth, when you allow it.** With online access this panel asks a public catalogue for the least cloudy Sentinel-2 scenes of "
        "a place, reads only the window it needs, reconstructs and embeds it. It is off, and nothing leaves this machine.",
        icon=":material/cloud_off:",
    )
    st.markdown("To switch it on, stop the app and start it again with")
    st.code(f"{online.SWITCH}=1 make app", language="bash")
    st.caption(
        "What is sent then: the place, dates and cloud that you ask for, to the catalogue (Earth Search; `EARTH_MAE_STAC` names another), and "
        "requests for parts of the scenes that you choose, to the servers that hold them. For one command, add `--online`: `python -m core scenes --help`."
    )


def _question(desk: Desk) -> Any:
    """The place, the dates and the cloud; gives what was asked last, None before the first time."""
    from core.geo.sources.scenes import SceneQuery, catalogue
    from ui.globe.panels.scenes import Asked

    here = _here(desk)
    first = "" if here is None else f"{here[0]:.4f}, {here[1]:.4f}"
    said = st.text_input(
        "Longitude, latitude",
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
    cloud = st.slider("At most so much cloud", 0, 100, format="%d %%", key=state.widget("anywhere cloud", 20))
    span = [str(day) for day in days] if isinstance(days, tuple) else []
    ready = bool(said) and len(span) == 2
    if st.button(
        "Ask for scenes", type="primary", icon=":material/satellite_alt:", disabled=not ready, width="stretch"
    ):
        lonlat = _read(said)
        state.keep("anywhere asked", Asked.now(SceneQuery(lonlat, span[0], span[1], float(cloud))))
        ask.fly(*lonlat)
    st.caption(f"Asks {plain(catalogue().title)}. The place, the dates and the cloud leave this machine.")
    return state.recall("anywhere asked", None)


def _read(text: str) -> tuple[float, float]:
    """A place as it is typed. Raises GeoError where it is none."""
    try:
        lon, lat = (float(part) for part in text.replace(";", ",").split(","))
    except ValueError as error:
        raise GeoError(
            f"'{text[:40]}' is no place: write longitude, then latitude, in degrees, as 11.4, 47.3."
        ) from error
    return lon, lat


def _here(desk: Desk) -> tuple[float, float] | None:
    """Where the person clicked: the very spot on the globe, else the place in hand."""
    found = ask.spot()
    if found is None and desk.place is not None and np.isfinite(desk.lonlat[desk.place]).all():
        found = tuple(desk.lonlat[desk.place].tolist())
    if found is None:
        return None
    lon, lat = found
    return round((lon + 180) % 360 - 180, 4), round(float(np.clip(lat, -90, 90)), 4)


def _ground(desk: Desk, lonlat: tuple[float, float], scene: Any) -> None:
    """The window of a scene about the place: reconstructed, embedded, compared, kept."""
    from ui.globe.panels import scenes as shown

    assets = {asset.key: asset for asset in scene.assets}
    best = scene.asset().key
    one, two, three = st.columns([1, 1, 2], vertical_alignment="bottom", gap="medium")
    name = one.selectbox(
        "Raster", list(assets), index=list(assets).index(best), key=f"anywhere raster {scene.id}"
    )
    first = max(assets[name].gsd_m or 10.0, FINEST_M)
    gsd_m = two.number_input(
        "Metres per pixel",
        FINEST_M,
        COARSEST_M,
        value=first,
        key=f"anywhere gsd {scene.id} {name}",
        format="%.4g",
    )
    three.toggle(
        "Keep what I read in a table of my own", key=state.widget("anywhere keep", True),
        help="Each place becomes a row with its vector, its window and when it was taken; it stands in the pick list of tables.",
    )  # fmt: skip
    source = cached.catalogue().source(NAME)
    assert isinstance(source, OnlineSource)
    listed = scene.listed(name)
    source.remember(listed)
    view = place.view_of(desk.view, TileSpec(TileRef(NAME, listed.entry.key), lonlat=lonlat, gsd_m=gsd_m))
    with st.spinner("Reading the window", show_time=True):
        side = view.tile.size_px or cached.card_of(view.model).input_px
        tile = cached.ground(view.tile, side)
    place.show_imagined(view)
    st.caption(
        f"{plain(scene.id)}, {plain(shown.day(scene))}, {plain(shown.cloud(scene))}. {plain(_cost(source, listed.entry.key))} "
        f"From the command line: python -m core embed stac:{plain(scene.address)} --online --out DIR"
    )
    _alike(desk, view, side, tile, source)


def _cost(source: OnlineSource, key: str) -> str:
    """How much of the file was read."""
    picture = source.opened(key)
    if not isinstance(picture, GeoTiff) or picture.remote is None:
        return ""
    read, whole = picture.remote.fetched_bytes, picture.remote.size_bytes
    return f"{read / 1e6:,.2f} MB of this file's {whole / 1e6:,.2f} MB were read so far ({read / whole:.1%})."


def _alike(desk: Desk, view: PageView, side: int, tile: Any, source: OnlineSource) -> None:
    """What in the open table is most like the place; and the place in a table of one's own."""
    from core.engine.embedding.places import default_recipe, embed_place

    key = view.tile.ref.key
    like = {name: desk.table.columns[name][0].as_py() for name in OF_THE_RECIPE}
    header, entry = source.header(key), source.entry(key)

    def made(recipe: dict[str, Any]) -> Any:
        wanted = (view.tile, side, tuple(recipe.items()))
        return cached.shelf("places embedded", 128).once(
            wanted, lambda: embed_place(recipe, tile, header, entry)
        )

    try:
        embedded = made(like)
    except InputError as problem:
        st.caption(f":orange[:material/info:] {plain(problem)}")
        embedded = made(default_recipe())
    else:
        st.markdown(f"## What in “{plain(desk.name)}” is most like it")
        found = nearest(desk.table, embedded.vector, SHOWN)
        ask.ring(found.rows.tolist())
        clicked = ask.pictures(
            desk, found.rows.tolist(), [f"{score:.3f}" for score in found.similarity], key="anywhere"
        )
        scale = desk.table.columns["gsd_m"][0].as_py()
        if scale and not 0.5 <= scale / tile.gsd <= 2:
            st.caption(
                f":orange[:material/info:] The table's tiles have {metres(scale)} per pixel: its places show far more or less ground."
            )
        if clicked is not None:
            ask.choose(clicked)
    if state.said("anywhere keep", True):
        keeping.keep(embedded)
