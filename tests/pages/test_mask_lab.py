import numpy as np
import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates

from core.masking import mask_from_text
from tests.thorough import a_few

LAB = "pages/1_Mask_Lab.py"


def select(app, label):
    return next(box for box in app.selectbox if box.label == label)


def slider(app, label):
    return next(one for one in app.slider if one.label == label)


def captions(app) -> str:
    return " ".join(caption.value for caption in app.caption)


@pytest.fixture
def pictures(monkeypatch):
    """Every reconstruction that ran: model, hidden cells, res."""
    from core.engine import prediction as engine

    ran = []
    real = engine._run

    def spy(model, on, images, hidden, res):
        ran.append((model.card.name, hidden.copy(), res.copy()))
        return real(model, on, images, hidden, res)

    monkeypatch.setattr(engine, "_run", spy)
    return ran


def test_page_opens_on_a_tile_with_recipe_and_address(open_page):
    app = open_page(LAB)
    assert not app.exception and not app.error
    assert "patches hidden" in captions(app)
    assert app.query_params["tile"] == "samples/landsat" and app.query_params["mask"] == "random-75-s0"


def test_slider_changes_the_mask_of_the_network(open_page, pictures):
    app = open_page(LAB)
    slider(app, "Masking ratio").set_value(37).run()
    assert not app.exception
    assert app.query_params["mask"] == "random-37-s0"
    assert pictures[-1][1].mean() == pytest.approx(0.37, abs=0.003)


def test_a_stale_address_undoes_nothing(open_page):
    """A slider moved again before the page answers sends the previous address."""
    app = open_page(LAB)
    before = dict(app.query_params)
    slider(app, "Masking ratio").set_value(37).run()
    app.query_params.clear()
    app.query_params.update(before)
    slider(app, "Masking ratio").set_value(52).run()
    assert slider(app, "Masking ratio").value == 52
    assert app.query_params["mask"] == "random-52-s0"


@pytest.mark.parametrize(
    "params",
    a_few([{"policy": "manual-0.001"}, {"policy": "manual-200000.0"}, {"mask": "blob-50-s1-z20"}], 1),
    ids=str,
)
def test_values_beyond_the_range_of_a_control_are_kept(open_page, params):
    app = open_page(LAB, **params)
    assert not app.exception and not app.warning
    assert {name: app.query_params[name] for name in params} == params
    slider(app, "Masking ratio").set_value(37).run()
    assert {name: app.query_params[name] for name in params} == {
        name: text.replace("-50-", "-37-") for name, text in params.items()
    }


@pytest.mark.thorough
def test_unconfirmed_widgets_are_sent_their_value_again(open_page, monkeypatch):
    """A click during the first run interrupts it; its widgets would start at their minimum."""
    app = open_page(LAB, mask="random-60-s4")
    with monkeypatch.context() as cut_short:
        cut_short.setattr(type(app._tree), "get_widget_states", lambda _: WidgetStates())
        app.run()
    for shown in (slider(app, "Masking ratio"), app.selectbox(key="w:kind"), app.number_input(key="w:seed")):
        assert shown.proto.set_value, shown.label
    assert slider(app, "Masking ratio").value == 60 and app.query_params["mask"] == "random-60-s4"
    app.run()
    assert not slider(app, "Masking ratio").proto.set_value, "otherwise it would override the user"


def test_an_interrupted_first_run_applies_its_link_once(open_page, monkeypatch):
    from ui.shell import state

    with monkeypatch.context() as cut_short:
        cut_short.setattr(state, "publish", lambda _: state.st.stop())
        app = open_page(LAB, mask="random-60-s4")
    slider(app, "Masking ratio").set_value(40).run()
    assert app.query_params["mask"] == "random-40-s4"


def test_a_link_restores_the_page_bit_for_bit(open_page, pictures):
    mask = "cells-14x14-" + "AQ" * 16 + "AA"
    app = open_page(LAB, tile="samples/landsat", win="100,100,300,300", mask=mask, policy="manual-2.5")
    assert not app.exception
    hidden, res = pictures[-1][1:] if pictures else (None, None)
    expected = np.zeros(196, bool)
    expected[list(mask_from_text(mask).cells)] = True
    assert np.array_equal(hidden.reshape(-1), expected) and res == pytest.approx(2.5)
    assert app.query_params["mask"] == mask and app.query_params["policy"] == "manual-2.5"


@pytest.mark.parametrize(
    "params",
    a_few(
        [
            {"mask": "random-175"},
            {"mask": "cells-14x14-@@"},
            {"model": "../../etc/passwd"},
            {"model": "nobody"},
            {"tile": "nowhere/at/all"},
            {"gsd": "-1"},
            {"gsd": "nan"},
            {"win": "1,2,3"},
            {"at": "500,500"},
            {"policy": "manual-0"},
            {"size": "99999999999"},
            {"x": "1"},
        ],
        3,
    ),
)
def test_invalid_links_give_a_warning_and_a_working_page(open_page, params):
    app = open_page(LAB, **params)
    assert not app.exception
    assert app.warning and "ignored" in app.warning[0].value
    assert "patches hidden" in captions(app)


@pytest.mark.parametrize("tile", ["upload/abc", "imagery/" + "0" * 32])
def test_a_link_to_another_users_upload_is_reported(open_page, tile):
    app = open_page(LAB, tile=tile)
    assert not app.exception and not app.error
    assert "somebody uploaded" in app.warning[0].value
    assert "patches hidden" in captions(app)


@pytest.mark.parametrize(
    "params",
    a_few([{"win": "900000,0,50,50"}, {"tile": "samples/nothing"}, {"gsd": "1000000"}, {"at": "100,10"}], 1),
)
def test_unreadable_tiles_are_reported(open_page, params):
    app = open_page(LAB, **params)
    assert not app.exception
    assert len(app.error) >= 1 and "Traceback" not in app.error[0].value


@pytest.mark.thorough
def test_every_mask_kind_and_extreme_ratios(open_page):
    from core.masking import KINDS

    app = open_page(LAB)
    for kind in KINDS:
        select(app, "Mask kind").set_value(kind)
        app.run()
        assert not app.exception and not app.error, kind
    select(app, "Mask kind").set_value("random")
    app.run()
    for percent in (0, 100):
        slider(app, "Masking ratio").set_value(percent).run()
        assert not app.exception and not app.error, percent


def test_another_model_brings_its_default_policy(open_page, pictures):
    app = open_page(LAB)
    select(app, "Model").set_value("mae_tiny")
    app.run()
    assert not app.exception
    assert app.query_params["model"] == "mae_tiny"
    assert "static" in captions(app)


@pytest.mark.parametrize(
    "tab",
    a_few(["Errors", "Compare", "Uncertainty (Monte Carlo)", "Masking-ratio sweep", "Models", "Export"], 2),
)
def test_every_tab_opens(open_page, tab):
    app = open_page(LAB, tab=tab)
    assert not app.exception and not app.error


def test_users_share_cached_results(open_page, pictures):
    open_page(LAB, mask="random-61-s7")
    before = len(pictures)
    open_page(LAB, mask="random-61-s7")
    assert len(pictures) == before


def test_missing_bands_are_reported_and_replaced(open_page):
    app = open_page(LAB, tile="samples/landsat", rgb="9,1,0")
    assert not app.exception and not app.error
    assert "asks for bands 10, 2, 1, but this picture has" in app.warning[0].value
    assert "rgb" not in app.query_params
    assert "patches hidden" in captions(app)
    assert not open_page(LAB, tile="samples/landsat", rgb="2,1,0").warning
