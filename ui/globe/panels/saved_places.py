"""The user's table of saved places. It is stored with the user's jobs, under the same key."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.atlas.store.append import append_rows
from core.atlas.store.shards import shard_records
from core.engine.embedding.places import EmbeddedPlace
from ui.globe import panel_api as api
from ui.shell import jobs, state
from ui.shell.escaping import plain


def save_place(place: EmbeddedPlace) -> None:
    """Add a place to this user's table for its model, and offer to open the table."""
    if not jobs.is_owner(state.owner()):
        state.set_owner(jobs.new_owner())
    state.set_owner(state.owner())
    info = place.info
    title, folder = jobs.places_of(state.owner(), (info.model, info.weights_sha256, info.pooling))
    added = append_rows(folder, place.row, info)
    api.add_table(title, folder)
    if added:
        st.toast(f"Added to “{plain(title)}”.", icon=":material/bookmark_added:")
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.caption(
        f":material/bookmark_added: In your table “{plain(title)}” ({_count(folder)}). "
        f"{state.how_to_return()}"
    )
    if right.button("Open table", key="anywhere open", icon=":material/table_view:", width="stretch"):
        api.add_table(title, folder, show=True)


def _count(folder: Path) -> str:
    rows = sum(shard.rows for shard in shard_records(folder))
    return f"{rows:,} place{'s' * (rows != 1)}"
