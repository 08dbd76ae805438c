"""The Evaluate page: empty state, a real evaluation in the background, table, details, downloads."""

import os
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from core.evaluation.cache import Cache
from core.evaluation.plan import EvaluationPlan
from core.evaluation.recipes import recipe_toml
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.subjects import ColourHistogram
from tests.thorough import a_few

PAGE = "pages/4_Evaluate.py"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    from ui.evaluate import evaluations

    monkeypatch.setenv("EARTH_MAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(evaluations, "read_numbers", lambda: ())
    return Cache(tmp_path / "cache")


def test_page_without_results_says_how_to_start(open_page):
    app = open_page(PAGE)
    assert not app.exception
    assert "No results yet" in " ".join(info.value for info in app.info)


def test_page_opens_with_recorded_results(open_page, monkeypatch):
    from core.evaluation.recorded_numbers import read_numbers
    from ui.evaluate import evaluations

    shipped = read_numbers()
    assert shipped
    monkeypatch.setattr(evaluations, "read_numbers", lambda: shipped)
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert sorted(app.dataframe[0].value["recipe"]) == sorted(result.recipe.key[:6] for result in shipped)
    labels = [box.label for kind in (app.selectbox, app.multiselect) for box in kind]
    assert len(labels) == len(set(labels)), "no two lists have the same name"


def test_stored_results_are_shown_with_recipe_and_confusion(open_page, own_cache, shared_data):
    plan = EvaluationPlan(data=("ucmerced",), scales=(0.25, 1.0), limit=3)
    stored = [
        e
        for e in evaluate(plan, [ColourHistogram()], folders=(shared_data,), cache=own_cache)
        if isinstance(e, Result)
    ]
    app = open_page(PAGE)
    assert not app.exception
    rows = app.dataframe[0].value
    assert sorted(rows["value"]) == sorted(r.value for r in stored)
    assert {"interval", "policy", "scale"} <= set(rows.columns)
    assert any("95 % interval" in text.value for text in app.markdown)
    assert "data_hash" in app.json[0].value
    scale = next(box for box in app.multiselect if box.label == "Scale")
    assert scale.options == ["25 %", "100 %"] and next(
        box for box in app.multiselect if box.label == "Policy"
    ).options == ["no GSD"]
    scale.set_value([0.25]).run()
    assert not app.exception
    assert app.dataframe[0].value["scale"].tolist() == [0.25] and app.dataframe[0].value[
        "value"
    ].tolist() == [stored[0].value]


def test_mistakes_of_a_scale_series_come_from_the_stored_knn_arrays(own_cache, shared_data):
    from ui.evaluate import evaluations

    plan = EvaluationPlan(protocol="sweep", data=("ucmerced",), scales=(1.0,), limit=2)
    swept = next(
        e
        for e in evaluate(plan, [ColourHistogram()], folders=(shared_data,), cache=own_cache)
        if isinstance(e, Result)
    )
    assert swept.recipe.protocol == "sweep" and evaluations.has_arrays(swept)
    assert evaluations.mistakes_of(swept) is not None


def test_evaluation_runs_in_the_background_and_its_results_appear(open_page, own_cache, shared_data):
    from ui.evaluate import evaluations

    app = open_page(PAGE)
    form = {box.label: box for box in app.multiselect}
    form["Models"].set_value(["colour_histogram"])
    form["Sets"].set_value(["harvey"])
    app.number_input[0].set_value(20)
    next(button for button in app.button if button.label == "Evaluate").click().run()
    assert evaluations.run().running
    deadline = time.monotonic() + 300
    while evaluations.run().running and time.monotonic() < deadline:
        time.sleep(0.1)
    assert evaluations.run().status.completed == 1, evaluations.run().problem
    app.run()
    assert not app.exception
    assert len(app.dataframe[0].value) == 1


@pytest.mark.thorough
def test_three_papers_section_shows_the_command_until_a_claim_was_tested(open_page, tmp_path, monkeypatch):
    from core.evaluation.claims import STATEMENTS, write_claim
    from tests.evaluation.test_claims import claim
    from ui.train import claims

    monkeypatch.setattr(claims, "RECORDED", tmp_path / "recorded")
    monkeypatch.setattr(claims, "RUNS", tmp_path / "runs")
    app = open_page(PAGE)
    assert not app.exception
    assert [code.value for code in app.code] == [
        f"python -m core papers {name} --minutes-per-run 20" for name in STATEMENTS
    ]
    write_claim(claim(), tmp_path / "runs" / "papers")
    app = app.run()
    assert not app.exception and not app.error
    assert any("Scale-MAE is ahead of MAE" in text.value for text in app.markdown)
    assert sum("another protocol" in text.value for text in app.markdown) == 3
    assert len(app.code) == 3 and "another protocol" in " ".join(caption.value for caption in app.caption)
    (tmp_path / "runs" / "papers" / "scale_mae.json").write_text("{")
    app = app.run()
    assert not app.exception and "cannot be read" in app.error[0].value


@pytest.mark.thorough
def test_segmentation_is_compared_with_another_model(open_page, own_cache, tmp_path):
    from core.engine.training.segment import train_head
    from tests.evaluation.conftest import FakeNetwork
    from tests.evaluation.protocols.test_segmentation import write_pair

    for number in range(8):
        write_pair(tmp_path / "fields", str(number), seed=number)
    plan = EvaluationPlan(protocol="segmentation", data=(str(tmp_path / "fields"),), gsd_m=1.0)
    list(evaluate(plan, [ColourHistogram(), FakeNetwork()], folders=(), cache=own_cache, learn=train_head))
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert any("labelled test pixels are correct" in caption.value for caption in app.caption)
    assert sorted(app.dataframe[1].value["class"]) == ["class 0", "class 1"]
    against = next(box for box in app.selectbox if box.label == "Compare with")
    against.set_value(against.options[0]).run()
    assert not app.exception
    assert any("Second minus first" in text.value for text in app.markdown)


def test_agreement_of_two_models_is_shown(open_page, own_cache, shared_data):
    from tests.evaluation.conftest import FakeNetwork

    plan = EvaluationPlan(data=("ucmerced",), limit=2, policies=("manual-1.0",))
    list(evaluate(plan, [ColourHistogram(), FakeNetwork()], folders=(shared_data,), cache=own_cache))
    app = open_page(PAGE)
    against = next(box for box in app.selectbox if box.label == "Compare with")
    against.set_value(against.options[0]).run()
    assert not app.exception
    assert {metric.label for metric in app.metric} >= {"Shared among 20 nearest neighbours", "Linear CKA"}
    assert any("McNemar" in caption.value for caption in app.caption)


def test_duplicates_are_searched_only_on_request(open_page, own_cache, shared_data, monkeypatch):
    from ui.evaluate import evaluations

    seen = []
    real = evaluations.open_set
    monkeypatch.setattr(
        evaluations,
        "open_set",
        lambda spec, *rest: (seen.append(spec.data), real(evaluations.DataSpec(spec.data, 3), *rest))[1],
    )
    app = open_page(PAGE)
    assert seen == []
    next(box for box in app.selectbox if box.label == "Set to search").set_value("ucmerced").run()
    next(button for button in app.button if button.label == "Find duplicates").click().run()
    assert not app.exception and seen == ["ucmerced"]
    assert any(
        "test images of ucmerced are also among its training images" in text.value for text in app.markdown
    )
    app.run()
    assert seen == ["ucmerced"], "searched once"


def test_each_protocol_offers_the_sets_that_it_can_use(open_page, own_cache, shared_data):
    app = open_page(PAGE)
    sets = next(box for box in app.multiselect if box.label == "Sets")
    assert "eurosat" in sets.options and "scenes" not in sets.options
    app.selectbox(key="protocol").set_value("segmentation").run()
    assert next(box for box in app.multiselect if box.label == "Sets").options == [
        "atlanta_buildings",
        "nc_landcover",
    ]


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """A data folder with RSSCN7, which states no GSD, and a user's own set."""
    from tests.evaluation.conftest import CLASSES, picture

    for place in ("RSSCN7", "orchards"):
        for kind, name in enumerate(CLASSES):
            (tmp_path / "sets" / place / name).mkdir(parents=True)
            for number in range(12):
                picture(kind, number).save(tmp_path / "sets" / place / name / f"{name}_{number}.png")
    monkeypatch.setenv("EARTH_MAE_DATA", str(tmp_path / "sets"))
    return tmp_path / "sets"


@pytest.fixture
def started(monkeypatch):
    """Record what the page starts instead of starting it."""
    from ui.evaluate import evaluations

    calls: list[tuple] = []
    monkeypatch.setattr(evaluations, "start", lambda *arguments, **_: calls.append(arguments))
    return calls


def press(app, label):
    return next(button for button in app.button if button.label == label).click().run()


@pytest.fixture
def at_once(monkeypatch):
    """Run evaluations in this process, where fakes reach them; a click returns when they have ended."""
    from core.cli.entry import main

    def run(_, arguments):
        with suppress(ValueError):  # what a test raises; the process would print it
            main(arguments)

    monkeypatch.setattr("core.background.launch", run)


def outcome():
    """The status of the evaluation that has ended."""
    from ui.evaluate import evaluations

    assert evaluations.run().status.ended
    return evaluations.run().status


def many(app, label):
    return next(box for box in app.multiselect if box.label == label)


@pytest.mark.parametrize(
    "protocol", a_few(["knn", "probe", "few-shot", "sweep", "reconstruction", "segmentation"], 2)
)
def test_default_settings_are_those_of_the_protocol(open_page, shared_data, started, protocol):
    from core.evaluation.plan import SCALE_SERIES

    app = open_page(PAGE)
    app.selectbox(key="protocol").set_value(protocol).run()
    press(app, "Evaluate")
    assert not app.exception and not app.error
    usual = {
        "sweep": {"scales": SCALE_SERIES, "policies": (None, "author_eval")},
        "segmentation": {"scales": SCALE_SERIES[1:]},
    }.get(protocol, {})
    data = "atlanta_buildings" if protocol == "segmentation" else "eurosat"
    assert started[0][0] == (EvaluationPlan(protocol=protocol, data=(data,), limit=50, **usual),)


def test_every_setting_reaches_the_plan(open_page, shared_data, started):
    from core.evaluation.protocols.knn import KnnSpec

    app = open_page(PAGE)
    app.selectbox(key="protocol").set_value("sweep").run()
    many(app, "Policies").set_value(["log_gsd", "manual"]).run()
    numbers = {box.label.partition(" (")[0].partition(",")[0]: box for box in app.number_input}
    for label, value in {
        "Neighbours k": 5,
        "Temperature": 0.1,
        "Overwritten rows": 64,
        "Res of manual": 2.5,
        "Seed": 7,
    }.items():
        numbers[label].set_value(value)
    numbers["Input size"].set_value(96)
    choices = {box.label: box for box in app.selectbox}
    choices["Image size"].set_value("input")
    choices["The authors' recipe"].set_value("author_224")
    choices["Colour normalisation"].set_value("dataset")
    choices["Pooling"].set_value("cls+mean")
    next(box for box in app.text_input if box.label == "Scales, %").set_value("6.25, 100")
    press(app, "Evaluate")
    assert not app.exception and not app.error
    assert started[0][0] == (
        EvaluationPlan(
            protocol="sweep",
            data=("eurosat",),
            scales=(0.0625, 1.0),
            policies=("log_gsd", "manual-2.5"),
            feed="input",
            author="author_224",
            normalisation="dataset",
            pooling="cls+mean",
            limit=50,
            seed=7,
            knn=KnnSpec(5, 0.1, 64),
            fit_k=False,
            size_px=96,
        ),
    )
    next(box for box in app.text_input if box.label == "Scales, %").set_value("half").run()
    assert "separate them by commas" in app.error[0].value


def test_changed_shots_are_not_reduced(open_page, shared_data, started):
    app = open_page(PAGE)
    app.selectbox(key="protocol").set_value("few-shot").run()
    next(box for box in app.text_input if box.label.startswith("Images per class")).set_value("2, 3")
    press(app, "Evaluate")
    assert (started[0][0][0].shots, started[0][0][0].fit_shots) == ((2, 3), False)
    for entered, sentence in (
        ("2.5", "whole numbers"),
        ("1, nan", "separate them by commas"),
        ("inf", "separate them by commas"),
    ):
        next(box for box in app.text_input if box.label.startswith("Images per class")).set_value(
            entered
        ).run()
        assert not app.exception and sentence in app.error[0].value


def test_gsd_is_asked_for_a_set_that_does_not_state_it(
    open_page, own_data, shared_data, at_once, monkeypatch
):
    from tests.evaluation.conftest import FakeNetwork
    from ui.evaluate import evaluations

    monkeypatch.setenv("EARTH_MAE_DATA", f"{own_data}{os.pathsep}{shared_data}")
    monkeypatch.setattr("core.cli.verbs.evaluate.subjects._network", FakeNetwork)
    app = open_page(PAGE)
    assert not [box for box in app.number_input if box.label.startswith("Metres per pixel")], (
        "EuroSAT states 10 m"
    )
    many(app, "Models").set_value(["mae_tiny"])
    many(app, "Sets").set_value(["rsscn7", "eurosat"]).run()
    asked = [box for box in app.number_input if box.label.startswith("Metres per pixel")]
    assert [box.label for box in asked] == ["Metres per pixel of rsscn7"]
    press(app, "Evaluate")
    assert "The GSD of rsscn7 is unknown" in app.error[0].value and not evaluations.run().exists
    next(box for box in app.number_input if box.label.startswith("Metres per pixel")).set_value(2.0)
    next(box for box in app.number_input if box.label.startswith("Images per class")).set_value(2)
    press(app, "Evaluate")
    assert outcome().problem == "" and outcome().completed == 2
    assert [(plan.data, plan.gsd_m) for plan in evaluations.run().request.plans] == [
        (("rsscn7",), 2.0),
        (("eurosat",), None),
    ], "EuroSAT keeps its own GSD"


def test_set_without_gsd_is_accepted_where_no_gsd_is_needed(open_page, own_data, started):
    app = open_page(PAGE)
    many(app, "Sets").set_value(["rsscn7"])
    many(app, "Policies").set_value(["author_eval"])
    press(app, "Evaluate")
    many(app, "Policies").set_value([])
    many(app, "Models").set_value(["colour_histogram"])
    press(app, "Evaluate")
    assert not app.exception and not app.error
    assert [plans[0].policies for plans, *_ in started] == [("author_eval",), (None,)]


def test_own_sets_come_after_published_ones_and_show_their_mistakes(open_page, own_data, at_once):
    app = open_page(PAGE)
    sets = many(app, "Sets")
    assert "orchards" in sets.options and sets.options.index("rsscn7") < sets.options.index("orchards")
    sets.set_value(["orchards"])
    many(app, "Models").set_value(["colour_histogram"])
    press(app, "Evaluate")
    assert outcome().problem == ""
    assert app.dataframe[0].value["data"].tolist() == ["orchards"]
    assert any("Most confident mistakes" in caption.value for caption in app.caption)


def upload(app, name, content):
    app.file_uploader[0].set_value((name, content, "application/octet-stream"))
    return app.run()


def test_downloaded_recipe_runs_again_and_is_compared(open_page, own_cache, own_data, at_once):
    plan = EvaluationPlan(data=(str(own_data / "orchards"),), gsd_m=2.0)
    stored = [
        e for e in evaluate(plan, [ColourHistogram()], folders=(), cache=own_cache) if isinstance(e, Result)
    ]
    app = open_page(PAGE)
    upload(app, "mine.toml", recipe_toml(stored[0].recipe).encode())
    assert not app.error and any(
        "**colour_histogram** on **orchards**" in text.value for text in app.markdown
    )
    press(app, "Run it again")
    assert outcome().problem == "" and outcome().completed == 1
    text = " ".join(caption.value for caption in app.caption)
    assert "The recipe was followed in every setting" in text and f"{stored[0].value:.4f}" in text


@pytest.mark.thorough
def test_recipe_of_a_fill_runs_again(open_page, own_cache, own_data, at_once):
    from tests.evaluation.conftest import FakeNetwork

    plan = EvaluationPlan(
        protocol="reconstruction", data=(str(own_data / "orchards"),), ratios=(0.5,), limit=1, gsd_m=2.0
    )
    stored = [
        e for e in evaluate(plan, [FakeNetwork()], folders=(), cache=own_cache) if isinstance(e, Result)
    ]
    fill = next(result.recipe for result in stored if result.recipe.model == "nearest")
    app = upload(open_page(PAGE), "fill.toml", recipe_toml(fill).encode())
    press(app, "Run it again")
    assert outcome().problem == "" and "followed in every setting" in outcome().rerun_summary


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.toml", b"no recipe", "is not valid"),
        ("a.json", b'{"protocol": "knn"}', "lacks 'data'"),
        (
            "a.json",
            b'{"protocol":"knn","data":"/etc","data_hash":"0","model":"mae_tiny","weights":"0"}',
            "is not on this server",
        ),
        (
            "a.json",
            b'{"protocol":"knn","data":"orchards","data_hash":"0","model":"/etc/passwd","weights":"0"}',
            "is not on this server",
        ),
    ],
)
def test_invalid_recipe_is_refused_and_reaches_no_file(open_page, own_data, started, name, content, sentence):
    app = upload(open_page(PAGE), name, content)
    assert not app.exception and sentence in app.error[0].value
    assert "Run it again" not in [button.label for button in app.button] and not started


