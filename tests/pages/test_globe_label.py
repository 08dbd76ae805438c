"""The panel Label without a browser: marks teach, can be undone, are kept under a link, and never become somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.atlas import make_rows
from core.atlas.analysis.marking import Sheet, new_key, save_sheet
from core.atlas.store.shards import write_table
from tests.globe_tables import INFO, columns_of, places, vectors_at
from tests.pages.test_globe import PAGE, calm, param, said

Open = Callable[..., AppTest]


@pytest.fixture
def sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the marks of this test are kept."""
    monkeypatch.setattr("ui.globe.panels.label.LABELS", tmp_path / "labels")
    return tmp_path / "labels"


def press(app: AppTest, strip: str, n: int, word: str) -> AppTest:
    """Press a word under the n-th picture of a strip."""
    key = next(
        b.key
        for b in app.button
        if (b.key or "").startswith(f"strip label {strip} {n} ") and (b.key or "").endswith(f" {word}")
    )
    return calm(app.button(key=key).click().run())


def marked(app: AppTest, yes: int = 2, no: int = 2) -> AppTest:
    for n in range(yes):
        press(app, "ask", n, "Yes")
    for n in range(no):
        press(app, "ask", n + 3, "No")
    return app


@pytest.mark.usefixtures("data", "sheets")
def test_marks_colour_the_world_and_are_scored_on_what_was_left_out(open_page: Open) -> None:
    app = calm(open_page(PAGE, tab="Label"))
    assert "Mark at least one yes and one no" in said(app)
    press(app, "ask", 0, "Yes")
    assert "Now mark one no" in said(app)
    press(app, "ask", 1, "No")
    assert "Mark these next" in said(app) and "Mark at least two of each kind" in said(app)
    assert param(app, "by") == "painted"
    press(app, "ask", 0, "Yes")
    press(app, "ask", 1, "No")
    assert "On held-out marks" in said(app) and "**2** yes · **2** no" in said(app)
    assert len(app.get("download_button")) == 3


def test_marks_that_contradict_each_other_are_said_to_and_paint_no_flat_map(
    data: Path, sheets: Path, open_page: Open
) -> None:
    twice = np.tile(places(30), (2, 1))
    write_table(data / "twins", make_rows(vectors_at(twice), columns_of(twice)), INFO)
    sheet = Sheet(table="twins")
    for n in (7, 8):
        sheet = sheet.marked(f"place{n:06d}", "yes").marked(f"place{n + 30:06d}", "no")
    key = new_key()
    save_sheet(sheets, key, sheet)
    app = calm(open_page(PAGE, tab="Label", table="twins", labels=key))
    assert "contradict each other" in said(app) and "Mark these next" in said(app)
    assert "by" not in app.query_params


@pytest.mark.usefixtures("data")
def test_undo_and_start_over(open_page: Open, sheets: Path) -> None:
    app = marked(open_page(PAGE, tab="Label"), 1, 1)
    calm(app.button(key="label undo").click().run())
    assert "**1** yes · **0** no" in said(app) and "by" not in app.query_params
    calm(app.button(key="label restart").click().run())
    assert "**0** yes · **0** no" in said(app) and "labels" not in app.query_params
    assert len(list(sheets.iterdir())) == 1


@pytest.mark.usefixtures("data")
def test_a_link_restores_marks_and_somebody_elses_marks_stay_theirs(open_page: Open, sheets: Path) -> None:
    first = marked(open_page(PAGE, tab="Label"))
    key = param(first, "labels")
    content = (sheets / f"{key}.json").read_bytes()
    other = calm(open_page(PAGE, tab="Label", labels=key))
    assert "**2** yes · **2** no" in said(other) and param(other, "by") == "painted"
    press(other, "likely", 0, "No")
    assert "**2** yes · **3** no" in said(other)
    assert param(other, "labels") != key
    assert (sheets / f"{key}.json").read_bytes() == content


@pytest.mark.usefixtures("data", "sheets")
@pytest.mark.parametrize("key", ["../../../etc/passwd", "AAAAAAAAAAAAAAAA"])
def test_a_link_to_marks_that_are_not_here_is_said(open_page: Open, key: str) -> None:
    app = calm(open_page(PAGE, tab="Label", labels=key))
    assert "mark some places to start again" in said(app)
    press(app, "ask", 0, "Yes")
    assert param(app, "labels") != key


@pytest.mark.usefixtures("data", "sheets")
def test_selected_place_can_be_marked_and_unmarked(open_page: Open) -> None:
    app = calm(open_page(PAGE, tab="Label", place="place000007"))
    calm(app.button(key="label place yes").click().run())
    assert "marked yes" in said(app)
    calm(app.button(key="label place no").click().run())
    assert "marked no" in said(app) and "**0** yes · **1** no" in said(app)
    press(app, "marks", 0, "Remove")
    assert "not marked" in said(app) and "**0** yes · **0** no" in said(app)


@pytest.mark.usefixtures("data", "sheets")
def test_marks_of_rows_that_are_not_on_show_are_counted(open_page: Open) -> None:
    app = marked(open_page(PAGE, tab="Label"))
    app.selectbox(key="w:globe Pixel size").set_value(15_000.0).run()
    assert "not among the rows shown" in said(calm(app))
