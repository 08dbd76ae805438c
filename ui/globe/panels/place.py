"""The panel "Place": the tile in hand, what a network makes of it, what is most like it, and where else on Earth it could be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.atlas.analysis.label import variety
from core.atlas.search.neighbors import Neighbors, nearest
from core.atlas.store.grid import EARTH_RADIUS_KM
from core.errors import ExplorerError
from core.geo import TileSpec
from core.session import PageView
from core.units import metres
from core.viz.pictures import panels
from core.viz.sheet import sheet
from ui.globe import desk as ask
from ui.globe.desk import Desk
from ui.globe.map import scene
from ui.globe.rows import picture, same_ground, spec_of
from ui.globe.sight import sight
from ui.mask_lab import lab
from ui.pickers import controls, model_picker
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence

SHOWN = 12
APART = 1.5
LABS = {
    "Mask Lab": ("pages/1_Mask_Lab.py", ":material/grid_view:"),
    "Scale Lab": ("pages/2_Scale_Lab.py", ":material/zoom_out_map:"),
}


def draw(desk: Desk) -> None:
    """Show the place in hand."""
    if desk.place is None:
        st.info(
            "**Click a point** on either map: here you then see its tile, what the network imagines where patches are hidden, and the "
            "places on Earth that look most like it.",
            icon=":material/ads_click:",
        )
        if st.button("Show me one", icon=":material/casino:"):
            generator = (
                np.random.default_rng()
            )  # of places that stand for many others: most of the Earth by area is open sea
            ask.choose(int(generator.choice(variety(desk.table, SHOWN, seed=int(generator.integers(2**31))))))
        return
    left, right = st.columns([1, 2.4], gap="large")
    with left:
        facts(desk, desk.place)
    with right, in_a_sentence():
        alike(desk, desk.place)
    with in_a_sentence():
        imagined(desk, desk.place)


def facts(desk: Desk, row: int) -> None:
    """The tile, where it is, and everything the table says of it."""
    st.image(picture(desk.table, row), width=220, alt=f"The tile of row {row}")
    values = desk.table.columns.slice(row, 1).to_pylist()[0]
    st.markdown(f"**{plain(where(desk, row))}**")
    gsd = f" · {metres(values['gsd_m'])} per pixel" if values["gsd_m"] else ""
    st.caption(f"{plain(values['source'] or 'unnamed source')}{gsd}")
    with st.expander("What the table says", icon=":material/table_rows:"):
        said = {
            name: str(value)[:80]
            for name, value in values.items()
            if value is not None and name not in ("geometry", "bbox")
        }
        st.dataframe({"column": list(said), "value": list(said.values())}, hide_index=True, height=260)


def where(desk: Desk, row: int) -> str:
    """A place in words."""
    lon, lat = desk.lonlat[row].tolist()
    if not np.isfinite(lon + lat):
        return "Somewhere: the table does not say where"
    return f"{abs(lat):.2f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.2f}° {'E' if lon >= 0 else 'W'}"


def alike(desk: Desk, row: int) -> None:
    """The nearest neighbours, ringed on the maps and as pictures; and the whole Earth coloured by likeness."""
    one, two = st.columns([1, 1.3], vertical_alignment="center")
    elsewhere = one.toggle(
        "Only elsewhere", value=True, key="elsewhere", help="Leave out tiles that show some of the same ground.",
        disabled=not np.isfinite(desk.lonlat[row]).all(),
    )  # fmt: skip
    heat = two.toggle(
        "Where else on Earth does it look like this?",
        value=sight().by == "similar",
        key=f"heat {sight().by == 'similar'}",
    )
    if heat != (sight().by == "similar"):
        ask.colour_by("similar" if heat else "appearance")
    found = neighbours(desk, row, elsewhere)
    ask.ring(found.rows.tolist())
    captions = [
        f"{score:.3f}{' · the same' if same else ''}"
        for score, same in zip(found.similarity, found.duplicate, strict=True)
    ]
    clicked = ask.pictures(desk, found.rows.tolist(), captions, key="near")
    st.caption(
        f"Most alike first; the number is the cosine of the vectors. They carry yellow rings on the maps. {plain(found.note)}"
    )
    if clicked is not None:
        ask.choose(clicked)


def neighbours(desk: Desk, row: int, elsewhere: bool) -> Neighbors:
    """The rows most like one; `elsewhere` leaves out tiles that share ground with it."""
    among = apart(desk, row) if elsewhere and np.isfinite(desk.lonlat[row]).all() else None
    return nearest(desk.table, desk.table.vectors_of([row])[0], SHOWN, exclude=[row], among=among)


def apart(desk: Desk, row: int) -> NDArray[np.bool_]:
    """Rows whose centre is farther away than one and a half tiles (of the larger of both tiles); rows without a place count as apart."""
    columns = desk.table.columns
    sides = columns["gsd_m"].to_numpy().astype(np.float64) * columns["image_size"].to_numpy().astype(
        np.float64
    )
    sides = np.nan_to_num(sides, nan=0.0)
    lon, lat = np.radians(desk.lonlat.astype(np.float64)).T
    half = (
        np.sin((lat - lat[row]) / 2) ** 2 + np.cos(lat) * np.cos(lat[row]) * np.sin((lon - lon[row]) / 2) ** 2
    )
    away_m = 2000 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(half.clip(0, 1)))
    return ~(away_m < APART * np.maximum(sides, sides[row]))


def imagined(desk: Desk, row: int) -> None:
    """The place under the mask of the whole app, and the doors to the labs."""
    spec = spec_of(desk.table, row)
    if spec is None:
        st.caption(
            "The source of this place is not on this machine, so it cannot be reconstructed: start with the folder that holds it, `make app DATA=folder`."
        )
        return
    show_imagined(view_of(desk.view, spec))
    network_and_mask(desk.view)


def show_imagined(view: PageView) -> None:
    """The ground of a view, hidden in part and imagined, and the doors to the labs."""
    st.markdown("## What the network imagines here")
    try:
        made = lab.reconstruction(view)
    except ExplorerError as problem:
        st.caption(plain(problem))
        return
    shown = {panel.name: panel for panel in panels(made)}
    st.html(
        sheet(
            [shown[name] for name in ("original", "masked", "combined", "pasted")],
            abreast=4,
            address=lambda name, jpeg: scene.address("pictures", jpeg, f"imagined {name}", "0.jpg"),
        )
    )
    st.caption(f"{plain(made.recipe.caption())}. {plain(made.recipe.credit)}")
    with st.container(horizontal=True):
        for name, (path, icon) in LABS.items():
            if st.button(f"Open in {plain(name)}", icon=icon, key=f"open in {name}"):
                state.carry(view, path)


def network_and_mask(view: PageView) -> None:
    """Another network, or another mask: for the whole app, and the page runs again with it."""
    with st.popover("Network and mask", icon=":material/tune:"):
        key = state.widget("globe network", view.model)
        name = st.selectbox(
            "Network", model_picker.names_for(view), key=key, format_func=model_picker.model_label
        )
        name = model_picker.settled(name)
        card = cached.card_of(name)
        grid = card.input_px // card.patch_px
        mask = controls.mask_controls(view.mask, grid, grid)
    if name != view.model:
        view = replace(
            view,
            model=name,
            weights_hash=controls.hash_of(card),
            policy=controls.policy_of(card),
            tile=replace(view.tile, size_px=None),
        )
        state.jump(replace(view, mask=mask))
    if mask != view.mask:
        state.jump(replace(view, mask=mask))


def view_of(view: PageView, spec: TileSpec) -> PageView:
    """The view of the app, at a row's ground."""
    return replace(view, tile=same_ground(spec, cached.card_of(view.model).input_px), selection="")
