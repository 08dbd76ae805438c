"""Choose the tile: from the gallery, from any source, from an upload, or at a place on the globe."""

from __future__ import annotations

import random
from dataclasses import replace

import streamlit as st

from core.errors import ExplorerError
from core.geo import GeoError, TileRef, TileSpec
from core.session import PageView
from core.units import metres
from ui.pickers import controls
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.pictures import pictures
from ui.shell.uploads import content

MAX_LISTED = 400
UPLOAD_MB = 50
COLUMNS = 4
UPLOAD, _TRIED = "Upload", "upload tried"
WITHOUT_GSD = (".png", ".jpg", ".jpeg")
"""File types that do not state their ground sample distance."""


def pick_tile(view: PageView) -> TileSpec:
    """Show the selected tile as a button that opens the tile dialog. A chosen tile restarts the page."""
    title = next(
        (e.title for e in cached.gallery() if _same_place(controls.tile_of(e, 112), view.tile)),
        controls.ref_title(view.tile.ref),
    )
    with st.container(horizontal=True, gap="small"):
        if st.button(
            plain(title),
            icon=":material/photo_library:",
            help="Choose another tile",
            width="stretch",
            key="choose tile",
        ):
            _dialog(view)
        if st.button(
            "Own", icon=":material/upload:", help="Show your own picture", key="own picture", width="content"
        ):
            _dialog(view, UPLOAD)
    return view.tile


def _same_place(one: TileSpec, other: TileSpec) -> bool:
    return (one.ref, one.window, one.lonlat) == (other.ref, other.window, other.lonlat)


@st.dialog("Choose a tile", width="large")
def _dialog(view: PageView, first: str = "Gallery") -> None:
    ways = {
        "Gallery": _gallery,
        "All pictures": _pictures,
        UPLOAD: _upload,
        "A place on the globe": _place,
    }
    tabs = st.tabs(list(ways), key=f"tile tabs {first}", default=first, on_change="rerun")
    for tab, draw in zip(tabs, ways.values(), strict=True):
        if tab.open:
            with tab:
                draw(view)


def _use(view: PageView, tile: TileSpec) -> None:
    state.jump(replace(view, tile=replace(tile, size_px=view.tile.size_px)))


def _gallery(view: PageView) -> None:
    side = view.tile.size_px or cached.card_of(view.model).input_px
    entries = cached.gallery()
    for start in range(0, len(entries), COLUMNS):
        for column, entry in zip(
            st.columns(COLUMNS, gap="small"), entries[start : start + COLUMNS], strict=False
        ):
            with column:
                try:
                    st.image(cached.thumbnail_of(entry.spec), width="stretch", alt=entry.title)
                except ExplorerError as problem:
                    st.caption(plain(problem))
                    continue
                label = f"{entry.title} · {metres(entry.gsd_m)}"
                if st.button(
                    plain(label),
                    help=f"{plain(entry.credit)} ({plain(entry.licence)})",
                    width="stretch",
                    key=f"gallery {entry.title}",
                    type="tertiary",
                ):
                    _use(view, controls.tile_of(entry, side))


def _pictures(view: PageView) -> None:
    catalogue = cached.catalogue()
    names = [name for name in catalogue.names() if name != "upload" and catalogue.source(name).keys()]
    name = st.selectbox(
        "Source",
        names,
        format_func=lambda name: (
            f"{catalogue.source(name).info.title} ({len(catalogue.source(name).keys())})"
        ),
    )
    source = catalogue.source(name)
    query = st.text_input("Name contains", max_chars=80, placeholder="river, harbour, ...").strip().lower()
    keys = source.keys()
    matches = [key for key in keys if query in f"{key} {source.entry(key).label}".lower()]
    if not matches:
        st.info(
            f"No picture of {plain(source.info.title)} matches. Shorten the text, or choose another source."
        )
        return
    key = st.selectbox(f"Picture ({len(matches)})", matches[:MAX_LISTED], key=f"key {name} {query}")
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    spec = TileSpec(TileRef(name, key))
    try:
        left.image(cached.thumbnail_of(spec), width="stretch", alt=key)
    except GeoError as problem:
        st.warning(plain(problem))
    entry = source.entry(key)
    right.caption(
        f"{plain(entry.credit or source.info.credit)}  \n{plain(entry.licence or source.info.licence)}"
    )
    if right.button("Show this picture", type="primary", width="stretch"):
        _use(view, spec)
    if right.button("Random picture of this source", icon=":material/casino:", width="stretch"):
        _use(view, TileSpec(TileRef(name, random.choice(matches))))


def _upload(view: PageView) -> None:
    st.caption(
        f"GeoTIFF, PNG or JPEG up to {UPLOAD_MB} MB. Only this browser can see it. It "
        "stays in the server's memory until soon after you close the tab."
    )
    file = st.file_uploader("Picture", type=["tif", "tiff", "png", "jpg", "jpeg"], max_upload_size=UPLOAD_MB)
    unstated = file is not None and file.name.lower().endswith(WITHOUT_GSD)
    gsd = st.number_input(
        "Metres per pixel (not stated in PNG and JPEG)"
        if unstated
        else "Metres per pixel, if the file does not state it",
        0.0,
        1e6,
        step=0.1,
        format="%.3f",
        value=None,
        placeholder="not stated",
        key="metres per pixel",
    )
    if unstated and not gsd:
        st.caption(
            "Enter how many metres on the ground one pixel covers, for example 0.3 for an aerial photograph."
        )
    asked = st.button(
        "Show this picture",
        type="primary",
        key="show upload",
        disabled=file is None or (unstated and not gsd),
    )
    if file is None:
        return
    # a file that states its scale needs no further click, but is tried by itself only once
    fresh = not unstated and state.recall(_TRIED, "") != file.file_id
    state.keep(_TRIED, file.file_id)
    if not (asked or fresh):
        return
    try:
        ref = pictures.add(
            state.session_id(), content(file, UPLOAD_MB), file.name, gsd_m=gsd or None, cookie=state.cookie()
        )
        pictures.source.native_gsd_m(ref.key)
        cached.thumbnail_of(TileSpec(ref))
    except ExplorerError as problem:
        st.error(plain(problem), icon=":material/error:")
        return
    _use(view, TileSpec(ref))


def _place(view: PageView) -> None:
    st.caption("A crop of NASA Blue Marble (7.4 km per pixel) at the place you choose. Works offline.")
    left, middle, right = st.columns(3)
    lon = left.number_input("Longitude", -180.0, 180.0, 10.0, step=1.0)
    lat = middle.number_input("Latitude", -90.0, 90.0, 45.0, step=1.0)
    across = right.select_slider("Kilometres across", [250, 500, 1000, 2000, 4000, 8000], 1000)
    side = view.tile.size_px or cached.card_of(view.model).input_px
    spec = TileSpec(TileRef("globe", "blue_marble"), lonlat=(lon, lat), gsd_m=across * 1000 / side)
    st.image(cached.thumbnail_of(replace(spec, size_px=side)), width=220, alt="The place")
    if st.button("Show this place", type="primary"):
        _use(view, spec)
