"""Tables of results: every result has its own cell, and a CSV row states its settings."""

import csv
import io
from dataclasses import replace

import pytest

from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.results import Result, in_order, to_csv, to_latex

RECIPE = EvaluationRecipe("knn", "pack", "0" * 16, "mae_tiny", "1" * 64, policy="log_gsd", k=20)
FOUND = Result(RECIPE, "accuracy", 0.5, 0.4, 0.6, 12)


def other(value, metric="accuracy", **settings):
    """Return a result of the recipe with other settings."""
    return replace(
        FOUND, recipe=replace(RECIPE, **settings), value=value, low=value, high=value, metric=metric
    )


def cells(latex):
    """Return column heads and rows as lists of cells."""
    lines = [line.removesuffix(" \\\\").split(" & ") for line in latex.splitlines() if " & " in line]
    return lines[0], lines[1:]


@pytest.mark.parametrize(
    ("second", "head"),
    [
        (other(0.7, protocol="probe", k=None), "probe"),
        (other(0.7, metric="mean_recall"), "mean\\_recall"),
        (other(0.7, limit=5), "limit 5"),
        (other(0.7, protocol="few-shot", shots=5), "few-shot, 5 shots"),
    ],
)
def test_other_protocols_metrics_limits_and_shots_have_their_own_columns(second, head):
    heads, rows = cells(to_latex([FOUND, second]))
    assert len(heads) == 4 and head in heads[3]
    assert rows == [["mae\\_tiny", "log\\_gsd", "0.500 [0.400, 0.600]", "0.700 [0.700, 0.700]"]]


def test_each_number_of_shots_has_its_own_cell():
    heads, rows = cells(
        to_latex(
            [
                other(share, protocol="few-shot", shots=shots)
                for share, shots in ((0.1, 1), (0.2, 5), (0.3, 10))
            ]
        )
    )
    assert heads[2:] == [
        f"pack 100 \\%, {shots}, no limit, n = 12" for shots in ("1 shot", "5 shots", "10 shots")
    ]
    assert [cell[:5] for cell in rows[0][2:]] == ["0.100", "0.200", "0.300"]


@pytest.mark.parametrize(
    "setting",
    [
        {"k": 5},
        {"seed": 3},
        {"weights": "2" * 64},
        {"size_px": 64},
        {"data_hash": "f" * 16},
        {"normalisation": "dataset"},
    ],
)
def test_results_that_differ_in_another_setting_have_their_own_rows(setting):
    second = other(0.7, **setting)
    _, rows = cells(to_latex([FOUND, second, FOUND]))
    assert rows == [
        ["mae\\_tiny", "log\\_gsd", "0.500 [0.400, 0.600]"],
        ["mae\\_tiny", f"log\\_gsd, recipe {second.recipe.key[:8]}", "0.700 [0.700, 0.700]"],
    ]


def test_all_values_of_one_recipe_are_kept():
    _, rows = cells(to_latex([FOUND, replace(FOUND, value=0.7), replace(FOUND, value=0.8)]))
    assert [row[2][:5] for row in rows] == ["0.500", "0.700", "0.800"]


def test_row_states_shots_mask_ratio_and_limit():
    text = to_csv(
        [
            other(0.3, protocol="few-shot", shots=5, limit=20),
            other(20.0, protocol="reconstruction", ratio=0.75),
        ]
    )
    few, hidden = csv.DictReader(io.StringIO(text))
    assert (few["shots"], few["hidden"], few["limit"]) == ("5", "", "20")
    assert (hidden["shots"], hidden["hidden"], hidden["limit"]) == ("", "0.75", "")


def test_latex_special_characters_are_escaped():
    text = to_latex([other(0.5, data="a{b}~c^d")])
    assert r"a\{b\}\textasciitilde{}c\textasciicircum{}d" in text


def test_latex_states_limit_and_number_of_images():
    few, many = other(0.7, limit=5), replace(other(0.8, limit=5, model="sdmae_tiny"), count=11)
    heads, rows = cells(to_latex([FOUND, few, many]))
    assert heads[2:] == ["pack 100 \\%, no limit, n = 12", "pack 100 \\%, limit 5"]
    assert rows[0][3] == "0.700 [0.700, 0.700], n = 12" and rows[1][3] == "0.800 [0.800, 0.800], n = 11"


def test_comparable_results_are_adjacent_the_best_first():
    given = [
        other(0.2), other(0.9, data="zurich"), other(0.5, scale=0.25), other(0.8),
        other(0.3, protocol="probe", k=None), other(0.6, scale=0.25),
    ]  # fmt: skip
    found = [(r.recipe.data, r.recipe.protocol, r.recipe.scale, r.value) for r in in_order(given)]
    assert found == [
        ("pack", "knn", 1.0, 0.8), ("pack", "knn", 1.0, 0.2), ("pack", "knn", 0.25, 0.6),
        ("pack", "knn", 0.25, 0.5), ("pack", "probe", 1.0, 0.3),
        ("zurich", "knn", 1.0, 0.9),
    ]  # fmt: skip
    assert in_order(given[::-1]) == in_order(given)
