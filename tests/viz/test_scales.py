"""The axes of the Scale Lab's curves: round numbers at any range, and a flat curve without drift."""

import pytest

from core.viz.scales import drift_chart, error_chart, log_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (26, 183, [30, 50, 70, 100, 150]),
        (0.1, 300, [0.1, 1, 10, 100]),
        (13, 300, [30, 100, 300]),
        (1, 2.1, [1, 1.5, 2]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == ticks


def test_a_vector_that_hardly_moves_looks_like_one() -> None:
    still, moved = (
        drift_chart([10, 20, 40], [least, 1.0, least], "m").layout.yaxis.range for least in (0.9999, 0.3)
    )
    assert still == (0.9, 1.01) and moved[0] < 0.3


def test_a_curve_with_gaps_has_its_axis() -> None:
    figure = error_chart([26, 50, 183], {"combined": [0.1, None, 0.2]}, "m", {"own scale": 50})
    assert figure.layout.xaxis.ticktext == ("30", "50", "70", "100", "150")
