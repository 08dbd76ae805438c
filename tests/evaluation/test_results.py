"""Tables of results: every number stands in a cell of its own, and a row of the CSV says what it was asked for."""

import csv
import io
from dataclasses import replace

import pytest

from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.results import Result, in_order, to_csv, to_latex

RECIPE = EvaluationRecipe("knn", "pack", "0" * 16, "mae_tiny", "1" * 64, policy="log_gsd", k=20)
FOUND = Result(RECIPE, "accuracy", 0.5, 0.4, 0.6, 12)


def other(value, metric="accuracy", **settings):
    """Another number: the recipe with other settings."""
    return replace(
        FOUND, recipe=replace(RECIPE, **settings), value=value, low=value, high=value, metric=metric
    )


def cells(latex):
    """Heads of the columns and the rows, as lists of cells."""
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
def test_numbers_of_other_protocols_metrics_limits_and_shots_have_columns_of_their_own(second, head):
    heads, rows = cells(to_latex([FOUND, second]))
    assert len(heads) == 4 and head in heads[3]
    assert rows == [["mae\\_tiny", "log\\_gsd", "0.500 [0.400, 0.600]", "0.700 [0.700, 0.700]"]]


def test_three_numbers_of_shots_are_three_cells():
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
def test_numbers_that_differ_by_any_other_setting_have_rows_of_their_own(setting):
    second = other(0.7, **setting)
    _, rows = cells(to_latex([FOUND, second, FOUND]))
    assert rows == [
        ["mae\\_tiny", "log\\_gsd", "0.500 [0.400, 0.600]"],
        ["mae\\_tiny", f"log\\_gsd, recipe {second.recipe.key[:8]}", "0.700 [0.700, 0.700]"],
    ]


def test_one_recipe_with_three_values_keeps_them_all():
    _, rows = cells(to_latex([FOUND, replace(FOUND, value=0.7), replace(FOUND, value=0.8)]))
    assert [row[2][:5] for row in rows] == ["0.500", "0.700", "0.800"]


def test_a_row_says_shots_hidden_share_and_limit():
    text = to_csv(
        [
            other(0.3, protocol="few-shot", shots=5, limit=20),
            other(20.0, protocol="reconstruction", ratio=0.75),
        ]
    )
    few, hidden = csv.DictReader(io.StringIO(text))
    assert (few["shots"], few["hidden"], few["limit"]) == ("5", "", "20")
    assert (hidden["shots"], hidden["hidden"], hidden["limit"]) == ("", "0.75", "")


def test_letters_that_latex_takes_for_its_own_are_escaped():
    text = to_latex([other(0.5, data="a{b}~c^d")])
    assert r"a\{b\}\textasciitilde{}c\textasciicircum{}d" in text


def test_limit_and_number_of_images_stand_in_the_export():
    few, many = other(0.7, limit=5), replace(other(0.8, limit=5, model="sdmae_tiny"), count=11)
    heads, rows = cells(to_latex([FOUND, few, many]))
    assert heads[2:] == ["pack 100 \\%, no limit, n = 12", "pack 100 \\%, limit 5"]
    assert rows[0][3] == "0.700 [0.700, 0.700], n = 12" and rows[1][3] == "0.800 [0.800, 0.800], n = 11"


def test_results_are_sorted_so_that_what_compares_stands_together_the_best_first():
    given = [
        other(0.2), other(0.9, data="zurich"), other(0.5, scale=0.25), other(0.8), other(0.3, protocol="probe", k=None), other(0.6, scale=0.25),
    ]  # fmt: skip
    found = [(r.recipe.data, r.recipe.protocol, r.recipe.scale, r.value) for r in in_order(given)]
    assert found == [
        ("pack", "knn", 1.0, 0.8), ("pack", "knn", 1.0, 0.2), ("pack", "knn", 0.25, 0.6), ("pack", "knn", 0.25, 0.5), ("pack", "probe", 1.0, 0.3),
        ("zurich", "knn", 1.0, 0.9),
    ]  # fmt: skip
    assert in_order(given[::-1]) == in_order(given)
