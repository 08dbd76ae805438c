"""The Globe page without a browser: all kinds of tables open, and problems are reported in sentences."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from tests.globe_tables import write_world
from tests.thorough import a_few

PAGE = "pages/3_Globe.py"
Open = Callable[..., AppTest]


def text_of(app: AppTest) -> str:
    """All text on the page."""
    kinds = (app.caption, app.info, app.warning, app.error, app.markdown)
    return "\n".join(element.value for kind in kinds for element in kind)


def formats(app: AppTest) -> set[str]:
    """The labels of the download buttons on the page."""
    return {button.proto.label for button in app.get("download_button")}


def param(app: AppTest, name: str) -> str:
    """The value of an address parameter."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[-1]


def no_exception(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def plain(folder: Path, name: str, **columns: object) -> None:
    """Write a plain Parquet file: vectors and the given columns."""
    vectors = columns.pop("embedding", np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    assert isinstance(vectors, np.ndarray)
    pq.write_table(
        pa.table({"embedding": pa.array(list(vectors), pa.list_(pa.float32())), **columns}),
        folder / f"{name}.parquet",
    )


def test_page_opens_with_controls_and_a_hint(data: Path, open_page: Open) -> None:
    app = no_exception(open_page(PAGE))
    assert not app.error
    assert [box.label for box in app.selectbox][:3] == ["Table", "GSD", "Colour by"]
    assert "Click a point" in text_of(app)


def test_page_without_tables_says_how_to_get_one(data: Path, open_page: Open) -> None:
    shutil.rmtree(data / "world")
    app = no_exception(open_page(PAGE))
    assert "make atlas" in text_of(app)
    assert not app.error
    assert "embed your imagery" in text_of(app)
    assert "Start embedding" in [button.label for button in app.button], "My imagery works without a table"


def test_place_shows_neighbours_reconstruction_and_links_to_labs(data: Path, open_page: Open) -> None:
    app = no_exception(open_page(PAGE, place="place000000"))
    assert not app.error
    assert "45.00° S, 120.00° W" in text_of(app)
    keys = [button.key or "" for button in app.button]
    assert sum(key.startswith("strip near") for key in keys) == 12
    assert {"open in Mask Lab", "open in Scale Lab"} <= set(keys)
    assert "Reconstruction" in text_of(app)


@pytest.mark.thorough
def test_mask_lab_opens_at_the_place(data: Path, open_page: Open) -> None:
    app = open_page(PAGE, place="place000000", mask="block-50-s3-z0")
    app.button(key="open in Mask Lab").click().run()
    no_exception(app)
    assert app.title[0].value == "Mask Lab"
    assert param(app, "tile") == "globe/blue_marble"
    assert param(app, "at") == "-120,-45"
    assert param(app, "mask") == "block-50-s3"


@pytest.mark.thorough
def test_mask_chosen_on_the_page_goes_into_the_address(data: Path, open_page: Open) -> None:
    app = open_page(PAGE, place="place000000")
    app.selectbox(key="w:kind").set_value("stripes").run()
    no_exception(app)
    assert param(app, "mask").startswith("stripes")
    assert param(app, "place") == "place000000"


def test_click_on_a_neighbour_selects_it(data: Path, open_page: Open) -> None:
    app = open_page(PAGE, place="place000000")
    first = next(button for button in app.button if (button.key or "").startswith("strip near 0"))
    first.click().run()
    no_exception(app)
    assert param(app, "place") != "place000000"
    app.button(key="globe undo").click().run()
    assert param(app, "place") == "place000000"


@pytest.mark.parametrize("by", a_few(["groups", "similar", "column:recon_loss_low", "column:gsd_m"], 1))
def test_a_link_restores_the_colours(data: Path, open_page: Open, by: str) -> None:
    app = no_exception(open_page(PAGE, place="place000001", by=by))
    assert not app.error
    assert param(app, "by") == by
    assert app.selectbox(key="w:globe Colour by").value == by


def test_a_stale_address_undoes_nothing(data: Path, open_page: Open) -> None:
    """A second click before the page answers sends the old address along."""
    app = no_exception(open_page(PAGE, place="place000001"))
    before = dict(app.query_params)
    app.selectbox(key="w:globe Colour by").set_value("groups").run()
    app.query_params.clear()
    app.query_params.update(before)
    app.selectbox(key="w:globe GSD").set_value(15_000.0).run()
    no_exception(app)
    assert (param(app, "by"), param(app, "rows")) == ("groups", "15000m")


@pytest.mark.thorough
def test_undo_is_written_to_a_stale_address(
    data: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamlit.runtime.state.query_params import QueryParams

    app = no_exception(open_page(PAGE, place="place000001"))
    before = dict(app.query_params)
    no_exception(app.selectbox(key="w:globe Colour by").set_value("groups").run())
    app.query_params.clear()
    app.query_params.update(before)
    sent: list[str] = []
    send = QueryParams._send_query_param_msg
    monkeypatch.setattr(
        QueryParams, "_send_query_param_msg", lambda self: (sent.append(str(dict(self))), send(self))[1]
    )
    no_exception(app.button(key="globe undo").click().run())
    assert "by" not in app.query_params and sent
    sent.clear()
    no_exception(app.run())
    assert not sent


def test_remarks_do_not_move_the_tabs(data: Path, open_page: Open) -> None:
    """If the tabs moved, the browser would recreate the panels and lose scroll positions and input."""

    def path_to_tabs(block: Any) -> list[int]:
        for n, child in getattr(block, "children", {}).items():
            if child.type == "tab_container":
                return [n]
            if path := path_to_tabs(child):
                return [n, *path]
        return []

    remarked = no_exception(open_page(PAGE, by="../etc", area="gl!!"))
    assert len(remarked.warning) == 2
    plain = no_exception(open_page(PAGE, by="column:gsd_m"))
    assert path_to_tabs(remarked.main) == path_to_tabs(plain.main) != []


def test_invalid_link_parameters_are_ignored_and_reported(data: Path, open_page: Open) -> None:
    app = no_exception(open_page(PAGE, cam="x,1,2", area="gl!!", by="../etc", rows="7e999m", place="nowhere"))
    text = text_of(app)
    assert [name for name in ("cam", "area", "by") if f'"{name}" in the link was ignored' not in text] == []
    assert "by" not in app.query_params


def test_the_scale_can_be_chosen(data: Path, open_page: Open) -> None:
    app = open_page(PAGE)
    app.selectbox(key="w:globe GSD").set_value(15_000.0).run()
    no_exception(app)
    assert param(app, "rows") == "15000m"
    app.button(key="globe undo").click().run()
    assert "rows" not in app.query_params


def test_table_without_locations_shows_its_projection(data: Path, open_page: Open) -> None:
    plain(data, "nowhere")
    app = no_exception(open_page(PAGE, table="nowhere", place="3"))
    assert "have no location" in text_of(app)
    assert not app.error


@pytest.mark.thorough
def test_nan_and_zero_vectors_are_counted_and_excluded(data: Path, open_page: Open) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors[3], vectors[7] = np.nan, 0
    plain(data, "holes", embedding=vectors)
    app = no_exception(open_page(PAGE, table="holes"))
    assert "1 row has a vector that holds NaN" in text_of(app)
    assert "1 row has a vector of length zero" in text_of(app)
    app = no_exception(open_page(PAGE, table="holes", place="3"))
    assert "choose another" in text_of(app)


@pytest.mark.thorough
def test_duplicate_places_are_marked(data: Path, open_page: Open) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors[20:] = vectors[:20]
    twice = np.tile(np.linspace(-100, 100, 20), 2)
    plain(data, "twins", embedding=vectors, centre_lon=twice, centre_lat=twice / 4)
    app = no_exception(open_page(PAGE, table="twins", place="5"))
    app = no_exception(app.toggle(key="elsewhere").set_value(False).run())
    assert not app.error
    captions = [button.label for button in app.button if (button.key or "").startswith("strip near")]
    assert "the same" in captions[0]


def test_empty_table_is_refused(data: Path, open_page: Open) -> None:
    plain(data, "empty", embedding=np.zeros((0, 8), np.float32))
    app = no_exception(open_page(PAGE, table="empty"))
    assert "0 rows" in text_of(app)
    app.selectbox(key="w:globe Table").set_value("world").run()
    assert not no_exception(app).error


def test_invalid_table_file_is_refused(data: Path, open_page: Open) -> None:
    (data / "trap.parquet").write_bytes(b"PAR1 no more of it")
    app = no_exception(open_page(PAGE, table="trap"))
    assert app.error and "trap" in app.error[0].value


@pytest.mark.thorough
def test_mixed_models_are_shown_one_at_a_time(data: Path, open_page: Open) -> None:
    names = ["one"] * 150 + ["other"] * 150
    write_world(data / "mixed", 300, model=names)
    app = no_exception(open_page(PAGE, table="mixed"))
    assert not app.error
    box = app.selectbox(key="w:globe Model")
    assert box.options == ["one vector", "other vector"]
    box.set_value("other vector").run()
    assert param(app, "rows") == "other vector"
    assert not no_exception(app).error


def test_empty_lasso_and_lasso_across_the_antimeridian(data: Path, open_page: Open) -> None:
    from earth_mae_components import encode_polygon

    nothing = encode_polygon([(-120.4, -40), (-120, -40), (-120, -39.9)])
    assert "no point inside" in text_of(no_exception(open_page(PAGE, area=f"gl{nothing}")))
    across = encode_polygon([(150, -60), (210, -60), (210, 60), (150, 60)])
    app = no_exception(open_page(PAGE, area=f"gb{across}"))
    assert "no point inside" not in text_of(app)
    assert param(app, "area") == f"gb{across}"


@pytest.mark.thorough
def test_missing_table_is_replaced_by_another(data: Path, open_page: Open) -> None:
    assert "is not available" in text_of(no_exception(open_page(PAGE, table="elsewhere")))
