import numpy as np
import pytest
from scipy.stats import binomtest

from core.evaluation.errors import FeatureError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.stats.intervals import accuracy_interval, bootstrap_mean, bootstrap_mean_of_sets, compare


def test_the_interval_of_right_and_wrong_answers_has_the_width_that_statistics_predicts():
    values = np.arange(400) < 300
    interval = bootstrap_mean(values, seed=1)
    expected = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert interval.mean == 0.75
    assert interval.high - interval.mean == pytest.approx(expected, rel=0.15)
    assert interval.mean - interval.low == pytest.approx(expected, rel=0.15)


def test_the_interval_of_scores_agrees_with_the_normal_one_and_is_seeded():
    values = np.random.default_rng(0).normal(27, 3, 500)
    interval = bootstrap_mean(values, seed=4)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(500), rel=0.1)
    assert interval == bootstrap_mean(values, seed=4)
    assert interval != bootstrap_mean(values, seed=5)


def test_nan_is_ignored_and_an_empty_input_is_refused():
    assert bootstrap_mean(np.array([1.0, np.nan, 3.0])).mean == 2.0
    with pytest.raises(FeatureError, match="no values"):
        bootstrap_mean(np.array([np.nan]))


def test_a_mean_of_sets_gives_every_set_the_same_weight():
    small, large = np.full(10, 20.0), np.full(1000, 30.0)
    assert bootstrap_mean_of_sets([small, large]).mean == 25.0


def test_paired_test_detects_a_difference_that_separate_intervals_hide():
    rng = np.random.default_rng(2)
    a = rng.random(300) < 0.7
    b = a.copy()
    b[np.flatnonzero(~a)[:12]] = True
    paired = compare(a, b)
    assert (paired.only_a, paired.only_b) == (0, 12)
    assert paired.p_value == pytest.approx(2 * 0.5**12)
    assert 0 < paired.difference.low < paired.difference.mean == pytest.approx(12 / 300)
    one, other = bootstrap_mean(a), bootstrap_mean(b)
    assert one.high > other.low


def test_a_model_compared_with_itself_does_not_differ_and_other_images_are_refused():
    a = np.random.default_rng(3).random(50) < 0.5
    assert compare(a, a).p_value == 1.0
    assert compare(a.astype(float), a.astype(float)).p_value is None
    with pytest.raises(FeatureError, match="same images"):
        compare(a, a[:-1])


def test_few_answers_that_are_all_right_or_all_wrong_are_not_certain():
    right, wrong = accuracy_interval(np.ones(3, bool)), accuracy_interval(np.zeros(3, bool))
    wilson = binomtest(3, 3).proportion_ci(0.95, "wilson")
    assert (right.mean, right.low, right.high) == (1.0, pytest.approx(wilson.low), 1.0)
    assert (wrong.mean, wrong.low, wrong.high) == (0.0, 0.0, pytest.approx(1 - wilson.low))
    assert accuracy_interval(np.ones(3)).low == right.low  # shares of draws, as few-shot has them
    mixed = np.arange(40) < 30
    assert accuracy_interval(mixed, seed=4) == bootstrap_mean(mixed, seed=4)


def test_a_score_of_few_images_is_not_certain(class_folders, network):
    found = next(
        e
        for e in evaluate(EvaluationPlan(data=(str(class_folders),), gsd_m=1.0), [network], folders=())
        if isinstance(e, Result)
    )
    assert (found.count, found.value) == (3, 1.0)
    assert found.low == pytest.approx(0.4385, abs=1e-4)


def test_models_that_differ_on_no_image_or_alike_on_all_are_not_compared_with_certainty():
    right, wrong = np.ones(3, bool), np.zeros(3, bool)
    assert compare(right, wrong).difference.mean == -1 and compare(right, wrong).difference.low == -1
    assert compare(right, wrong).difference.high == pytest.approx(-1 + 1.96**2 / (3 + 1.96**2), abs=1e-3)
    same = compare(right, right).difference
    assert (same.low, same.mean, same.high) == pytest.approx((-0.561, 0, 0.561), abs=1e-3)
    many = compare(np.ones(400, bool), np.ones(400, bool)).difference
    assert 0 < many.high < 0.01