@pytest.mark.thorough
def test_unexpected_error_of_an_evaluation_is_shown_and_it_can_be_resumed(
    open_page, own_data, at_once, monkeypatch
):
    from core.cli.verbs.evaluate import from_file

    def dies(*_, **__):
        raise ValueError("a defect")
        yield

    monkeypatch.setattr(from_file, "evaluate", dies)
    app = open_page(PAGE)
    many(app, "Models").set_value(["colour_histogram"])
    many(app, "Sets").set_value(["orchards"])
    press(app, "Evaluate")
    assert not app.exception and "failed unexpectedly (ValueError)" in app.error[0].value
    assert any(caption.value == "Ended early after 0 results, which are kept." for caption in app.caption)
    monkeypatch.setattr(from_file, "evaluate", evaluate)
    press(app, "Resume")
    assert not app.exception and not app.error
    assert any(caption.value == "Done: 1 result." for caption in app.caption)
    assert "Resume" not in [button.label for button in app.button]


def result_of(model="scale_mae_tiny", **more):
    from core.evaluation.recipes import EvaluationRecipe

    recipe = EvaluationRecipe("knn", "eurosat", "hash", model, "none", **({"policy": "log_gsd"} | more))
    return Result(recipe, "accuracy", 0.9, 0.85, 0.95, 100)


