"""Predictions: what is refused and how, and how near a prediction is."""

import numpy as np
import pytest

from core.lessons.questions import Choice, Number, Patches, Place, PredictionError, Ranking

NUMBER = Number("%", 1, 99, 10)
FACTOR = Number("marks", 2, 100, 2, factor=True)
CHOICE = Choice(("low", "high"))
RANKING = Ranking(("a", "b", "c"))
PLACE = Place(1000)
ONE, MANY = Patches(1, 1), Patches(2, 4)


@pytest.mark.parametrize(
    ("question", "raw", "says"),
    [
        (NUMBER, None, "no prediction yet"),
        (NUMBER, "", "no prediction yet"),
        (NUMBER, "plenty", "is not a number"),
        (NUMBER, "1e99", "is not possible here"),
        (NUMBER, "nan", "is not possible here"),
        (NUMBER, "-3", "from 1 to 99 %"),
        (CHOICE, None, "choose one of the options"),
        (CHOICE, "<script>", "is not an option"),
        (RANKING, None, "not complete"),
        (RANKING, ["a", None, "c"], "not complete"),
        (RANKING, ["a", "a", "c"], "choose each of them once"),
        (ONE, np.zeros((4, 4), bool), "No patch is chosen"),
        (ONE, np.ones((4, 4), bool), "choose 1"),
        (MANY, [(0, 0)], "choose 2 to 4"),
        (PLACE, " ", "name a place"),
        (PLACE, "Atlantis-on-Sea", "not among the 24,000"),
        (PLACE, "95, 10", "not a place on Earth"),
        (PLACE, "x" * 500, "at most 120"),
    ],
)
def test_empty_and_impossible_predictions_are_refused(question, raw, says):
    with pytest.raises(PredictionError, match=says):
        question.read(raw)


def test_a_number_is_right_when_it_is_near():
    assert NUMBER.read("50") == 50
    assert NUMBER.judge(55.0, 50.0).right
    assert not NUMBER.judge(61.0, 50.0).right
    assert "off by 11 %" in NUMBER.judge(61.0, 50.0).says


def test_a_factor_counts_the_same_both_ways():
    assert FACTOR.judge(10.0, 20.0).right and FACTOR.judge(20.0, 10.0).right
    assert not FACTOR.judge(10.0, 21.0).right


def test_several_options_can_be_right():
    assert CHOICE.judge(("low", "high"), "high").right
    assert not CHOICE.judge("low", "high").right
    assert not CHOICE.judge((), "high").right


def test_a_place_is_right_when_a_found_place_is_near():
    found = np.array([[133.9, -23.7], [103.0, 42.0]])
    assert PLACE.judge(found, PLACE.read("Alice Springs")).right
    assert PLACE.judge(found, PLACE.read("the Gobi desert")).right
    far = PLACE.judge(found, PLACE.read("51.5, -0.1"))
    assert not far.right and "7,254 km from 51.5° N" in far.says
    assert not PLACE.judge(np.empty((0, 2)), PLACE.read("Gobi")).right
    assert PLACE.text(PLACE.read("Lima")) == "Lima, Peru"


def test_an_order_is_right_only_as_a_whole():
    assert RANKING.judge(("a", "b", "c"), ("a", "b", "c")).right
    near = RANKING.judge(("a", "b", "c"), ("b", "a", "c"))
    assert not near.right and "2 of 3 pairs" in near.says


def test_one_patch_is_right_in_the_top_tenth_of_the_hidden_ones():
    grid = np.full((5, 5), np.nan)
    grid[:4] = np.arange(20).reshape(4, 5)
    assert ONE.judge(grid, ((3, 4),)).right
    assert ONE.judge(grid, ((3, 3),)).right
    assert not ONE.judge(grid, ((3, 2),)).right
    assert "rank 3 of 20" in ONE.judge(grid, ((3, 2),)).says
    assert "visible" in ONE.judge(grid, ((4, 0),)).says


def test_a_patch_of_another_networks_grid_is_refused():
    with pytest.raises(PredictionError, match="outside the grid"):
        ONE.judge(np.zeros((8, 8)), ((13, 13),))


def test_many_patches_are_right_when_half_of_them_are_at_the_top():
    grid = np.arange(25.0).reshape(5, 5)
    assert MANY.judge(grid, ((4, 3), (4, 4), (0, 0), (0, 1))).right
    assert not MANY.judge(grid, ((4, 4), (0, 0), (0, 1), (0, 2))).right
