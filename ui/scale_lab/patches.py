"""The Patches tab of the Scale Lab: similar patches, feature colours, attention, a patch in another scene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from core.engine.tokens import PatchSet, attention, feature_rgb, similarity, transplant
from core.errors import ExplorerError
from core.session import PageView
from core.viz.patches import click_figure, heat_panel, picture_panel, rgb_panel
from core.viz.sheet import sheet
from ui.pickers import controls
from ui.scale_lab.choices import Choices
from ui.shell import cached, state
from ui.shell.escaping import plain

MAX_OTHERS = 7


def patches(view: PageView, choices: Choices) -> None:
    """Let the user choose a patch and show everything about it."""
    card = cached.card_of(view.model)
    grid = (view.tile.size_px or card.input_px) // card.patch_px
    others = _others(view)
    tiles = [view, *others.values()]
    titles = [controls.ref_title(view.tile.ref), *others]
    seen = cached.patches(tiles)
    cell = _pick(seen.images[0], grid, choices)
    st.markdown("## Similar patches")
    alike = similarity(seen.vectors, cell)
    low, high = float(alike.min()), 1.0
    st.html(
        sheet(
            [
                heat_panel(
                    seen.images[n],
                    alike[n],
                    f"alike-{n}",
                    title,
                    low=low,
                    high=high,
                    cell=cell if n == 0 else None,
                )
                for n, title in enumerate(titles)
            ],
            abreast=4,
        )
    )
    st.caption(
        f"Cosine similarity with the framed patch, from {low:.2f} (black) to 1 (pale), after the final norm, "
        "with no patch hidden. "
        "The vectors include the positional encoding."
    )
    st.markdown("## Feature colours")
    colours = cached.of_patches("colours", tiles, lambda: feature_rgb(seen.vectors))
    st.html(sheet([rgb_panel(colours[n], f"pca-{n}", title) for n, title in enumerate(titles)], abreast=4))
    st.caption(
        "The first three principal components over all tiles "
        "together, so a colour means the same in every tile."
    )
    _attention(view, seen, cell, choices)
    if len(tiles) > 1:
        _transplant(tiles, seen, cell, titles)


def _others(view: PageView) -> dict[str, PageView]:
    entries = {
        entry.title: entry
        for entry in cached.gallery()
        if entry.spec.ref != view.tile.ref or entry.spec.window != view.tile.window
    }
    chosen = st.multiselect(
        "Other tiles",
        list(entries),
        list(entries)[:3],
        max_selections=MAX_OTHERS,
        key="other tiles",
        select_all=False,
    )
    side = view.tile.size_px or cached.card_of(view.model).input_px
    return {
        title: replace(view, tile=replace(controls.tile_of(entries[title], side), size_px=view.tile.size_px))
        for title in chosen
    }


def _pick(image: Any, grid: int, choices: Choices) -> tuple[int, int]:
    left, right = st.columns([1, 1.2], gap="medium", vertical_alignment="center")
    keys = _within("row", choices.row, 0, grid - 1), _within("col", choices.col, 0, grid - 1)
    with right:
        st.markdown("**Click a patch**, or enter its row and column.")
        row = int(st.number_input("Row", 0, grid - 1, step=1, key=keys[0]))
        col = int(st.number_input("Column", 0, grid - 1, step=1, key=keys[1]))

    def clicked() -> None:
        event: Any = state.recall(f"clicked {grid}", {})
        if points := event.get("selection", {}).get("point_indices"):
            state.set_widget("row", int(points[0]) // grid)
            state.set_widget("col", int(points[0]) % grid)

    figure = click_figure(image, grid, (row, col))
    left.plotly_chart(
        figure,
        on_select=clicked,
        selection_mode="points",
        key=f"clicked {grid}",
        config={"displayModeBar": False},
    )
    return row, col


def _within(name: str, value: int, least: int, most: int) -> str:
    """The key of a widget whose limits depend on the network, with its value clipped to the limits."""
    key = state.widget(name, value)
    if not least <= state.widget_value(name, value) <= most:
        state.set_widget(name, min(max(value, least), most))
    return key


def _attention(view: PageView, seen: PatchSet, cell: tuple[int, int], choices: Choices) -> None:
    st.markdown("## Attention")
    network = cached.model(view.model)
    try:
        blocks = len(network.backbone.blocks)
    except ExplorerError as problem:
        st.caption(plain(problem))
        return
    left, right = st.columns(2)
    block = left.slider("Block", 1, blocks, key=_within("block", choices.block, 1, blocks)) - 1
    weights = cached.of_patches(
        "attention", [view], lambda: attention(network, seen.images[0], float(seen.res[0]), block), block
    )
    heads = [-1, *range(len(weights))]
    name = {-1: "Mean of all", **{n: f"Head {n + 1}" for n in range(len(weights))}}
    head = right.selectbox(
        "Head", heads, format_func=name.__getitem__, key=_within("head", choices.head, -1, len(weights) - 1)
    )
    shown, grid = (weights.mean(axis=0) if head == -1 else weights[head]), seen.vectors.shape[1]
    rows = {
        "Attention of CLS": (shown[0, 1:], None),
        "Attention of the patch": (shown[1 + cell[0] * grid + cell[1], 1:], cell),
    }
    maps = {title: (values.reshape(grid, grid), at) for title, (values, at) in rows.items()}
    st.html(
        sheet(
            [
                heat_panel(
                    seen.images[0],
                    values,
                    f"attention-{n}",
                    title,
                    low=0.0,
                    high=float(values.max()),
                    cell=at,
                )
                for n, (title, (values, at)) in enumerate(maps.items())
            ],
            abreast=4,
        )
    )


def _transplant(tiles: list[PageView], seen: PatchSet, cell: tuple[int, int], titles: list[str]) -> None:
    st.markdown("## The same patch in another scene")
    moved = cached.of_patches(
        "moved", tiles, lambda: transplant(cached.model(tiles[0].model), seen, cell), *cell
    )
    grid = seen.vectors.shape[1]
    panels = [picture_panel(seen.images[0], "original", titles[0], "cosine 1: the original", cell, grid)]
    for n, title in enumerate(titles[1:]):
        note = f"cosine {moved.pasted[n]:.2f}; what was there: {moved.before[n]:.2f}"
        panels.append(picture_panel(moved.pictures[n], f"pasted-{n}", title, note, cell, grid))
    st.html(sheet(panels, abreast=4))
    st.caption(
        "The same pixels at the same position in other surroundings. Any difference from a cosine of 1 comes "
        "from context: a patch's "
        "vector does not depend on its own pixels alone."
    )
