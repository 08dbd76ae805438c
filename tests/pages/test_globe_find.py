"""The panel Find without a browser: every kind of search, and its errors as sentences."""

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
from tests.pages.test_globe import PAGE, formats, no_exception, param, plain, text_of
from tests.pages.test_globe_label_file import csv_of
from tests.thorough import a_few

Open = Callable[..., AppTest]


def find(app: AppTest, text: str) -> AppTest:
    return no_exception(app.text_input(key="w:find place").set_value(text).run())


def found(app: AppTest) -> list[str]:
    return [
        b.key or ""
        for b in app.button
        if (b.key or "").startswith("strip find found") and not (b.key or "").endswith(("More", "Less"))
    ]


@pytest.mark.usefixtures("data")
def test_a_place_name_flies_there_and_finds_similar_places(open_page: Open) -> None:
    app = find(no_exception(open_page(PAGE, tab="Find")), "Timbuktu")
    assert "The centre of the nearest tile is" in text_of(
        app
    ) and "Most similar to the ground near Timbuktu" in text_of(app)
    assert (
        len(found(app)) == 12 and param(app, "search") == "place:Timbuktu" and param(app, "by") == "painted"
    )
    assert app.query_params["place"]
    app = no_exception(open_page(PAGE, tab="Find", search="place:Москва"))
    assert "Most similar to the ground near Moscow, Russia" in text_of(app)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("text", "sentence"),
    a_few([("Qwertzuiop", "not among the 24,000 towns"), ("91, 181", "not a place on Earth")], 1),
)
def test_unknown_place_names_are_reported(open_page: Open, text: str, sentence: str) -> None:
    app = find(no_exception(open_page(PAGE, tab="Find")), text)
    assert sentence in text_of(app)
    assert len(found(find(app, "46.5, 7.9"))) == 12


