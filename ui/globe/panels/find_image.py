"""Searching by ground that is no row: an uploaded picture, or a part of a tile. Both are embedded as the rows of the table were."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pyarrow.compute
import streamlit as st
from numpy.typing import NDArray

from core.atlas import EmbeddingTable
from core.geo.parts import parts_of
from core.geo.tile import TileSpec
from ui.globe.panel_api import PanelContext
from ui.globe.rows import spec_of
from ui.shell import cached, state, uploads
from ui.shell.escaping import plain

pc: Any = pyarrow.compute

RECIPE = ("model", "checkpoint_sha256", "pooling", "res_policy", "image_size", "gsd_m")
UPLOAD_MB = 50
_PART = "globe find part"

Found = tuple[NDArray[np.floating], str, tuple[int, ...]]


def picture(context: PanelContext) -> Found | None:
    """A picture of the user's own: its vector, and its name."""
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    file = left.file_uploader(
        f"A GeoTIFF, PNG or JPEG of at most {UPLOAD_MB} MB; its centred square is compared", type=["tif", "tiff", "png", "jpg", "jpeg"],
        max_upload_size=UPLOAD_MB, key="find upload",
    )  # fmt: skip
    gsd_m = right.number_input(
        "Metres per pixel, if the file does not know",
        0.0,
        1e6,
        step=0.1,
        format="%.3f",
        value=None,
        placeholder="as most of the table's",
        key="find gsd",
    )
    if file is None:
        st.caption(
            "It stays in this server's memory, and only its vector is kept. Nothing is asked on the internet."
        )
        return None
    content = uploads.content(file, UPLOAD_MB)
    return vector_of(context, usual_row(context.table), content, gsd_m or None), file.name, ()


def usual_row(table: EmbeddingTable) -> int:
    """The first row of the most frequent GSD, for what does not know its own; the first of all where no row knows one."""
    column = table.columns["gsd_m"]
    most: list[dict[str, Any]] = pc.mode(column).to_pylist()
    return pc.index(column, most[0]["mode"]).as_py() if most else 0


def part(context: PanelContext) -> Found | None:
    """A part of the place in hand, chosen by clicking it."""
    if context.place is None:
        st.info(
            "Click a point on a map first: then choose a part of its tile here.", icon=":material/ads_click:"
        )
        return None
    spec = spec_of(context.table, context.place)
    if spec is None:
        st.info(
            "The picture of this place is not on this machine, so no part of it can be cut: choose another place.",
            icon=":material/image_not_supported:",
        )
        return None
    n = (
        st.segmented_control(
            "Parts", [2, 3, 4], format_func=lambda n: f"{n} x {n}", default=3, required=True, key="find parts"
        )
        or 3
    )
    parts, here = parts_of(spec, n), (context.identity(context.place), n)
    held = state.recall(_PART, None)
    chosen = held[1] if held and held[0] == here else None
    with st.container(key="find grid"):
        for start in range(0, len(parts), n):
            with st.container(horizontal=True, gap="xxsmall"):
                for at in range(start, start + n):
                    if _picture_button(parts[at], at, at == chosen):
                        state.keep(_PART, (here, at))
                        chosen = at
    st.caption(
        f"Click a part. It is embedded by itself, enlarged to a whole tile: what lies around it does not count, and its pixels are {n:,} times finer "
        "than those of the rows it is compared with."
    )
    if chosen is None:
        return None
    where = f"part {chosen % n + 1} of row {chosen // n + 1} of that tile"
    return vector_of(context, context.place, parts[chosen], None), where, (context.place,)


def vector_of(context: PanelContext, row: int, shown: bytes | TileSpec, gsd_m: float | None) -> Any:
    """A picture's vector, made as a row's was."""
    values = context.table.columns.select(list(RECIPE)).slice(row, 1).to_pylist()[0]
    with st.spinner("Embedding the picture", show_time=True):
        return cached.vector_like(tuple(values.items()), shown, gsd_m, state.session_id())


def _picture_button(spec: TileSpec, at: int, chosen: bool) -> bool:
    shown = base64.b64encode(cached.thumbnail_of(spec, 96)).decode()
    label = f"![part {at + 1}](data:image/jpeg;base64,{shown})"
    with st.container(width=104):
        return st.button(
            plain(label), key=f"find part {at}", type="primary" if chosen else "tertiary", width="stretch"
        )
