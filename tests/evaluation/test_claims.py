"""Records of the papers' claims: sentences, round trip, damaged files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.evaluation.claims import (
    RECORDED,
    STATEMENTS,
    ArmComparison,
    Claim,
    Measured,
    TrainedArm,
    TrainedRun,
    read_claims,
    text_of,
    write_claim,
)
from core.evaluation.errors import FeatureError, RecipeError
from core.evaluation.sealed import seal, unseal
from core.evaluation.stats.intervals import bootstrap_crossed, bootstrap_mean


def claim(difference: tuple[float, float, float] = (0.05, 0.02, 0.08)) -> Claim:
    row = ArmComparison(
        "eurosat",
        "knn",
        None,
        ("cls", "cls"),
        Measured(0.6, 0.58, 0.62),
        Measured(0.55, 0.53, 0.57),
        Measured(*difference),
        (0.05,),
        None,
        0.7,
        5400,
        9001,
    )
    arms = [
        TrainedArm(label, {"model": "mae"}, (TrainedRun(0, 6400, 100, 0.1, "ab" * 32),))
        for label in ("Scale-MAE", "MAE")
    ]
    return Claim(
        "scale_mae",
        "python -m core papers scale_mae",
        "CPU",
        6400,
        "every training picture",
        None,
        arms[0],
        arms[1],
        (row,),
    )


def test_record_round_trip(tmp_path: Path) -> None:
    write_claim(claim(), tmp_path)
    assert read_claims(tmp_path) == (claim(),)
    assert claim().hours == pytest.approx(0.2)
    assert read_claims(tmp_path / "nothing") == ()


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ((0.05, 0.02, 0.08), "is ahead of MAE"),
        ((-0.05, -0.08, -0.02), "is behind MAE"),
        ((0.01, -0.02, 0.04), "is not distinguishable from MAE"),
    ],
)
def test_sentence_states_the_verdict(difference: tuple[float, float, float], verdict: str) -> None:
    assert verdict in claim(difference).sentence()
    assert "another protocol" in text_of([claim(difference)])


def test_sets_that_disagree_are_both_in_the_sentence() -> None:
    one = claim((-0.05, -0.08, -0.02))
    (row,) = one.comparisons
    other_set = replace(row, data="ucmerced", difference=Measured(0.05, 0.02, 0.08))
    half = replace(row, scale=0.5)
    both = replace(one, comparisons=(row, other_set, half))
    assert (both.verdict, one.verdict) == ("open", "behind")
    assert both.sentence() == (
        "Scale-MAE is behind MAE on eurosat: -5.0 points [-8.0, -2.0]; "
        "it is ahead of MAE on ucmerced: +5.0 points [+2.0, +8.0] (knn, mean over scales)."
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"name": "dino"},
        {"comparisons": []},
        {"comparisons": [{}]},
        {"ours": {}},
        {"pictures": "many"},
        {"limit": [1]},
    ],
)
def test_damaged_record_is_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    record = json.loads(write_claim(claim(), tmp_path).read_text())
    (tmp_path / "scale_mae.json").write_text(json.dumps(seal({**unseal(record), **damage})))
    with pytest.raises(RecipeError, match=r"scale_mae\.json is not a valid record"):
        read_claims(tmp_path)
    (tmp_path / "scale_mae.json").write_text("{")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_claims(tmp_path)


def test_recorded_claims_can_be_read_and_every_statement_marks_its_protocol() -> None:
    for found in read_claims(RECORDED):
        assert (
            found.comparisons
            and found.hours > 0
            and {run.pictures for run in (*found.ours.runs, *found.other.runs)} == {found.pictures}
        )
    for statement in STATEMENTS.values():
        assert statement.paper.protocol.startswith("another protocol") and statement.paper.rows


def test_one_run_is_resampled_over_images_and_runs_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(2_000) < 0.7
    one, plain = bootstrap_crossed(right[None]), bootstrap_mean(right)
    assert (one.mean, one.low, one.high) == pytest.approx((plain.mean, plain.low, plain.high), abs=0.004)
    apart = bootstrap_crossed(np.stack([rng.random(2_000) < share for share in (0.6, 0.7, 0.8)]))
    assert apart.high - apart.low > 2 * (one.high - one.low)
    with pytest.raises(FeatureError, match="every run and image"):
        bootstrap_crossed(np.array([[1.0, np.nan]]))


def test_limit_is_part_of_the_recipe_line() -> None:
    assert replace(claim(), limit=5).to_json()["limit"] == 5
