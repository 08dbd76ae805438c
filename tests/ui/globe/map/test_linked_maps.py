"""Events of the maps: the rows inside a lasso, and the row nearest to a click."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from earth_mae_components import Selection

from core.atlas import EmbeddingTable, TableError, make_rows
from tests.globe_tables import write_world
from ui.globe import tables
from ui.globe.globe_state import GlobePageView
from ui.globe.map.linked_maps import nearest_row, selected_rows
from ui.globe.tables import MapData, Surface

LONLAT = np.array([[-179.8, 0], [10, 50], [179.9, -40], [np.nan, np.nan]], np.float32)
PLANE = np.array([[0, 0], [1, 1], [2, 0], [np.nan, np.nan]], np.float32)


@pytest.fixture(scope="module")
def scene() -> MapData:
    rows = make_rows(np.eye(4, dtype=np.float32), {})
    table = EmbeddingTable.from_rows(rows)
    return MapData(table, LONLAT, PLANE, b"", (), Surface(table, False))


def click(side: str, x: float, y: float) -> Selection:
    return Selection(side, "click", ((x, y),))  # type: ignore[arg-type]


def test_a_click_finds_the_nearest_row_across_the_antimeridian(scene: MapData) -> None:
    assert nearest_row(scene, click("globe", 179.9, 1)) == 0
    assert nearest_row(scene, click("globe", -179.9, -41)) == 2
    assert nearest_row(scene, click("globe", 12, 49)) == 1


def test_a_click_on_open_sea_finds_nothing(scene: MapData) -> None:
    assert nearest_row(scene, click("globe", -60, 0)) is None
    assert nearest_row(scene, click("plane", 1.0, 0.5)) is None
    assert nearest_row(scene, Selection("globe", "click")) is None


def test_a_click_near_a_point_of_the_projection_finds_it(scene: MapData) -> None:
    assert nearest_row(scene, click("plane", 1.02, 0.98)) == 1


def test_a_lasso_across_the_antimeridian_selects_both_sides(scene: MapData) -> None:
    across = Selection("globe", "lasso", ((170, -60), (190, -60), (190, 60), (170, 60)))
    assert selected_rows(scene, across).tolist() == [0, 2]
    assert selected_rows(
        scene, Selection("plane", "box", ((-1, -1), (3, -1), (3, 0.5), (-1, 0.5)))
    ).tolist() == [0, 2]


def test_empty_selections_select_nothing(scene: MapData) -> None:
    for selection in (
        None,
        Selection("globe", "none"),
        click("globe", 10, 50),
        Selection("globe", "lasso", ((50, 0), (51, 0), (50, 1))),
    ):
        assert selected_rows(scene, selection).tolist() == []


def test_map_data_is_cached_until_the_files_change(tmp_path: Path) -> None:
    first = write_world(tmp_path / "one", 50)
    made = tables.map_data(first)
    assert tables.map_data(first) is made
    assert len(made.points) == 16 + 16 * 50
    assert tables.scales(made.table) == (7400.0, 15_000.0)
    coarse = tables.map_data(first, gsd_m=15_000.0)
    assert len(coarse.table) == 5
    with pytest.raises(TableError, match="Choose another model"):
        tables.map_data(first, gsd_m=3.0)
    shutil.rmtree(first)
    write_world(first, 60)
    assert len(tables.map_data(first).table) == 60


def test_land_only_leaves_out_the_sea_and_no_land(tmp_path: Path) -> None:
    folder = write_world(tmp_path / "one", 400)
    whole, land = tables.map_data(folder), tables.map_data(folder, land_only=True)
    assert len(whole.table) == 400
    assert 80 < len(land.table) < 240  # land is 29 % of the Earth, and coasts count as land
    names = set(land.table.columns["unique_id"].to_pylist())
    assert "place000000" not in names  # in the South Pacific
    inland = (np.abs(whole.lonlat - (20, 22)) < 8).all(axis=1)  # the Sahara
    assert inland.any() and {f"place{n:06d}" for n in np.flatnonzero(inland)} <= names


def test_only_the_table_of_the_app_leaves_out_the_sea_unless_asked(tmp_path: Path) -> None:
    table = tables.map_data(write_world(tmp_path / "one", 50)).table
    for view, expected in (
        (GlobePageView(), True),
        (GlobePageView(table=tables.SHIPPED), True),
        (GlobePageView(table="mine"), False),
        (GlobePageView(table="mine", land_only=True), True),
        (GlobePageView(land_only=False), False),
    ):
        assert tables.shows_land_only(view, table) is expected


def test_shared_arrays_are_read_only(tmp_path: Path) -> None:
    made = tables.map_data(write_world(tmp_path / "one", 20))
    with pytest.raises(ValueError, match="read-only"):
        made.plane[0] = 0
