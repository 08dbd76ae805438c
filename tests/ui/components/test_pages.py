"""A page with the components runs under Streamlit's own page tests."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def _page() -> None:
    import numpy as np
    import streamlit as st
    from earth_mae_components import compare, mask_painter, painted

    png = b"\x89PNG\r\n\x1a\n"
    state = painted(14, 14, "p")
    mask_painter(png, 14, 14, np.zeros((14, 14), dtype=bool), key="p")
    compare(png, png, key="c")
    st.text(f"painted={state}")


@pytest.mark.parametrize("time", ["first", "second runtime"])
def test_page_runs_without_painting(time: str) -> None:
    page = AppTest.from_function(_page).run(timeout=20)
    assert not page.exception, time
    assert page.text[0].value == "painted=None"
