"""Training curves: readable despite outliers."""

import numpy as np
import pytest

pytest.importorskip("plotly")

from core.viz.training import loss_figure, tile_strip


def rows(losses):
    return [
        {"step": 10 * number, "seen": 160 * number, "loss": float(loss)} for number, loss in enumerate(losses)
    ]


def decline(count=200):
    return 0.4 + 0.8 * np.exp(-np.arange(count) / 40)


def test_one_spike_does_not_flatten_the_curve():
    losses = decline()
    losses[90] = 7400.0
    figure = loss_figure({"run": rows(losses)})
    assert figure.layout.yaxis.type == "log"
    low, high = (10**end for end in figure.layout.yaxis.range)
    assert low < 0.41 and 0.9 < high < 2
    assert "up to 7.4e+03" in figure.layout.annotations[0].text
    bold = figure.data[1].y
    assert np.nanmax(bold) < 1.3, "a running median ignores a spike"


def test_an_ordinary_decline_is_shown_whole():
    figure = loss_figure({"run": rows(decline())})
    assert figure.layout.yaxis.range is None and not figure.layout.annotations


@pytest.mark.parametrize(
    "losses", [[], [1.0], [1.0, 1.0, 1.0], [float("nan")] * 3, [float("nan"), 1.0, float("inf"), 2.0]]
)
def test_few_or_odd_losses_make_a_figure(losses):
    assert loss_figure({"run": rows(losses), "none": []}).layout.height


def test_losses_that_reach_zero_get_a_linear_axis():
    assert loss_figure({"run": rows([2.0, 1.0, -0.5])}).layout.yaxis.type is None


def test_strip_shows_the_original_and_one_prediction_a_step():
    side, columns = 32, 3
    sheets = [np.full((4 * side, columns * side, 3), 10 * step, np.uint8) for step in (1, 2)]
    sheets[0][:side, side : 2 * side] = 200
    strip = tile_strip(sheets, tile=1)
    gap = 2
    assert strip.shape == (side, 3 * side + 2 * gap, 4)
    assert [strip[5, at, 0] for at in (5, side + gap + 5, 2 * (side + gap) + 5)] == [200, 10, 20]
    assert strip[5, side, 3] == 0, "transparent between the tiles"
