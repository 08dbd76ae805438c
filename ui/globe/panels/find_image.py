"""Search by an uploaded picture or a part of a tile, embedded with the settings of the table's rows."""

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

ImageQuery = tuple[NDArray[np.floating], str, tuple[int, ...]]


def picture(context: PanelContext) -> ImageQuery | None:
    """Let the user upload a picture; return its vector and name."""
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    file = left.file_uploader(
        f"A GeoTIFF, PNG or JPEG of at most {UPLOAD_MB} MB; its central square is used",
        type=["tif", "tiff", "png", "jpg", "jpeg"],
        max_upload_size=UPLOAD_MB,
        key="find upload",
    )
    gsd_m = right.number_input(
        "Metres per pixel, if the file does not state it",
        0.0,
        1e6,
        step=0.1,
        format="%.3f",
        value=None,
        placeholder="most common in the table",
        key="find gsd",
    )
    if file is None:
        st.caption(
            "The picture stays in this server's memory, and only its "
            "vector is kept. Nothing is sent to the internet."
        )
        return None
    content = uploads.content(file, UPLOAD_MB)
    return vector_of(context, usual_row(context.table), content, gsd_m or None), file.name, ()


def usual_row(table: EmbeddingTable) -> int:
    """Return the first row with the most frequent GSD, for pictures without one; 0 if no row has a GSD."""
    column = table.columns["gsd_m"]
    most: list[dict[str, Any]] = pc.mode(column).to_pylist()
    return pc.index(column, most[0]["mode"]).as_py() if most else 0


def part(context: PanelContext) -> ImageQuery | None:
    """Let the user click a part of the selected tile; return its vector."""
    if context.place is None:
        st.info(
            "Click a point on a map first, then choose a part of its tile here.", icon=":material/ads_click:"
        )
        return None
    spec = spec_of(context.table, context.place)
    if spec is None:
        st.info(
            "The imagery of this place is not on this machine. Choose another place.",
            icon=":material/image_not_supported:",
        )
        return None
    n = (
        st.segmented_control(
            "Parts", [2, 3, 4], format_func=lambda n: f"{n} x {n}", default=3, required=True, key="find parts"
        )
        or 3
    )
    parts, grid = parts_of(spec, n), (context.identity(context.place), n)
    held = state.recall(_PART, None)
    chosen = held[1] if held and held[0] == grid else None
    with st.container(key="find grid"):
        for start in range(0, len(parts), n):
            with st.container(horizontal=True, gap="xxsmall"):
                for at in range(start, start + n):
                    if _picture_button(parts[at], at, at == chosen):
                        state.keep(_PART, (grid, at))
                        chosen = at
    st.caption(
        "Click a part. It is enlarged to a whole tile and embedded without its surroundings, so its pixels "
        f"are {n:,} times finer "
        "than those of the rows it is compared with."
    )
    if chosen is None:
        return None
    where = f"part {chosen % n + 1} of row {chosen // n + 1} of that tile"
    return vector_of(context, context.place, parts[chosen], None), where, (context.place,)


def vector_of(context: PanelContext, row: int, shown: bytes | TileSpec, gsd_m: float | None) -> Any:
    """Embed a picture with the settings of a row."""
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
