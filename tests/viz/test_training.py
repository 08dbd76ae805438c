"""Curves of training: readable whatever single steps did."""

import numpy as np
import pytest

pytest.importorskip("plotly")

from core.viz.training import loss_figure


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
    low, high = figure.layout.yaxis.range
    assert low < 0.41 and 0.9 < high < 2
    assert "up to 7.4e+03" in figure.layout.annotations[0].text
    bold = figure.data[1].y
    assert np.nanmax(bold) < 1.3, "a running median passes a spike over"


def test_an_ordinary_decline_is_shown_whole():
    figure = loss_figure({"run": rows(decline())})
    assert figure.layout.yaxis.range is None and not figure.layout.annotations


@pytest.mark.parametrize(
    "losses", [[], [1.0], [1.0, 1.0, 1.0], [float("nan")] * 3, [float("nan"), 1.0, float("inf"), 2.0]]
)
def test_few_or_odd_losses_make_a_figure(losses):
    assert loss_figure({"run": rows(losses), "none": []}).layout.height
