"""The view of a page: restored from its link, and edited with the controls of the inspector column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import streamlit as st

from core.errors import ExplorerError
from core.session import PageView
from ui.pickers import controls
from ui.pickers.model_picker import known_names, pick_model
from ui.pickers.tile_picker import pick_tile
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.uploads import access_problem


def current_view(*, unused: Collection[str] = ("sel",), tabs: Collection[str] = ()) -> PageView:
    """The view of this script run, with a warning for each part of the link that was ignored.

    `unused` names the view's parameters that this page does not use; `tabs` lists the page's tabs.
    """
    restored = state.view(
        controls.default_view(),
        models=known_names(),
        sources=set(cached.catalogue().names()),
        weights=_weights_sha256,
        unused=unused,
        tabs=tabs,
        closed=access_problem,
    )
    # always present: without it, the browser would rebuild everything below when a warning appears
    with st.container():
        for sentence in restored.ignored:
            st.warning(plain(sentence), icon=":material/link_off:")
    return restored.view


def _weights_sha256(name: str) -> str | None:
    """The SHA-256 of a model's weights; "" if it is untrained, None if it cannot be loaded."""
    try:
        card = cached.card_of(name)
    except ExplorerError:
        return None  # the page reports why
    return card.weights.sha256 if card.weights else ""


def edit(view: PageView, *, encoders: bool = False) -> PageView:
    """Show all controls of a reconstruction and return the edited view.

    `encoders` also offers networks without a decoder.
    """
    controls.group("Picture and model")
    tile = controls.with_available_bands(pick_tile(view))
    name = pick_model(view, encoders=encoders)
    card = cached.card_of(name)
    side = (view.tile.size_px if name == view.model else None) or card.input_px
    grid = side // card.patch_px
    controls.group("Mask")
    mask = controls.mask_controls(view.mask, grid, grid)
    policy = view.policy if name == view.model else controls.policy_of(card)
    with st.expander("Scale and input", icon=":material/straighten:"):
        tile = controls.gsd_control(tile, side)
        policy = controls.policy_control(policy, card)
        size = controls.input_size(
            view if name == view.model else replace(view, tile=replace(view.tile, size_px=None)), card
        )
        tile = controls.band_control(tile)
    return PageView(name, controls.hash_of(card), replace(tile, size_px=size), policy, mask)
