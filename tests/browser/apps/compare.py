"""The smallest page that compares two pictures."""

import io

import numpy as np
import streamlit as st
from earth_mae_components import compare
from PIL import Image


def picture(shift: int) -> bytes:
    """A 64 px ramp: red is the column, green the row, blue the shift."""
    y, x = np.mgrid[0:64, 0:64]
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(np.stack([4 * x, 4 * y, np.full_like(x, shift)], axis=-1))).save(buffer, "PNG")
    return buffer.getvalue()


st.set_page_config(layout="wide")
compare(picture(0), picture(200), left_label="Truth", right_label="Scale-MAE, 75 % hidden", key="c")
