"""Widgets of a page can be told apart: no two of them have the same label."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT
from tests.thorough import a_few

Open = Callable[..., AppTest]
PAGES = [f"pages/{path.name}" for path in sorted((ROOT / "pages").glob("*.py"))]
TABS = ("Place", "Find", "Compare", "Groups", "Label", "Change", "My imagery")


def repeated(app: AppTest) -> list[str]:
    """Labels that two widgets share. Buttons are left out: a list has the same ones beside each tile."""
    assert not app.exception
    labels = Counter(
        element.proto.label
        for part in (app.main, app.sidebar)
        for element in part
        if element.type != "button"
        and getattr(getattr(element, "proto", None), "id", "")
        and getattr(element.proto, "label", "")
    )
    return [label for label, count in labels.items() if count > 1]


@pytest.mark.parametrize("page", [None, *PAGES])
def test_no_two_widgets_of_a_page_share_a_label(open_page: Open, data: Path, page: str | None) -> None:
    assert repeated(open_page(page)) == []


@pytest.mark.parametrize("tab", a_few(TABS, 1))
def test_no_two_widgets_of_a_globe_tab_share_a_label(open_page: Open, data: Path, tab: str) -> None:
    assert repeated(open_page("pages/3_Globe.py", tab=tab, place="000000001")) == []


def test_a_repeated_label_is_noticed() -> None:
    app = AppTest.from_string(
        "import streamlit as st\nst.selectbox('Protocol', [1], key=1)\nst.multiselect('Protocol', [1], key=2)"
    )
    assert repeated(app.run()) == ["Protocol"]
