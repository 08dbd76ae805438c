"""Large tables: what the browser draws of them, in at most 5 MB a view."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from earth_mae_components import Camera

from core.atlas import EmbeddingTable, make_rows
from tests.globe_tables import write_world
from ui.globe import tables
from ui.globe.map import colour, drawn, linked_maps
from ui.globe.map.drawn import Drawn, drawn_rows, pictures_of
from ui.globe.panel_api import Layer
from ui.globe.tables import MapData, Surface

TOTAL = 4_000


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> MapData:
    """A table of which 400 of 4,000 rows are drawn, in spatial order."""
    monkeypatch.setattr(tables, "WHOLE_ROWS", 1_000)
    monkeypatch.setattr(drawn, "MAX_DRAWN", 400 + drawn.MAX_MARKED)
    generator = np.random.default_rng(0)
    lon = np.sort(generator.uniform(-180, 180, TOTAL))
    lonlat = np.stack([lon, generator.uniform(-60, 60, TOTAL)], axis=1).astype(np.float32)
    vectors = generator.standard_normal((TOTAL, 8)).astype(np.float32)
    known = {"centre_lon": lonlat[:, 0], "centre_lat": lonlat[:, 1]}
    table = EmbeddingTable.from_rows(make_rows(vectors, known))
    plane = generator.standard_normal((TOTAL, 2)).astype(np.float32)
    return MapData(table, lonlat, plane, b"", (), Surface(table, False))


def test_a_view_of_a_large_table_is_at_most_5_mb() -> None:
    header, point, rgb = 16, 16, 3
    coasts = len(linked_maps.coast())
    assert coasts + 2 * header + drawn.MAX_DRAWN * (point + rgb) <= 5_000_000


def test_a_far_view_is_an_even_sample_with_the_marked_rows(large: MapData) -> None:
    found = drawn_rows(large, None, [7, 3_999])
    assert found.rows is not None
    assert len(found.rows) == 402
    assert {7, 3_999} <= set(found.rows.tolist())
    assert "of 4,000 places" in found.note
    assert len(found.points) == 16 + 16 * len(found.rows)
    shares = np.histogram(found.rows, 10, (0, TOTAL))[0]
    assert shares.min() > 35 and shares.max() < 45, "every part of the table is drawn alike"
    assert found.positions([7, 8, 3_999]) == [found.rows.tolist().index(7), len(found.rows) - 1]
    assert found.row(found.positions([7])[0]) == 7
    assert found.row(402) is None


def test_nearer_views_keep_rows_and_add_others_until_all_are_drawn(large: MapData) -> None:
    seen: list[set[int]] = []
    for zoom in (3.2, 5.0, 6.5):
        camera = Camera("flat", 20.0, 10.0, zoom)
        found = drawn_rows(large, camera, [])
        assert found.rows is not None and len(found.rows) <= 400
        seen.append(set(found.rows.tolist()))
    lon, lat = large.lonlat.T
    close = set(np.flatnonzero((np.abs(lon - 20) < 3) & (np.abs(lat - 10) < 3)).tolist())
    assert close and close <= seen[-1], "a close view draws every place in it"
    for farther, nearer in pairwise(seen):
        assert farther & close <= nearer
    assert "all of the" in found.note


def test_views_cross_the_antimeridian_and_small_moves_keep_the_points(large: MapData) -> None:
    found = drawn_rows(large, Camera("flat", 179.0, 0.0, 6.0), [])
    assert found.rows is not None
    lon, lat = large.lonlat.T
    for side in (lon > 178, lon < -179):
        assert set(np.flatnonzero(side & (np.abs(lat) < 2)).tolist()) <= set(found.rows.tolist())
    assert drawn_rows(large, Camera("flat", 179.1, 0.1, 6.2), []) is found


def test_colours_are_those_of_the_rows_drawn(large: MapData) -> None:
    found = drawn_rows(large, None, [])
    assert found.rows is not None
    for by in ("appearance", "groups"):
        some = colour.encoded_colours(large.table, by, None, found)
        whole = colour.encoded_colours(large.table, by, None)
        assert len(some.colours) == 16 + len(found.rows) * (3 if by == "appearance" else 1)
        np.testing.assert_array_equal(colour.rgb_of(some), colour.rgb_of(whole)[found.rows])


def test_values_of_some_rows_keep_the_scale_of_all() -> None:
    layer = Layer("x", values=np.arange(1_000, dtype=np.float32))
    assert layer.of(np.arange(10)).limits == pytest.approx((19.98, 979.02))
    assert layer.of(None) is layer


def test_pictures_on_hover_are_those_of_the_rows_drawn(
    large: MapData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "picture", lambda table, row: b"%d" % row)
    found = drawn_rows(large, None, [])
    assert found.rows is not None
    pictures = pictures_of(large.table, found)
    assert pictures(5) == b"%d" % found.rows[5]
    assert pictures == pictures_of(large.table, found)
    with pytest.raises(IndexError):
        pictures(len(found.rows))


def test_small_tables_are_drawn_whole(tmp_path) -> None:
    data = tables.map_data(write_world(tmp_path / "one", 50))
    whole = drawn_rows(data, Camera("globe", 0, 0, 9.0), [3])
    assert whole.rows is None and whole.points is data.points and not whole.note
    assert whole.positions([3, 9]) == [3, 9]
    assert isinstance(whole, Drawn)


def test_columns_and_coasts_of_large_tables_are_judged_by_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "PROBED_ROWS", 200)
    monkeypatch.setattr(colour, "RUN_ROWS", 2)
    monkeypatch.setattr(tables, "LAND_ROWS", 500)
    generator = np.random.default_rng(0)
    lonlat = {
        "centre_lon": generator.uniform(-180, 180, TOTAL),
        "centre_lat": generator.uniform(-60, 60, TOTAL),
    }
    known = {
        **lonlat,
        "gsd_m": np.full(TOTAL, 10.0),
        "image_size": np.full(TOTAL, 224, np.int32),
        "source": ["a", "b"] * (TOTAL // 2),
        "crs": ["one"] * TOTAL,
    }
    table = EmbeddingTable.from_rows(make_rows(generator.standard_normal((TOTAL, 8)), known))
    choices = colour.colour_choices(table, None)
    assert "column:source" in choices and "column:crs" not in choices
    assert len(colour._probe(table.columns["source"])) == 200
    whole: list[int] = []
    monkeypatch.setattr(tables, "land_rows", lambda _: whole.append(1))
    assert tables.has_land_and_sea(table) and not whole
