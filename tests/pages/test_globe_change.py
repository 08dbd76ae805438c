"""The panel Change: two tables of the same ground, the most changed places, and both pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.atlas import make_rows, open_table
from core.atlas.store.shards import write_table
from tests.globe_tables import INFO
from tests.pages.test_globe import PAGE, no_exception, param, text_of

Open = Callable[..., AppTest]
CHANGED = [5, 60, 200]


@pytest.fixture
def later(data: Path) -> Path:
    """The places of the world again, three of them changed."""
    table = open_table(data / "world")
    vectors = table.vectors.copy()
    vectors[CHANGED] *= -1
    kept = [name for name in table.columns.column_names if table.columns[name].null_count < len(table)]
    rows = make_rows(vectors, {name: table.columns[name].combine_chunks() for name in kept})
    write_table(data / "later", rows, INFO)
    return data


@pytest.mark.usefixtures("data")
def test_without_a_second_date_the_panel_says_what_is_needed(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Change"))
    assert "have a second one of the same ground" in text_of(app)


@pytest.mark.usefixtures("later")
def test_the_changed_places_come_first_and_can_colour_the_maps(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Change", table="world"))
    assert "Before and after" in text_of(app) and "the highest **2.000**" in text_of(app)
    strip = [b.key for b in app.button if (b.key or "").startswith("strip change most ")]
    assert sorted(int(key.split()[-1]) for key in strip[:3]) == CHANGED
    toggle = next(t for t in app.toggle if t.label == "Colour the maps by this")
    no_exception(toggle.set_value(True).run())
    assert param(app, "by") == "painted"
    no_exception(app.button(key=strip[1]).click().run())
    assert "The cosine distance is 2.000" in text_of(app)


@pytest.mark.usefixtures("data")
def test_unchanged_ground_is_the_reference(open_page: Open, data: Path) -> None:
    table = open_table(data / "world")
    vectors = table.vectors + np.random.default_rng(0).normal(0.1, 0.02, table.vectors.shape)
    vectors[CHANGED] *= -1
    kept = [name for name in table.columns.column_names if table.columns[name].null_count < len(table)]
    rows = make_rows(
        vectors.astype(np.float32), {name: table.columns[name].combine_chunks() for name in kept}
    )
    write_table(data / "later", rows, INFO)
    app = no_exception(open_page(PAGE, tab="Change", table="world"))
    season = next(t for t in app.toggle if t.label == "Most of the ground is unchanged")
    no_exception(season.set_value(True).run())
    assert "median movement beyond the season is **1.000**" in text_of(app)
    strip = [b.key for b in app.button if (b.key or "").startswith("strip change most ")]
    assert sorted(int(key.split()[-1]) for key in strip[:3]) == CHANGED


@pytest.mark.usefixtures("later")
@pytest.mark.thorough
def test_equal_tables_show_no_change(open_page: Open, later: Path) -> None:
    table = open_table(later / "world")
    assert np.isfinite(table.vectors).all()
    app = no_exception(open_page(PAGE, tab="Change", table="later"))
    assert "300" in text_of(app) and "median cosine distance is **0.000**" in text_of(app)
