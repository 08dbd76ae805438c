"""Markdown and HTML in a link or a table: every page shows them as plain text."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.globe_tables import write_world
from tests.thorough import a_few
from ui.shell.state import GLOBE_PARAMS

Open = Callable[..., AppTest]
PICTURE = "![x](http://127.0.0.1:9/p.png)<img src=x>[y](http://127.0.0.1:9)"
VIEW = (
    "model",
    "weights",
    "tile",
    "win",
    "at",
    "gsd",
    "size",
    "rgb",
    "stated",
    "policy",
    "mask",
    "sel",
    "zzz",
)
RAW = re.compile(r"(?<!\\)!?\[[xy]\]\(|(?<!\\)<img src=x")
TEXTS = ("label", "value", "body", "help", "text", "caption")


def raw(app: AppTest) -> list[str]:
    """Texts of the page that Markdown would render as an image, a link or HTML."""
    assert not app.exception
    shown = [
        str(getattr(element.proto, name, ""))
        for element in app.main
        for name in TEXTS
        if hasattr(element, "proto") and rendered(element)
    ]
    shown += [
        str(getattr(element.proto, name, ""))
        for element in app.sidebar
        for name in TEXTS
        if hasattr(element, "proto") and rendered(element)
    ]
    return [text for text in shown if RAW.search(text)]


def rendered(element: object) -> bool:
    """Whether an element renders Markdown: code, fields and tables show text as it is."""
    return getattr(element, "type", "") not in (
        "code",
        "text_area",
        "text_input",
        "selectbox",
        "multiselect",
        "arrow_data_frame",
        "imgs",
    )


@pytest.mark.parametrize(
    "line",
    [
        "st.caption(text)",
        "st.button(text)",
        "st.sidebar.error(text)",
        "st.toggle('a', help=text)",
        "st.html(text)",
    ],
)
def test_rendered_markup_is_detected(line: str) -> None:
    assert raw(AppTest.from_string(f"import streamlit as st\ntext = {PICTURE!r}\n{line}").run())


@pytest.mark.parametrize(
    "path", [None, "pages/1_Mask_Lab.py", "pages/2_Scale_Lab.py", "pages/4_Evaluate.py", "pages/5_Train.py"]
)
def test_no_page_renders_markup_of_a_link(open_page: Open, path: str | None) -> None:
    assert not raw(open_page(path, **dict.fromkeys(VIEW, PICTURE)))


@pytest.mark.parametrize("name", a_few(sorted(GLOBE_PARAMS), 2))
def test_globe_renders_no_markup_of_a_link(open_page: Open, data: Path, name: str) -> None:
    tab = {"search": "Find", "labels": "Label", "groups": "Groups", "with": "Compare"}.get(name, "Find")
    for value in (PICTURE, f"filter:{PICTURE}", f"place:{PICTURE}") if name == "search" else (PICTURE,):
        assert not raw(open_page("pages/3_Globe.py", tab=tab, **{name: value}))


@pytest.mark.thorough
def test_globe_renders_no_markup_of_a_table(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTH_MAE_DATA", str(tmp_path))
    monkeypatch.setattr("ui.globe.tables.WORLD", tmp_path / "no bundled table")
    words = {
        name: [PICTURE] * 60 for name in ("model", "source", "product_id", "pooling", "res_policy", "crs")
    }
    write_world(tmp_path / "t", 60, **words)
    for tab in ("Place", "Find", "Compare", "Groups", "Label"):
        assert not raw(open_page("pages/3_Globe.py", table="t", tab=tab, place="000000001"))