def test_optional_columns_appear_only_with_values():
    from ui.evaluate.table import rows

    plain = ["model", "value", "data", "protocol", "scale", "policy", "interval", "count", "recipe"]
    assert list(rows((result_of(),))[0]) == plain
    mixed = rows((result_of(), replace(result_of(), details={"lead_over_best_fill": {"mean": 0.5}})))
    assert set(mixed[0]) - set(plain) == {"lead"}
    assert rows((result_of(ratio=0.75),))[0]["protocol"].endswith(", 75 %")
    assert rows((result_of(policy=None),))[0]["policy"] == "no GSD"


def test_table_of_recorded_results_fits_beside_the_form():
    from core.evaluation.recorded_numbers import read_numbers
    from ui.evaluate.table import _columns, rows

    shown = read_numbers()
    lines = rows(shown)
    columns = _columns(lines, shown)
    assert sum(columns[name]["width"] for name in lines[0]) <= 759, (
        "the column's width on a screen of 1,400 px"
    )
    assert (
        columns["model"]["width"] + columns["value"]["width"] <= 368
        and columns["model"]["pinned"]
        and columns["value"]["pinned"]
    )


def test_models_with_static_positions_show_that_no_policy_is_used(open_page, own_cache):
    for model in ("mae_tiny", "scale_mae_tiny"):
        own_cache.keep_result(result_of(model))
    app = open_page(PAGE)
    policies = dict(zip(*(app.dataframe[0].value[name] for name in ("model", "policy")), strict=True))
    assert policies == {"mae_tiny": "static", "scale_mae_tiny": "log_gsd"}
    assert [caption.value for caption in app.caption if "Not scale-aware" in caption.value] == [
        "Not scale-aware (static): every policy gives mae_tiny the same result, "
        "because the positional encoding is static."
    ]