@pytest.mark.thorough
def test_a_class_of_the_labels_is_found_by_its_name(data: Path, open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Label"))
    next(way for way in app.segmented_control if way.key == "label way").set_value("From a file")
    app = no_exception(app.run())
    app.file_uploader(key="label file").set_value(("places.csv", csv_of(data), "text/csv"))
    no_exception(app.run())
    no_exception(app.button(key="label file run").click().run())
    app.text_input(key="w:go to place").set_value("**north")
    no_exception(app.run())
    button = next(b for b in app.button if (b.key or "").startswith("go to 0"))
    assert "Tiles labelled" in button.label and "[x](http" not in button.label
    no_exception(button.click().run())
    assert param(app, "search").startswith("class:**north") and param(app, "tab") == "Find"
    assert len(found(app)) == 12 and "balanced accuracy" in text_of(app)


@pytest.mark.usefixtures("data")
def test_descriptions_are_refused_where_no_text_encoder_is(
    open_page: Open,
    monkeypatch: pytest.MonkeyPatch,
    encoder_pair: Path,
) -> None:
    app = find(no_exception(open_page(PAGE, tab="Find")), "a harbour with boats")
    assert "this server has no text encoder" in text_of(app)
    monkeypatch.setenv("EARTH_MAE_TEXT_ENCODER", str(encoder_pair / "text_model.onnx"))
    app = find(no_exception(open_page(PAGE, tab="Find")), "a harbour with boats")
    assert "does not say which weights made it" in text_of(app)


@pytest.mark.usefixtures("data")
def test_results_refine_the_search_as_examples(open_page: Open) -> None:
    app = find(no_exception(open_page(PAGE, tab="Find")), "Cairo")
    more = next(
        b.key
        for b in app.button
        if (b.key or "").startswith("strip find found 0") and (b.key or "").endswith("More")
    )
    no_exception(app.button(key=more).click().run())
    assert param(app, "search").startswith("rows:+") and "Most similar to 1 places" in text_of(app)
    less = next(
        b.key
        for b in app.button
        if (b.key or "").startswith("strip find found 5") and (b.key or "").endswith("Less")
    )
    no_exception(app.button(key=less).click().run())
    assert "1 places, unlike 1" in text_of(app)
    again = no_exception(open_page(PAGE, tab="Find", search=param(app, "search")))
    assert found(again) == found(app)
    no_exception(app.button(key="find example clear").click().run())
    assert "search" not in app.query_params and not found(app)


@pytest.mark.usefixtures("data")
@pytest.mark.thorough
def test_selection_is_a_query_and_a_limit(open_page: Open) -> None:
    from earth_mae_components import encode_polygon

    area = "gb" + encode_polygon([(-60, -50), (60, -50), (60, 50), (-60, 50)])
    app = no_exception(open_page(PAGE, tab="Find", search="selection:", area=area))
    assert "places of your selection" in text_of(app) and len(found(app)) == 12
    no_exception(app.selectbox(key="find among").set_value("In my selection").run())
    assert len(found(app)) == 12
    empty = no_exception(
        open_page(
            PAGE, tab="Find", search="selection:", area="gb" + encode_polygon([(0, 89), (1, 89), (1, 90)])
        )
    )
    assert "contains no places" in text_of(empty)
    assert "Draw a lasso" in text_of(no_exception(open_page(PAGE, tab="Find", search="selection:")))


@pytest.mark.usefixtures("data")
@pytest.mark.thorough
def test_conditions_in_sql(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Find", search="filter:centre_lat > 40"))
    assert "rows match" in text_of(app) and param(app, "by") == "painted"
    assert formats(app) == {"GeoParquet", "GeoJSON", "PMTiles", "COG", "Share card"}
    no_exception(app.text_area(key="w:find filter").set_value("nonsense >").run())
    assert "For example: centre_lat > 66.5" in text_of(app)
    no_exception(app.text_area(key="w:find filter").set_value("latitude > 3").run())
    assert "Columns are" in text_of(app)
    no_exception(app.text_area(key="w:find filter").set_value("centre_lat > 1000").run())
    assert "No row matches" in text_of(app)
    no_exception(app.button(key="find example Far north").click().run())
    assert param(app, "search") == "filter:centre_lat > 66.5" and "rows match" in text_of(app)
    app.segmented_control(key="w:find kind").set_value("place").run()
    find(app, "Oslo")
    no_exception(app.selectbox(key="find among").set_value("Rows matching my condition").run())
    assert found(app)


@pytest.mark.usefixtures("data")
def test_part_of_a_tile_needs_the_weights_of_the_table(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Find", search="part:"))
    assert "Click a point" in text_of(app)
    app = no_exception(open_page(PAGE, tab="Find", search="part:", place="place000007"))
    assert sum((b.key or "").startswith("find part") for b in app.button) == 9
    no_exception(app.button(key="find part 4").click().run())
    assert "only be compared with the same weights" in text_of(app)


@pytest.mark.parametrize(
    ("scales", "expected"), [([20.0] * 10 + [10.0] * 25 + [None] * 5, 10.0), ([None] * 40, None)]
)
def test_a_picture_without_gsd_takes_the_most_frequent_one(
    data: Path,
    open_page: Open,
    monkeypatch: pytest.MonkeyPatch,
    scales: list[float | None],
    expected: float | None,
) -> None:
    from ui.shell import cached

    used = []
    monkeypatch.setattr(
        cached,
        "vector_like",
        lambda recipe, *_: used.append(dict(recipe)["gsd_m"]) or np.ones(8, np.float32),
    )
    plain(data, "mixed", gsd_m=pa.array(scales, pa.float64()))
    app = no_exception(open_page(PAGE, table="mixed", tab="Find", search="picture:"))
    shot = io.BytesIO()
    Image.new("RGB", (64, 64)).save(shot, "PNG")
    no_exception(
        app.file_uploader(key="find upload").set_value(("mine.png", shot.getvalue(), "image/png")).run()
    )
    assert "Most similar to mine.png" in text_of(app) and set(used) == {expected}


@pytest.mark.slow
def test_a_picture_and_a_part_are_compared_with_rows_of_the_default_model(
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
    app = no_exception(open_page(PAGE, tab="Find", search="part:", place="3"))
    no_exception(app.button(key="find part 4").click().run())
    assert "Most similar to part 2 of row 2" in text_of(app) and found(app)
    app.segmented_control(key="w:find kind").set_value("picture").run()
    shot = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).save(shot, "PNG")
    no_exception(
        app.file_uploader(key="find upload").set_value(("noise.png", shot.getvalue(), "image/png")).run()
    )
    assert "Most similar to noise.png" in text_of(app) and found(app)
    no_exception(
        app.file_uploader(key="find upload").set_value(("broken.png", b"no picture", "image/png")).run()
    )
    assert app.error and not found(app)


@pytest.mark.thorough
def test_a_table_without_locations_is_reported(data: Path, open_page: Open) -> None:
    plain(data, "nowhere")
    app = find(no_exception(open_page(PAGE, table="nowhere", tab="Find")), "Rome")
    assert "does not say where its rows are" in text_of(app)


@pytest.mark.thorough
def test_duplicates_are_marked(data: Path, open_page: Open) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors[5] = vectors[6] = vectors[0]
    write_table(
        data / "twins",
        make_rows(vectors, {"centre_lon": np.arange(40.0), "centre_lat": np.zeros(40)}),
        TableInfo("m", None, "cls", 8),
    )
    app = find(no_exception(open_page(PAGE, table="twins", tab="Find")), "0, 0")
    assert "2 of them are duplicates" in text_of(app)
    assert sum("the same" in b.label for b in app.button) == 2
