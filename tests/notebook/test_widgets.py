"""The Python side of the widgets: what they send to the browser, and how they handle its answers."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("anywidget")

from core import CompareView, GlobeView, MaskPainter
from core.atlas import EmbeddingTable, TableError, make_rows
from core.browser.bitmap import decode_bitmap, encode_bitmap
from core.browser.polygon import encode_polygon
from core.engine.reconstruct import reconstruct
from core.geo import GeoError
from core.masking import Mask, MaskSpec, make_mask
from core.notebook.compare import CompareError
from tests.engine.conftest import plain_tile

STILL, VIEW = "image/png", "application/vnd.jupyter.widget-view+json"


def still_of(widget: Any) -> np.ndarray:
    """Return the picture that stays in a saved notebook."""
    content = widget._repr_mimebundle_()[0]
    assert VIEW in content, "the live view must be offered too"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content[STILL]))))


def stroke(hidden: np.ndarray, revision: int = 1) -> dict[str, Any]:
    rows, cols = hidden.shape
    return {"bits": encode_bitmap(hidden), "rows": rows, "cols": cols, "revision": revision, "pick": None}


def test_python_receives_painted_cells() -> None:
    painter = MaskPainter(plain_tile(64), grid=4)
    seen: list[Mask] = []
    painter.observe(lambda change: seen.append(change["new"]), "mask")
    hidden = np.eye(4, dtype=bool)
    painter.paint = stroke(hidden, 3)
    np.testing.assert_array_equal(painter.mask.hidden, hidden)
    assert len(seen) == 1
    assert painter.data["known"] == 3, "the browser must learn that its stroke has arrived"


def test_the_browser_sees_a_mask_set_from_python() -> None:
    painter = MaskPainter(plain_tile(64), 4, MaskSpec("centre", 0.25))
    np.testing.assert_array_equal(
        decode_bitmap(painter.data["mask"], 4, 4), make_mask(MaskSpec("centre", 0.25), 4, 4).hidden
    )
    painter.mask = Mask(np.ones((4, 4), bool))
    assert decode_bitmap(painter.data["mask"], 4, 4).all()


def test_the_dropper_hides_similar_patches() -> None:
    painter = MaskPainter(plain_tile(64), 4)
    painter.paint = {**stroke(np.zeros((4, 4), bool)), "pick": [1, 2]}
    assert painter.mask.hidden[1, 2]
    assert painter.mask.hidden.sum() == 4


def test_a_stroke_on_another_grid_is_ignored() -> None:
    painter = MaskPainter(plain_tile(64), 4)
    painter.paint = stroke(np.ones((5, 5), bool))
    assert not painter.mask.hidden.any()


@pytest.mark.parametrize("grid", [0, 65])
def test_a_grid_that_cannot_be_painted_is_refused(grid: int) -> None:
    with pytest.raises(GeoError, match="cannot be painted"):
        MaskPainter(plain_tile(64), grid)


def test_a_mask_of_another_grid_is_refused() -> None:
    painter = MaskPainter(plain_tile(64), 4)
    with pytest.raises(GeoError, match="5 x 5 patches but the painter 4 x 4"):
        painter.mask = Mask(np.ones((5, 5), bool))


def test_the_still_of_a_painter_covers_hidden_patches() -> None:
    painter = MaskPainter(plain_tile(64), 4)
    before = still_of(painter)
    painter.mask = Mask(np.eye(4, dtype=bool))
    after = still_of(painter)
    differs = (before != after).any(axis=-1).reshape(4, 16, 4, 16).mean(axis=(1, 3))
    np.testing.assert_array_equal(differs > 0.9, np.eye(4, dtype=bool))


def test_a_comparison_shows_two_panels(small_scale_mae: Any) -> None:
    result = reconstruct(small_scale_mae, plain_tile(64), MaskSpec())
    view = CompareView(result, "masked", "low", mode="flip")
    assert (view.data["leftLabel"], view.data["rightLabel"]) == ("Visible patches", "Low frequencies")
    height, width = still_of(view).shape[:2]
    assert width == 2 * height + 6
    with pytest.raises(CompareError, match="no panel 'loww'"):
        CompareView(result, "loww")
    with pytest.raises(CompareError, match="by 'slide'"):
        CompareView(result, mode="slide")


def table(count: int = 40, placed: bool = True) -> EmbeddingTable:
    random = np.random.default_rng(0)
    places = {"centre_lon": np.linspace(-170, 170, count), "centre_lat": np.linspace(-60, 60, count)}
    vectors = random.standard_normal((count, 8)).astype(np.float32)
    return EmbeddingTable.from_rows(make_rows(vectors, places if placed else {}))


def lasso(west: float, east: float, revision: int = 1) -> dict[str, Any]:
    ring = [(west, -90.0), (east, -90.0), (east, 90.0), (west, 90.0)]
    return {
        "side": "globe", "kind": "lasso", "polygon": encode_polygon(ring), "ids": [], "count": 0,
        "points": "", "about": "", "revision": revision,
    }  # fmt: skip


def test_a_lasso_selects_rows() -> None:
    view = GlobeView(table())
    view.selection = lasso(0.0, 90.0, 5)
    lon = view.table.lonlat[:, 0]
    assert view.selected == tuple(np.flatnonzero((lon > 0) & (lon < 90)).tolist())
    assert view.data["knownSelection"] == 5
    assert view.data["selection"]["kind"] == "lasso", "the browser keeps its lasso"
    view.selection = {**lasso(0, 0, 6), "kind": "none", "polygon": ""}
    assert view.selected == ()


def test_rows_set_from_python_are_highlighted() -> None:
    view = GlobeView(table())
    colours, name = view.colours, view.data["colours"]
    view.selected = [7, 3]
    assert view.selected == (3, 7)
    assert [row for row, *_ in view.data["rings"]] == [3, 7]
    assert view.data["colours"] != name, "the browser reads colours of a new name only"
    before, after = (
        np.frombuffer(packed[16:], np.uint8).reshape(-1, 3) for packed in (colours, view.colours)
    )
    same = (before == after).all(axis=1)
    assert same[[3, 7]].all()
    assert same.sum() < 10
    assert not np.array_equal(still_of(view), still_of(GlobeView(table())))


def test_a_click_reports_its_row_and_keeps_the_selection() -> None:
    view = GlobeView(table())
    view.selection = lasso(0.0, 90.0)
    selected = view.selected
    view.selection = {**lasso(0, 0, 2), "kind": "click", "ids": [12]}
    assert (view.clicked, view.selected) == (12, selected)


def test_a_row_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TableError, match="no row 40: the table has rows 0 to 39"):
        GlobeView(table()).selected = [40]


def test_a_table_without_places_shows_its_projection_alone() -> None:
    view = GlobeView(table(placed=False))
    assert view.data["basemap"] is None
    view.selection = {**lasso(-100, 100), "side": "plane"}
    assert len(view.selected) == 40


def test_25_000_points_take_less_than_a_megabyte() -> None:
    view = GlobeView(table(25_000))
    assert len(view.points) + len(view.colours) + len(str(view.data)) < 1_000_000
