"""The panel "Place": the selected tile, its nearest neighbours by embedding, and its reconstruction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.atlas.analysis.label import variety
from core.atlas.search.neighbors import Neighbors, nearest
from core.atlas.search.regions import REGION_KM, nearest_elsewhere
from core.errors import ExplorerError
from core.geo import TileSpec, ground
from core.geo.gazetteer import NamedPlace, nearest_towns
from core.geo.sights import SIGHTS
from core.session import PageView
from core.units import metres
from core.viz.pictures import panels
from core.viz.sheet import sheet
from ui.globe import panel_api as api
from ui.globe.globe_state import globe_view
from ui.globe.map import linked_maps
from ui.globe.panel_api import PanelContext
from ui.globe.rows import picture_url, same_ground, spec_of
from ui.mask_lab import lab
from ui.pickers import controls, model_picker
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence

SHOWN = 12
APART = 1.5
TILE_PX = 160
SIGHT_KM, SIGHT_DEGREES = 150.0, 1.2
TOWN, BESIDE_KM = 50_000, 40.0
"""Least population of towns that places are named after, and up to which distance without stating it."""
LABS = {
    "Mask Lab": ("pages/1_Mask_Lab.py", ":material/grid_view:"),
    "Scale Lab": ("pages/2_Scale_Lab.py", ":material/zoom_out_map:"),
}


def draw(context: PanelContext) -> None:
    """Show the selected place."""
    if context.place is None:
        st.info(
            "**Click a point** on either map to see its tile, the most similar places on Earth, and how the "
            "network reconstructs it "
            "when patches are hidden.",
            icon=":material/ads_click:",
        )
        if st.button("Show me one", icon=":material/casino:"):
            api.select_place(worth_seeing(context))
        return
    left, right = st.columns([1, 2.4], gap="large")
    with left:
        show_facts(context, context.place)
    with right, in_a_sentence():
        show_neighbours(context, context.place)
    with in_a_sentence():
        show_reconstruction(context, context.place)


def worth_seeing(context: PanelContext) -> int:
    """Choose a row at a random sight; where the table covers none, one of its most varied rows."""
    generator = np.random.default_rng()
    covered = (
        [
            row
            for lon, lat in SIGHTS.values()
            if context.table.distance_km(row := context.table.nearest_place(lon, lat), lon, lat) < SIGHT_KM
        ]
        if np.isfinite(context.lonlat).any()
        else []
    )
    if covered:
        return int(generator.choice(covered))
    return int(generator.choice(variety(context.table, SHOWN, seed=int(generator.integers(2**31)))))


def show_facts(context: PanelContext, row: int) -> None:
    """Show the tile, its coordinates, and its columns in the table."""
    values = context.table.columns.slice(row, 1).to_pylist()[0]
    lon, lat = context.lonlat[row].tolist()
    with st.container(horizontal=True, gap="small"):
        address = picture_url(context.table, row)
        st.html(
            f"<img src='{address}' width={TILE_PX} height={TILE_PX} alt='The tile of row {row}' "
            "style='display:block;border-radius:10px;object-fit:cover'>",
            width=TILE_PX,
        )
        with st.container(width=TILE_PX, gap="xxsmall"):
            if np.isfinite(lon + lat):
                if name := sight_at(lon, lat) or near_town(lon, lat):
                    st.markdown(f"**{plain(name)}**")
                st.markdown(
                    f"{abs(lat):.2f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.2f}° {'E' if lon >= 0 else 'W'}"
                )
            else:
                st.markdown("**Unknown location**")
            gsd = f" · {metres(values['gsd_m'])} per pixel" if values["gsd_m"] else ""
            st.caption(f"{plain(values['source'] or 'unknown source')}{gsd}")
    with st.expander("All columns of this row", icon=":material/table_rows:"):
        stated = {
            name: str(value)[:80]
            for name, value in values.items()
            if value is not None and name not in ("geometry", "bbox")
        }
        st.dataframe({"column": list(stated), "value": list(stated.values())}, hide_index=True, height=260)


def show_neighbours(context: PanelContext, row: int) -> None:
    """Show the nearest neighbours as pictures and rings; offer to colour the maps by similarity."""
    left, right = st.columns([1, 1.3], vertical_alignment="center")
    located = bool(np.isfinite(context.lonlat[row]).all())
    elsewhere = left.toggle(
        "One per region",
        value=True,
        key="elsewhere",
        help=f"Shows places at least {REGION_KM:,.0f} km from here and from each other. Switch it off to see "
        "the most similar tiles wherever they are, without those that overlap this one.",
        disabled=not located,
    )
    heat = right.toggle(
        "Where else on Earth does it look like this?",
        value=globe_view().by == "similar",
        key=f"heat {globe_view().by == 'similar'}",
    )
    if heat != (globe_view().by == "similar"):
        api.colour_by("similar" if heat else "appearance")
    found = neighbours(context, row, elsewhere)
    api.ring_rows(found.rows.tolist())
    captions = [
        f"{score:.3f}{' · the same' if same else ''}{where}"
        for score, same, where in zip(
            found.similarity, found.duplicate, whereabouts(context, row, found.rows), strict=True
        )
    ]
    clicked = api.picture_strip(context, found.rows.tolist(), captions, key="near")
    few = (
        f"Only {len(found.rows):,} regions of this table have places among the most similar ones. "
        if elsewhere and located and len(found.rows) < SHOWN
        else ""
    )
    st.caption(
        "Most similar first: the cosine similarity of the vectors, the nearest town, and the distance from "
        f"the selected place. Yellow rings mark them on the maps. {plain(few)}{plain(found.note)}"
    )
    if clicked is not None:
        api.select_place(clicked)


def neighbours(context: PanelContext, row: int, elsewhere: bool) -> Neighbors:
    """Return the rows most similar to a row; `elsewhere` one per region, else all that do not overlap it."""
    located = bool(np.isfinite(context.lonlat[row]).all())
    if elsewhere and located:
        return nearest_elsewhere(context.table, row, SHOWN)
    among = apart(context, row) if located else None
    return nearest(context.table, context.table.vectors_of([row])[0], SHOWN, exclude=[row], among=among)


def whereabouts(context: PanelContext, row: int, rows: NDArray[np.int64]) -> list[str]:
    """Say for each row which town is nearest and how far it is from `row`; "" where that is unknown."""
    towns, km = nearest_towns(context.lonlat[rows], TOWN)
    lon, lat = context.lonlat[row].tolist()
    captions = []
    for other, town, town_km in zip(rows.tolist(), towns, km.tolist(), strict=True):
        if town is None or not np.isfinite(lon + lat):
            captions.append("")
            continue
        away = context.table.distance_km(other, lon, lat)
        captions.append(f" · {_near(town, town_km)} · {away:,.0f} km away")
    return captions


def near_town(lon: float, lat: float) -> str:
    """Name the town nearest to a point, with its distance."""
    (town,), km = nearest_towns(np.array([[lon, lat]]), TOWN)
    return "" if town is None else _near(town, float(km[0]))


def sight_at(lon: float, lat: float) -> str:
    """Name the sight at a point, "" if there is none."""
    for name, (at_lon, at_lat) in SIGHTS.items():
        east = (lon - at_lon + 180) % 360 - 180
        if np.hypot(east * np.cos(np.radians(lat)), lat - at_lat) < SIGHT_DEGREES:
            return name
    return ""


def _near(town: NamedPlace, km: float) -> str:
    return town.label if km < BESIDE_KM else f"{km:,.0f} km from {town.label}"


def apart(context: PanelContext, row: int) -> NDArray[np.bool_]:
    """Return which rows lie more than 1.5 widths of the larger tile away, or have no location."""
    columns = context.table.columns
    sides = columns["gsd_m"].to_numpy().astype(np.float64) * columns["image_size"].to_numpy().astype(
        np.float64
    )
    sides = np.nan_to_num(sides, nan=0.0)
    lon, lat = np.radians(context.lonlat.astype(np.float64)).T
    half = (
        np.sin((lat - lat[row]) / 2) ** 2 + np.cos(lat) * np.cos(lat[row]) * np.sin((lon - lon[row]) / 2) ** 2
    )
    away_m = 2 * ground.MEAN_EARTH_RADIUS_M * np.arcsin(np.sqrt(half.clip(0, 1)))
    return ~(away_m < APART * np.maximum(sides, sides[row]))


def show_reconstruction(context: PanelContext, row: int) -> None:
    """Show the place under the current mask, and buttons that open it in the labs."""
    spec = spec_of(context.table, row)
    if spec is None:
        st.caption(
            "The imagery of this place is not on this machine, so it cannot be reconstructed. Start the app "
            "with the folder that "
            "holds it: `make app DATA=folder`."
        )
        return
    show_reconstruction_of(view_of(context.view, spec))
    network_and_mask(context.view)


def show_reconstruction_of(view: PageView) -> None:
    """Show the masked tile of a view and its reconstruction, and buttons that open it in the labs."""
    st.markdown("## Reconstruction")
    try:
        result = lab.reconstruction(view)
    except ExplorerError as problem:
        st.caption(plain(problem))
        return
    shown = {panel.name: panel for panel in panels(result)}
    st.html(
        sheet(
            [shown[name] for name in ("original", "masked", "combined", "pasted")],
            abreast=4,
            address=lambda name, jpeg: linked_maps.asset_url(
                "pictures", jpeg, f"reconstruction {name}", "0.jpg"
            ),
        )
    )
    st.caption(f"{plain(result.recipe.caption())}. {plain(result.recipe.credit)}")
    with st.container(horizontal=True):
        for name, (path, icon) in LABS.items():
            if st.button(f"Open in {plain(name)}", icon=icon, key=f"open in {name}"):
                state.open_page(view, path)


def network_and_mask(view: PageView) -> None:
    """Let the user choose another network or mask for the whole app; rerun the page with it."""
    with st.popover("Network and mask", icon=":material/tune:"):
        key = state.widget("globe network", view.model)
        untrained = state.widget_value("show untrained globe", False)
        names = model_picker.names_for(view, untrained=untrained)
        name = st.selectbox("Network", names, key=key, format_func=model_picker.model_label)
        model_picker.show_untrained("globe")
        name = model_picker.with_positions(name)
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
    """Return the view with its tile moved to a row's ground."""
    return replace(view, tile=same_ground(spec, cached.card_of(view.model).input_px), selection="")
