"""The smallest page with a mask painter: it owns the mask, shows what it received, and can change it."""

import io
import time

import numpy as np
import streamlit as st
from earth_mae_components import encode_bitmap, mask_painter, painted
from PIL import Image

st.set_page_config(layout="wide")
rows = st.number_input("rows", 2, 28, 14)
cols = st.number_input("cols", 2, 28, 14)


def tile() -> bytes:
    """A smooth synthetic tile, 224 px."""
    y, x = np.mgrid[0:224, 0:224] / 224
    waves = np.stack([np.sin(9 * x + 3 * y), np.sin(6 * y - 2 * x), np.sin(12 * x * y)], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(127 + 120 * waves)).save(buffer, "PNG")
    return buffer.getvalue()


if st.session_state.get("grid") != (rows, cols):
    st.session_state.grid = (rows, cols)
    st.session_state.mask = np.zeros((rows, cols), dtype=bool)
if st.button("chequered"):
    st.session_state.mask = np.indices((rows, cols)).sum(0) % 2 == 1
st.button("nothing")
hides_row = st.toggle("a picked patch hides its row")
if st.button("slow"):
    time.sleep(1.5)
answer = painted(rows, cols, "p")
if answer is not None:
    st.session_state.mask = answer.mask
    st.session_state.pick = answer.pick
    if answer.pick is not None and hides_row:
        st.session_state.mask = answer.mask.copy()
        st.session_state.mask[answer.pick[0]] = True
mask_painter(tile(), rows, cols, st.session_state.mask, key="p", label="Test mask")
st.session_state.runs = st.session_state.get("runs", 0) + 1
mask = st.session_state.mask
st.code(
    f"runs={st.session_state.runs} hidden={int(mask.sum())} pick={st.session_state.get('pick')} "
    f"bits={encode_bitmap(mask)}"
)
