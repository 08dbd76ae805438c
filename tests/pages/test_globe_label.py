"""The panel Label without a browser: marks train a classifier, can be undone, and belong to their link."""

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
from tests.pages.test_globe import PAGE, formats, no_exception, param, text_of

Open = Callable[..., AppTest]


@pytest.fixture
def sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's marks."""
    monkeypatch.setattr("ui.globe.panels.label.LABELS", tmp_path / "labels")
    return tmp_path / "labels"


def press(app: AppTest, strip: str, n: int, word: str) -> AppTest:
    """Press a word under the n-th picture of a strip."""
    key = next(
        b.key
        for b in app.button
        if (b.key or "").startswith(f"strip label {strip} {n} ") and (b.key or "").endswith(f" {word}")
    )
    return no_exception(app.button(key=key).click().run())


def marked(app: AppTest, yes: int = 2, no: int = 2) -> AppTest:
    for n in range(yes):
        press(app, "ask", n, "Yes")
    for n in range(no):
        press(app, "ask", n + 3, "No")
    return app


@pytest.mark.usefixtures("data", "sheets")
def test_marks_colour_the_maps_and_are_scored_on_held_out_marks(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Label"))
    assert "Mark at least one yes and one no" in text_of(app)
    press(app, "ask", 0, "Yes")
    assert "Now mark one no" in text_of(app)
    press(app, "ask", 1, "No")
    assert "Mark these next" in text_of(app) and "Mark at least two of each kind" in text_of(app)
    assert param(app, "by") == "painted"
    press(app, "ask", 0, "Yes")
    press(app, "ask", 1, "No")
    assert "On held-out marks" in text_of(app) and "**2** yes · **2** no" in text_of(app)
    assert formats(app) == {"GeoParquet", "GeoJSON", "PMTiles", "COG", "Share card"}


def test_contradictory_marks_are_reported_and_colour_nothing(
    data: Path, sheets: Path, open_page: Open
) -> None:
    twice = np.tile(places(30), (2, 1))
    write_table(data / "twins", make_rows(vectors_at(twice), columns_of(twice)), INFO)
    sheet = Sheet(table="twins")
    for n in (7, 8):
        sheet = sheet.marked(f"place{n:06d}", "yes").marked(f"place{n + 30:06d}", "no")
    key = new_key()
    save_sheet(sheets, key, sheet)
    app = no_exception(open_page(PAGE, tab="Label", table="twins", labels=key))
    assert "contradict each other" in text_of(app) and "Mark these next" in text_of(app)
    assert "by" not in app.query_params


@pytest.mark.usefixtures("data")
@pytest.mark.thorough
def test_undo_and_start_over(open_page: Open, sheets: Path) -> None:
    app = marked(open_page(PAGE, tab="Label"), 1, 1)
    no_exception(app.button(key="label undo").click().run())
    assert "**1** yes · **0** no" in text_of(app) and "by" not in app.query_params
    no_exception(app.button(key="label restart").click().run())
    assert "**0** yes · **0** no" in text_of(app) and "labels" not in app.query_params
    assert len(list(sheets.iterdir())) == 1


@pytest.mark.usefixtures("data")
@pytest.mark.thorough
def test_a_link_restores_marks_and_changes_go_to_a_copy(open_page: Open, sheets: Path) -> None:
    first = marked(open_page(PAGE, tab="Label"), 1, 1)
    key = param(first, "labels")
    content = (sheets / f"{key}.json").read_bytes()
    other = no_exception(open_page(PAGE, tab="Label", labels=key))
    assert "**1** yes · **1** no" in text_of(other) and param(other, "by") == "painted"
    press(other, "likely", 0, "No")
    assert "**1** yes · **2** no" in text_of(other)
    assert param(other, "labels") != key
    assert (sheets / f"{key}.json").read_bytes() == content


@pytest.mark.usefixtures("data", "sheets")
@pytest.mark.parametrize("key", ["../../../etc/passwd", "AAAAAAAAAAAAAAAA"])
def test_a_link_to_missing_marks_is_reported(open_page: Open, key: str) -> None:
    app = no_exception(open_page(PAGE, tab="Label", labels=key))
    assert "mark some places to start again" in text_of(app)
    press(app, "ask", 0, "Yes")
    assert param(app, "labels") != key


@pytest.mark.usefixtures("data", "sheets")
def test_selected_place_can_be_marked_and_unmarked(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Label", place="place000007"))
    no_exception(app.button(key="label place yes").click().run())
    assert "marked yes" in text_of(app)
    no_exception(app.button(key="label place no").click().run())
    assert "marked no" in text_of(app) and "**0** yes · **1** no" in text_of(app)
    press(app, "marks", 0, "Remove")
    assert "not marked" in text_of(app) and "**0** yes · **0** no" in text_of(app)


@pytest.mark.usefixtures("data", "sheets")
@pytest.mark.thorough
def test_marks_on_rows_that_are_not_shown_are_counted(open_page: Open) -> None:
    app = marked(open_page(PAGE, tab="Label"))
    app.selectbox(key="w:globe GSD").set_value(15_000.0).run()
    assert "not among the rows shown" in text_of(no_exception(app))
