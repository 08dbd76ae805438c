"""The Globe page without a browser: tables of every kind open, and what cannot be shown is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from tests.globe_tables import write_world

PAGE = "pages/3_Globe.py"
Open = Callable[..., AppTest]


def said(app: AppTest) -> str:
    """Everything the page says in words."""
    kinds = (app.caption, app.info, app.warning, app.error, app.markdown)
    return "\n".join(element.value for kind in kinds for element in kind)


def param(app: AppTest, name: str) -> str:
    """What the address says."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[-1]


def calm(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def plain(folder: Path, name: str, **columns: object) -> None:
    """A parquet file as others write it: vectors and whatever columns are given."""
    vectors = columns.pop("embedding", np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    assert isinstance(vectors, np.ndarray)
    pq.write_table(
        pa.table({"embedding": pa.array(list(vectors), pa.list_(pa.float32())), **columns}),
        folder / f"{name}.parquet",
    )


def test_a_table_opens_with_its_choices_and_tells_a_newcomer_what_to_do(data: Path, open_page: Open) -> None:
    app = calm(open_page(PAGE))
    assert not app.error
    assert [box.label for box in app.selectbox][:3] == ["Table", "Pixels of", "Colour by"]
    assert "Click a point" in said(app)


def test_without_any_table_the_page_says_how_to_get_one(data: Path, open_page: Open) -> None:
    shutil.rmtree(data / "world")
    app = calm(open_page(PAGE))
    assert "make atlas" in said(app)
    assert not app.error
    assert "imagery of your own" in said(app)
    assert "Embed it" in [button.label for button in app.button], (
        "what needs no table is offered all the same"
    )


def test_a_place_shows_its_neighbours_and_the_doors_to_the_labs(data: Path, open_page: Open) -> None:
    app = calm(open_page(PAGE, place="place000000"))
    assert not app.error
    assert "45.00° S, 120.00° W" in said(app)
    keys = [button.key or "" for button in app.button]
    assert sum(key.startswith("strip near") for key in keys) == 12
    assert {"open in Mask Lab", "open in Scale Lab"} <= set(keys)
    assert "What the network imagines here" in said(app)


def test_the_mask_lab_opens_with_the_place(data: Path, open_page: Open) -> None:
    app = open_page(PAGE, place="place000000", mask="block-50-s3-z0")
    app.button(key="open in Mask Lab").click().run()
    calm(app)
    assert app.title[0].value == "Mask Lab"
    assert param(app, "tile") == "globe/blue_marble"
    assert param(app, "at") == "-120,-45"
    assert param(app, "mask") == "block-50-s3"


def test_another_mask_is_chosen_here_and_goes_into_the_address(data: Path, open_page: Open) -> None:
    app = open_page(PAGE, place="place000000")
    app.selectbox(key="w:kind").set_value("stripes").run()
    calm(app)
    assert param(app, "mask").startswith("stripes")
    assert param(app, "place") == "place000000"


def test_a_click_on_a_neighbour_makes_it_the_place(data: Path, open_page: Open) -> None:
    app = open_page(PAGE, place="place000000")
    first = next(button for button in app.button if (button.key or "").startswith("strip near 0"))
    first.click().run()
    calm(app)
    assert param(app, "place") != "place000000"
    app.button(key="globe undo").click().run()
    assert param(app, "place") == "place000000"


@pytest.mark.parametrize("by", ["groups", "similar", "column:recon_loss_low", "column:gsd_m"])
def test_a_link_restores_the_colours(data: Path, open_page: Open, by: str) -> None:
    app = calm(open_page(PAGE, place="place000001", by=by))
    assert not app.error
    assert param(app, "by") == by
    assert app.selectbox(key="w:globe Colour by").value == by


def test_an_address_that_the_browser_has_not_replaced_yet_undoes_nothing(data: Path, open_page: Open) -> None:
    """Whoever clicks twice before the answer is there sends the address of before along."""
    app = calm(open_page(PAGE, place="place000001"))
    before = dict(app.query_params)
    app.selectbox(key="w:globe Colour by").set_value("groups").run()
    app.query_params.clear()
    app.query_params.update(before)
    app.selectbox(key="w:globe Pixels of").set_value(15_000.0).run()
    calm(app)
    assert (param(app, "by"), param(app, "rows")) == ("groups", "15000m")


def test_an_undo_is_written_though_the_browser_has_not_heard_what_it_undoes(
    data: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamlit.runtime.state.query_params import QueryParams

    app = calm(open_page(PAGE, place="place000001"))
    before = dict(app.query_params)
    calm(app.selectbox(key="w:globe Colour by").set_value("groups").run())
    app.query_params.clear()
    app.query_params.update(before)
    sent: list[str] = []
    send = QueryParams._send_query_param_msg
    monkeypatch.setattr(
        QueryParams, "_send_query_param_msg", lambda self: (sent.append(str(dict(self))), send(self))[1]
    )
    calm(app.button(key="globe undo").click().run())
    assert "by" not in app.query_params and sent
    sent.clear()
    calm(app.run())
    assert not sent


def test_remarks_above_the_tabs_do_not_move_them(data: Path, open_page: Open) -> None:
    """Moved, the panels would be built anew in the browser, without what was scrolled to, typed or chosen in them."""

    def row_of_tabs(app: AppTest) -> list[int]:
        return [
            n
            for n, child in app.main.children.items()
            if getattr(child, "children", None) and child.children[0].type == "tab_container"
        ]

    remarked = calm(open_page(PAGE, by="../etc", area="gl!!"))
    assert len(remarked.warning) == 2
    assert row_of_tabs(remarked) == row_of_tabs(calm(open_page(PAGE, by="column:gsd_m"))) != []


def test_what_a_link_says_wrongly_is_left_out_and_said(data: Path, open_page: Open) -> None:
    app = calm(open_page(PAGE, cam="x,1,2", area="gl!!", by="../etc", rows="7e999m", place="nowhere"))
    told = said(app)
    assert [name for name in ("cam", "area", "by") if f'"{name}" of the link was left out' not in told] == []
    assert "by" not in app.query_params


def test_the_scale_can_be_chosen(data: Path, open_page: Open) -> None:
    app = open_page(PAGE)
    app.selectbox(key="w:globe Pixels of").set_value(15_000.0).run()
    calm(app)
    assert param(app, "rows") == "15000m"
    app.button(key="globe undo").click().run()
    assert "rows" not in app.query_params


def test_a_table_without_places_shows_its_projection_and_says_so(data: Path, open_page: Open) -> None:
    plain(data, "nowhere")
    app = calm(open_page(PAGE, table="nowhere", place="3"))
    assert "does not say where" in said(app)
    assert not app.error


def test_nan_and_zero_vectors_are_counted_and_left_out(data: Path, open_page: Open) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors[3], vectors[7] = np.nan, 0
    plain(data, "holes", embedding=vectors)
    app = calm(open_page(PAGE, table="holes"))
    assert "1 row has a vector that holds NaN" in said(app)
    assert "1 row has a vector of length zero" in said(app)
    app = calm(open_page(PAGE, table="holes", place="3"))
    assert "choose another" in said(app)


def test_duplicate_places_are_told_apart(data: Path, open_page: Open) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors[20:] = vectors[:20]
    twice = np.tile(np.linspace(-100, 100, 20), 2)
    plain(data, "twins", embedding=vectors, centre_lon=twice, centre_lat=twice / 4)
    app = calm(open_page(PAGE, table="twins", place="5"))
    assert not app.error
    captions = [button.label for button in app.button if (button.key or "").startswith("strip near")]
    assert "the same" in captions[0]


def test_a_table_of_no_rows_is_refused_in_a_sentence(data: Path, open_page: Open) -> None:
    plain(data, "empty", embedding=np.zeros((0, 8), np.float32))
    app = calm(open_page(PAGE, table="empty"))
    assert "0 rows" in said(app)
    app.selectbox(key="w:globe Table").set_value("world").run()
    assert not calm(app).error


def test_what_is_no_table_is_refused_in_a_sentence(data: Path, open_page: Open) -> None:
    (data / "trap.parquet").write_bytes(b"PAR1 no more of it")
    app = calm(open_page(PAGE, table="trap"))
    assert app.error and "trap" in app.error[0].value


def test_mixed_models_are_shown_one_at_a_time(data: Path, open_page: Open) -> None:
    names = ["one"] * 150 + ["other"] * 150
    write_world(data / "mixed", 300, model=names)
    app = calm(open_page(PAGE, table="mixed"))
    assert not app.error
    box = app.selectbox(key="w:globe Vectors of")
    assert box.options == ["one vector", "other vector"]
    box.set_value("other vector").run()
    assert param(app, "rows") == "other vector"
    assert not calm(app).error


def test_a_lasso_around_nothing_and_one_across_the_antimeridian(data: Path, open_page: Open) -> None:
    from earth_mae_components import encode_polygon

    nothing = encode_polygon([(-120.4, -40), (-120, -40), (-120, -39.9)])
    assert "no point inside" in said(calm(open_page(PAGE, area=f"gl{nothing}")))
    across = encode_polygon([(150, -60), (210, -60), (210, 60), (150, 60)])
    app = calm(open_page(PAGE, area=f"gb{across}"))
    assert "no point inside" not in said(app)
    assert param(app, "area") == f"gb{across}"


def test_a_table_that_is_not_here_gives_way_to_one_that_is(data: Path, open_page: Open) -> None:
    assert "is not here" in said(calm(open_page(PAGE, table="elsewhere")))