def test_comparison_is_offered_only_where_both_arrays_are_stored(open_page, own_cache, shared_data):
    from tests.evaluation.conftest import FakeNetwork

    plan = EvaluationPlan(data=("ucmerced",), limit=2, policies=("manual-1.0",))
    found = [
        e
        for e in evaluate(plan, [ColourHistogram(), FakeNetwork()], folders=(shared_data,), cache=own_cache)
        if isinstance(e, Result)
    ]
    assert [box.label for box in open_page(PAGE).selectbox if box.label == "Compare with"]
    files = [own_cache.folder / f"{result.recipe.key}.npz" for result in found]
    captions = []
    for file in files:
        file.unlink()
        app = open_page(PAGE)
        assert not [box for box in app.selectbox if box.label == "Compare with"]
        captions.append(" ".join(caption.value for caption in app.caption))
    assert any(
        "compute that one on this server too" in text
        or "once this server has computed the result itself" in text
        for text in captions
    )
    assert "once this server has computed the result itself" in captions[-1]


def test_class_names_wrap_between_their_words():
    from ui.evaluate.sections import short_name

    assert short_name("PermanentCrop") == "Permanent\u200bCrop"
    assert short_name("mobile_home") == "mobile_\u200bhome"
    assert short_name("denseresidential") == "denseresident\u2026"
    assert short_name("Forest") == "Forest"


