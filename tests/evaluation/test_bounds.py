"""Bounds of plans, recipe files and options: invalid values are refused before anything is read."""

import math

import numpy as np
import pytest

from core.cli.entry import main
from core.evaluation.errors import FeatureError, LabelledSetError, RecipeError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.progress import EvaluationProgress
from core.evaluation.protocols.knn import KnnSpec, weighted_knn
from core.evaluation.recipes import read_recipe
from core.evaluation.results import Result
from core.evaluation.running import evaluate

WHOLE = 'protocol="knn"\ndata="a"\ndata_hash="b"\nmodel="c"\nweights="d"\n'


def results(plan, subjects):
    return [event for event in evaluate(plan, subjects, folders=()) if isinstance(event, Result)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seed": -1}, "seed is -1; choose a whole number, 0 to 4,294,967,295"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"draws": -3}, "draws is -3; choose a whole number, 1 to 1,000"),
        ({"size_px": -5}, "The size in pixels is -5; choose a whole number, 1 to 4,096"),
        ({"size_px": 1_000_000}, "The size in pixels is 1000000"),
        ({"shots": (5, 0)}, "shots is 0; choose a whole number, 1 or more"),
        ({"shots": ()}, "No number of shots"),
        ({"knn": KnnSpec(k=0)}, "k is 0"),
        ({"knn": KnnSpec(tau=math.nan)}, "The temperature is nan; choose a number above 0"),
        ({"knn": KnnSpec(tau=math.inf)}, "The temperature is inf"),
        ({"knn": KnnSpec(overwrite_batch=0)}, "--overwrite-batch is 0"),
        ({"gsd_m": math.nan}, "The GSD is nan; choose a number above 0"),
        ({"gsd_m": -2.0}, "The GSD is -2"),
    ],
)
def test_invalid_plan_cannot_be_built(setting, message):
    with pytest.raises(RecipeError, match=message):
        EvaluationPlan(**setting)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seed=-1", "seed is -1"), ("draws=-3", "draws is -3"), ("size_px=1000000", "size in pixels is "
                                                                                    "1000000"),
                                                                                    ("k=0", "k is 0"),
        ("tau=0", "temperature is 0"), ("shots=0", "shots is 0"), ("stated_gsd_m=-1.0", "GSD is -1"),
    ],
)  # fmt: skip
def test_recipe_file_has_the_same_bounds(tmp_path, line, message):
    (tmp_path / "recipe.toml").write_text(WHOLE + line + "\n")
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize(
    ("name", "text"),
    [("deep.json", '{"a":' * 20_000), ("deep.toml", "a = " + "[" * 20_000)],
    ids=["json", "toml"],
)
def test_deeply_nested_recipe_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match="is not valid"):
        read_recipe(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tau", "nan", "--json"], "The temperature is nan"),
        (["--size", "-5"], "The size in pixels is -5"),
        (["--protocol", "few-shot", "--shots", "0"], "shots is 0"),
        (["--seed", "-1"], "seed is -1"),
    ],
)
def test_command_line_options_have_the_same_bounds(index_zip, capsys, options, message):
    assert main(["evaluate", str(index_zip), "--model", "colour_histogram", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("option", "example"), [("--scales", "25,50,100"), ("--ratios", "0.75,0.5"), ("--shots", "1,5")]
)
def test_invalid_list_is_answered_with_an_example(capsys, option, example):
    with pytest.raises(SystemExit):
        main(["evaluate", "eurosat", option, "x"])
    assert (
        f"argument {option}: 'x' is not a list of numbers; give for example {example}"
        in capsys.readouterr().err
    )


def test_temperature_near_zero_gives_the_vote_to_the_nearest():
    rng = np.random.default_rng(0)
    gallery, queries = (
        rng.normal(size=(40, 8)).astype(np.float32),
        rng.normal(size=(10, 8)).astype(np.float32),
    )
    labels = np.arange(40) % 4
    found = weighted_knn(gallery, labels, queries, KnnSpec(5, 1e-300))
    assert found.labels.tolist() == labels[found.neighbours[:, 0]].tolist()
    assert np.isfinite(found.votes).all()
    with pytest.raises(FeatureError, match="The temperature is nan"):
        weighted_knn(gallery, labels, queries, KnnSpec(5, math.nan))


@pytest.mark.parametrize(
    "plan", [{"limit": 3, "fit_k": False}, {"protocol": "few-shot", "shots": (1, 9), "fit_shots": False}]
)
def test_too_large_k_and_shots_are_refused_before_embedding(index_zip, network, plan):
    with pytest.raises(
        FeatureError,
        match=r"choose k from 1 to 9|smallest class of 'pack' has 8 training images; choose 1 to 8",
    ):
        results(EvaluationPlan(data=(str(index_zip),), **plan), [network])
    assert network.embedded == 0


@pytest.mark.parametrize(("limit", "shots"), [(None, [1, 5, 8]), (5, [1, 5]), (1, [1])])
def test_default_shots_are_reduced_to_the_smallest_class(index_zip, make_network, limit, shots):
    found = results(
        EvaluationPlan(protocol="few-shot", data=(str(index_zip),), limit=limit),
        [make_network("one"), make_network("other")],
    )
    assert [(r.recipe.model, r.recipe.shots) for r in found] == [
        (name, count) for name in ("one", "other") for count in shots
    ]


def test_command_reduces_default_shots_and_refuses_given_ones(index_zip, tmp_path, capsys):
    command = [
        "evaluate",
        str(index_zip),
        "--protocol",
        "few-shot",
        "--model",
        "colour_histogram",
        "--limit",
        "4",
        "--cache",
        str(tmp_path / "cache"),
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.count("shots: accuracy") == 2
    assert main([*command, "--shots", "1,10"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "10 shots were requested" in err and "accuracy" not in err


def test_too_large_images_are_refused_and_large_ones_cause_a_warning(index_zip, network, monkeypatch):
    def first(**plan):
        return next(
            e
            for e in evaluate(EvaluationPlan(data=(str(index_zip),), **plan), [network], folders=())
            if isinstance(e, EvaluationProgress)
        )

    event = first(size_px=512)
    assert "4,096 tokens per image are slow: the model's input size (32 px, --feed input)" in event.text
    assert (event.share, network.embedded) == (0.0, 0)
    assert "tokens" not in first(size_px=256).text
    monkeypatch.setattr("core.evaluation.plan.MAX_SIZE_PX", 24)
    with pytest.raises(LabelledSetError, match="would be fed at 32 px, more than the limit of 24 px"):
        first()
