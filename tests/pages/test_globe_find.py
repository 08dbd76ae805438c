"""The panel Find without a browser: every way to search answers, and what cannot be searched gets a sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.atlas import make_rows
from core.atlas.schema import TableInfo
from core.atlas.store.shards import write_table
from tests.pages.test_globe import PAGE, calm, param, plain, said

Open = Callable[..., AppTest]


def find(app: AppTest, text: str) -> AppTest:
    return calm(app.text_input(key="w:find place").set_value(text).run())


def found(app: AppTest) -> list[str]:
    return [
        b.key or ""
        for b in app.button
        if (b.key or "").startswith("strip find found") and not (b.key or "").endswith(("More", "Less"))
    ]


@pytest.mark.usefixtures("data")
def test_a_name_flies_there_and_searches_for_what_looks_like_it(open_page: Open) -> None:
    app = find(calm(open_page(PAGE, tab="Find")), "Timbuktu")
    assert "Timbuktu, Mali: the centre of the nearest row" in said(
        app
    ) and "Most similar to the ground near Timbuktu" in said(app)
    assert (
        len(found(app)) == 12 and param(app, "search") == "place:Timbuktu" and param(app, "by") == "painted"
    )
    assert app.query_params["place"]
    app = calm(open_page(PAGE, tab="Find", search="place:Москва"))
    assert "Most similar to the ground near Moscow, Russia" in said(app)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("text", "sentence"), [("Qwertzuiop", "not among the 24,000 towns"), ("91, 181", "not a place on Earth")]
)
def test_a_name_that_nobody_knows_gets_a_sentence(open_page: Open, text: str, sentence: str) -> None:
    app = find(calm(open_page(PAGE, tab="Find")), text)
    assert sentence in said(app)
    assert len(found(find(app, "46.5, 7.9"))) == 12


@pytest.mark.usefixtures("data")
def test_more_and_less_like_what_was_found(open_page: Open) -> None:
    app = find(calm(open_page(PAGE, tab="Find")), "Cairo")
    more = next(
        b.key
        for b in app.button
        if (b.key or "").startswith("strip find found 0") and (b.key or "").endswith("More")
    )
    calm(app.button(key=more).click().run())
    assert param(app, "search").startswith("rows:+") and "Most similar to 1 places" in said(app)
    less = next(
        b.key
        for b in app.button
        if (b.key or "").startswith("strip find found 5") and (b.key or "").endswith("Less")
    )
    calm(app.button(key=less).click().run())
    assert "1 places, unlike 1" in said(app)
    again = calm(open_page(PAGE, tab="Find", search=param(app, "search")))
    assert found(again) == found(app)
    calm(app.button(key="find example clear").click().run())
    assert "search" not in app.query_params and not found(app)


@pytest.mark.usefixtures("data")
def test_the_selection_is_a_query_and_a_limit(open_page: Open) -> None:
    from earth_mae_components import encode_polygon

    area = "gb" + encode_polygon([(-60, -50), (60, -50), (60, 50), (-60, 50)])
    app = calm(open_page(PAGE, tab="Find", search="selection:", area=area))
    assert "places of your selection" in said(app) and len(found(app)) == 12
    calm(app.selectbox(key="find among").set_value("In my selection").run())
    assert len(found(app)) == 12
    empty = calm(
        open_page(
            PAGE, tab="Find", search="selection:", area="gb" + encode_polygon([(0, 89), (1, 89), (1, 90)])
        )
    )
    assert "contains no places" in said(empty)
    assert "Draw a lasso" in said(calm(open_page(PAGE, tab="Find", search="selection:")))


@pytest.mark.usefixtures("data")
def test_conditions_in_sql(open_page: Open) -> None:
    app = calm(open_page(PAGE, tab="Find", search="filter:centre_lat > 40"))
    assert "rows match" in said(app) and param(app, "by") == "painted"
    assert len(app.get("download_button")) == 3
    calm(app.text_area(key="w:find filter").set_value("nonsense >").run())
    assert "For example: centre_lat > 66.5" in said(app)
    calm(app.text_area(key="w:find filter").set_value("latitude > 3").run())
    assert "Columns are" in said(app)
    calm(app.text_area(key="w:find filter").set_value("centre_lat > 1000").run())
    assert "No row matches" in said(app)
    calm(app.button(key="find example Far north").click().run())
    assert param(app, "search") == "filter:centre_lat > 66.5" and "rows match" in said(app)
    app.segmented_control(key="w:find kind").set_value("place").run()
    find(app, "Oslo")
    calm(app.selectbox(key="find among").set_value("Rows matching my condition").run())
    assert found(app)


@pytest.mark.usefixtures("data")
def test_a_part_of_a_tile_and_an_upload_need_the_tables_own_weights(open_page: Open) -> None:
    app = calm(open_page(PAGE, tab="Find", search="part:"))
    assert "Click a point" in said(app)
    app = calm(open_page(PAGE, tab="Find", search="part:", place="place000007"))
    assert sum((b.key or "").startswith("find part") for b in app.button) == 9
    calm(app.button(key="find part 4").click().run())
    assert "only be compared with the same weights" in said(app)


@pytest.mark.parametrize(
    ("scales", "taken"), [([20.0] * 10 + [10.0] * 25 + [None] * 5, 10.0), ([None] * 40, None)]
)
def test_a_picture_without_scale_takes_that_of_most_rows(
    data: Path,
    open_page: Open,
    monkeypatch: pytest.MonkeyPatch,
    scales: list[float | None],
    taken: float | None,
) -> None:
    from ui.shell import cached

    asked = []
    monkeypatch.setattr(
        cached,
        "vector_like",
        lambda recipe, *_: asked.append(dict(recipe)["gsd_m"]) or np.ones(8, np.float32),
    )
    plain(data, "mixed", gsd_m=pa.array(scales, pa.float64()))
    app = calm(open_page(PAGE, table="mixed", tab="Find", search="picture:"))
    shot = io.BytesIO()
    Image.new("RGB", (64, 64)).save(shot, "PNG")
    calm(app.file_uploader(key="find upload").set_value(("mine.png", shot.getvalue(), "image/png")).run())
    assert "Most similar to mine.png" in said(app) and set(asked) == {taken}


@pytest.mark.slow
def test_a_picture_and_a_part_are_found_among_rows_of_the_shipped_embedder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    from core.engine.embedding.run import embed_sources
    from core.engine.embedding.spec import EmbeddingSpec
    from core.geo.catalogue import DATA_VARIABLE
    from core.models import default_embedder

    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr("ui.globe.tables.WORLD", tmp_path / "nothing shipped")
    for _ in embed_sources(
        EmbeddingSpec(
            ("globe",), str(tmp_path / "small"), default_embedder(), gsd_m=(30_000.0,), stride_px=400
        )
    ):
        pass
    app = calm(open_page(PAGE, tab="Find", search="part:", place="3"))
    calm(app.button(key="find part 4").click().run())
    assert "Most similar to part 2 of row 2" in said(app) and found(app)
    app.segmented_control(key="w:find kind").set_value("picture").run()
    shot = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).save(shot, "PNG")
    calm(app.file_uploader(key="find upload").set_value(("noise.png", shot.getvalue(), "image/png")).run())
    assert "Most similar to noise.png" in said(app) and found(app)
    calm(app.file_uploader(key="find upload").set_value(("broken.png", b"no picture", "image/png")).run())
    assert app.error and not found(app)


def test_a_table_without_places_says_so(data: Path, open_page: Open) -> None:
    plain(data, "nowhere")
    app = find(calm(open_page(PAGE, table="nowhere", tab="Find")), "Rome")
    assert "does not say where its rows are" in said(app)


def test_duplicates_are_shown_as_such(data: Path, open_page: Open) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors[5] = vectors[6] = vectors[0]
    write_table(
        data / "twins",
        make_rows(vectors, {"centre_lon": np.arange(40.0), "centre_lat": np.zeros(40)}),
        TableInfo("m", None, "cls", 8),
    )
    app = find(calm(open_page(PAGE, table="twins", tab="Find")), "0, 0")
    assert "2 of them are duplicates" in said(app)
    assert sum("the same" in b.label for b in app.button) == 2