@pytest.mark.thorough
def test_only_the_starter_stops_an_evaluation_on_a_shared_server(open_page, own_cache, monkeypatch):
    from ui.evaluate import evaluations
    from ui.shell import ownership

    monkeypatch.setattr(ownership, "serves_others", lambda: True)
    monkeypatch.setattr(ownership.state, "owner", lambda: "me")
    monkeypatch.setattr("core.background.launch", lambda *_: None)
    monkeypatch.setattr("core.background.alive", lambda _: evaluations.run().exists)
    evaluations.start((), ())

    def stop_button():
        return next(button for button in open_page(PAGE).button if button.label == "Stop")

    assert not stop_button().disabled
    monkeypatch.setattr(ownership.state, "owner", lambda: "somebody else")
    assert stop_button().disabled
    monkeypatch.setattr(ownership, "serves_others", lambda: False)
    stop_button().click().run()
    assert evaluations.run().stop_requested


def test_what_a_network_adds_to_the_best_fill_is_shown(open_page, own_cache):
    """Lead and detail stand in the table, and the gallery lists the lead of every tile."""
    from tests.evaluation.conftest import FakeNetwork

    plan = EvaluationPlan(protocol="reconstruction", data=("gallery",), ratios=(0.75,), size_px=64)
    list(evaluate(plan, [FakeNetwork(truth_share=1.0)], folders=(), cache=own_cache))
    app = open_page(PAGE)
    assert not app.exception and not app.error
    rows = app.dataframe[0].value
    added = rows[rows["model"] == "fake"].iloc[0]
    assert added["lead"].startswith("+") and " [+" in added["lead"] and added["detail"].startswith("+")
    assert set(rows[rows["model"] != "fake"]["lead"]) == {""}
    assert any("dB over the best fill" in text.value for text in app.markdown)
    tiles = next(frame.value for frame in app.dataframe if "image" in frame.value)
    assert "Bahama banks" in set(tiles["image"]) and tiles.iloc[:, 1].min() > 0.1


def test_baselines_are_offered_where_images_are_embedded(open_page, shared_data, monkeypatch):
    from core.engine import candidates

    monkeypatch.setattr(candidates, "fetched_teachers", lambda: ("efficientnet_lite0",))
    floors = {"colour_histogram", "untrained_scale_mae_tiny", "efficientnet_lite0"}
    app = open_page(PAGE)
    assert floors <= set(many(app, "Models").value)
    app.selectbox(key="protocol").set_value("gsd").run()
    assert many(app, "Models").value == ["scale_mae_tiny"]
    assert not any("(floor)" in name or "(teacher)" in name for name in many(app, "Models").options)
    assert "gallery" in many(app, "Sets").options
