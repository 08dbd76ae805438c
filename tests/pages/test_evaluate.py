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
    monkeypatch.setattr(evaluations, "read_numbers", lambda: ())
    evaluations._current.clear()
    return Cache(tmp_path / "cache")


def test_without_numbers_the_page_says_how_to_get_some(open_page):
    app = open_page(PAGE)
    assert not app.exception
    assert "No numbers yet" in " ".join(info.value for info in app.info)


def test_the_page_opens_with_the_numbers_that_come_with_the_program(open_page, monkeypatch):
    from core.evaluation.recorded_numbers import read_numbers
    from ui import evaluations

    shipped = read_numbers()
    assert shipped
    monkeypatch.setattr(evaluations, "read_numbers", lambda: shipped)
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert sorted(app.dataframe[0].value["recipe"]) == sorted(result.recipe.key[:8] for result in shipped)


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
    scale = next(box for box in app.multiselect if box.label == "Scale")
    assert scale.options == ["25 %", "100 %"] and next(box for box in app.multiselect if box.label == "Policy").options == ["no GSD"]
    scale.set_value([0.25]).run()
    assert not app.exception
    assert app.dataframe[0].value["scale"].tolist() == [0.25] and app.dataframe[0].value["value"].tolist() == [stored[0].value]


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


def test_three_papers_say_how_to_run_until_something_ran(open_page, tmp_path, monkeypatch):
    from core.evaluation.claims import STATEMENTS, write_claim
    from tests.evaluation.test_claims import claim
    from ui import claims

    monkeypatch.setattr(claims, "RECORDED", tmp_path / "recorded")
    monkeypatch.setattr(claims, "RUNS", tmp_path / "runs")
    app = open_page(PAGE)
    assert not app.exception
    assert [code.value for code in app.code] == [f"python -m core papers {name} --minutes-per-run 20" for name in STATEMENTS]
    write_claim(claim(), tmp_path / "runs" / "papers")
    app = app.run()
    assert not app.exception and not app.error
    assert any("Scale-MAE is ahead of MAE" in text.value for text in app.markdown)
    assert sum("another protocol" in text.value for text in app.markdown) == 3
    assert len(app.code) == 3 and "another protocol" in " ".join(caption.value for caption in app.caption)
    (tmp_path / "runs" / "papers" / "scale_mae.json").write_text("{")
    app = app.run()
    assert not app.exception and "cannot be read" in app.error[0].value


def test_a_segmentation_is_shown_beside_another_model(open_page, own_cache, tmp_path):
    from core.engine.segment import train_head
    from tests.evaluation.conftest import FakeNetwork
    from tests.evaluation.test_segmentation import write_pair

    for number in range(8):
        write_pair(tmp_path / "fields", str(number), seed=number)
    plan = Plan(protocol="segmentation", data=(str(tmp_path / "fields"),), gsd_m=1.0)
    list(evaluate(plan, [ColourFloor(), FakeNetwork()], folders=(), cache=own_cache, learn=train_head))
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert any("labelled test pixels are right" in caption.value for caption in app.caption)
    assert sorted(app.dataframe[1].value["class"]) == ["class 0", "class 1"]
    against = next(box for box in app.selectbox if box.label == "Against")
    against.set_value(against.options[0]).run()
    assert not app.exception
    assert any("Second minus first" in text.value for text in app.markdown)


def test_two_models_agreement_is_told(open_page, own_cache, shared_data):
    from tests.evaluation.conftest import FakeNetwork

    plan = Plan(data=("ucmerced",), limit=2, policies=("manual-1.0",))
    list(evaluate(plan, [ColourFloor(), FakeNetwork()], folders=(shared_data,), cache=own_cache))
    app = open_page(PAGE)
    against = next(box for box in app.selectbox if box.label == "Against")
    against.set_value(against.options[0]).run()
    assert not app.exception
    assert {metric.label for metric in app.metric} >= {"20 nearest neighbours shared", "Linear CKA"}
    assert any("McNemar" in caption.value for caption in app.caption)


def test_duplicates_are_looked_for_only_on_request(open_page, own_cache, shared_data, monkeypatch):
    from ui import evaluations

    seen = []
    real = evaluations.open_set
    monkeypatch.setattr(evaluations, "open_set", lambda spec, *rest: (seen.append(spec.data), real(evaluations.DataSpec(spec.data, 3), *rest))[1])
    app = open_page(PAGE)
    assert seen == []
    next(box for box in app.selectbox if box.label == "In which set").set_value("ucmerced").run()
    next(button for button in app.button if button.label == "Look for them").click().run()
    assert not app.exception and seen == ["ucmerced"]
    assert any("test images of ucmerced are also among its training images" in text.value for text in app.markdown)
    app.run()
    assert seen == ["ucmerced"], "found once"


def test_each_protocol_offers_its_own_sets(open_page, own_cache, shared_data):
    app = open_page(PAGE)
    sets = next(box for box in app.multiselect if box.label == "Sets")
    assert "eurosat" in sets.options and "scenes" not in sets.options
    app.selectbox(key="protocol").set_value("segmentation").run()
    assert next(box for box in app.multiselect if box.label == "Sets").options == ["atlanta_buildings", "nc_landcover"]
