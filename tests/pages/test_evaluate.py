"""The Evaluate page on a cache of its own: empty state, a real run in the background, its table, details and downloads."""

import time

import pytest

from core.evaluation.cache import Cache
from core.evaluation.plan import Plan
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.subjects import ColourFloor

PAGE = "pages/4_Evaluate.py"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    from ui import evaluations

    monkeypatch.setenv("EARTH_MAE_CACHE", str(tmp_path / "cache"))
    evaluations._current.clear()
    return Cache(tmp_path / "cache")


def test_without_numbers_the_page_says_how_to_get_some(open_page):
    app = open_page(PAGE)
    assert not app.exception
    assert "No numbers yet" in " ".join(info.value for info in app.info)


def test_stored_numbers_are_shown_with_recipe_and_confusion(open_page, own_cache, shared_data):
    plan = Plan(data=("ucmerced",), scales=(0.25, 1.0), limit=3)
    stored = [e for e in evaluate(plan, [ColourFloor()], folders=(shared_data,), cache=own_cache) if isinstance(e, Result)]
    app = open_page(PAGE)
    assert not app.exception
    rows = app.dataframe[0].value
    assert sorted(rows["value"]) == sorted(r.value for r in stored)
    assert {"low", "high", "policy", "scale"} <= set(rows.columns)
    assert any("95 % interval" in text.value for text in app.markdown)
    assert "data_hash" in app.json[0].value


def test_an_evaluation_runs_in_the_background_and_its_numbers_appear(open_page, own_cache, shared_data):
    from ui import evaluations

    app = open_page(PAGE)
    form = {box.label: box for box in app.multiselect}
    form["Models"].set_value(["colour_histogram"])
    form["Sets"].set_value(["harvey"])
    app.number_input[0].set_value(20)
    next(button for button in app.button if button.label == "Evaluate").click().run()
    deadline = time.monotonic() + 60
    while not evaluations.current().over and time.monotonic() < deadline:
        time.sleep(0.1)
    assert evaluations.current().finished == 1, evaluations.current().problem
    app.run()
    assert not app.exception
    assert len(app.dataframe[0].value) == 1
