"""Pictures and curves of a scale series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from ..engine.results import Bands, Reconstruction
from ..evaluation.stats.spectrum import Spectrum
from ..judge import BANDS, error_map, shared_scale
from .chart import style_chart
from .pictures import Panel, Stretch, cover, draw_residual, enlarge_pixels, gain_of, heat, stretch_of
from .theme import GRID, MODEL, SERIES, TEXT, TRUTH

MARK_PX = 16
BAND_COLOURS = dict(zip(BANDS, (SERIES[0], SERIES[1], SERIES[2]), strict=True))


@dataclass(frozen=True)
class Look:
    """Display settings shared by all rows, taken from the tile at its own scale."""

    stretch: Stretch
    gain: int
    full: float


def look_of(result: Reconstruction) -> Look:
    """Return the contrast stretch, the gain of residuals and the error with the brightest colour."""
    return Look(stretch_of(result), gain_of(result), shared_scale([error_map(result)], [result.hidden_high]))


def _visible_panel(result: Reconstruction, look: Look, key: str) -> Panel:
    pixels = cover(look.stretch.draw(result.target), result.hidden_high)
    return Panel(f"{key}-seen", "Visible patches", f"{result.recipe.hidden_share:.0%} hidden", pixels)


def row_panels(result: Reconstruction, look: Look, key: str, error: float | None) -> tuple[Panel, ...]:
    """Draw one scale: input, low, high, combined, error."""
    side, note = result.combined.shape[-1], "nothing is hidden" if error is None else f"mean {error:.4f}"
    return (
        _visible_panel(result, look, key),
        Panel(
            f"{key}-low",
            "Low frequencies",
            f"{result.low.shape[-1]} px",
            enlarge_pixels(look.stretch.draw(result.low), side),
        ),
        Panel(
            f"{key}-high",
            "High frequencies",
            f"mid-grey, × {look.gain}",
            draw_residual(result.high, look.gain),
        ),
        Panel(f"{key}-combined", "Reconstruction", f"{side} px", look.stretch.draw(result.combined)),
        Panel(f"{key}-error", "Error", note, heat(error_map(result), look.full)),
    )


def band_panels(
    result: Reconstruction, truth: Bands, predicted: Bands, look: Look, key: str
) -> tuple[Panel, ...]:
    """Draw one scale split into bands as in the paper: low band and residual, true and predicted."""
    note = f"{truth.blocks} x {truth.blocks} blocks"
    return (
        _visible_panel(result, look, key),
        Panel(f"{key}-low-true", "Low, truth", note, look.stretch.draw(truth.low)),
        Panel(f"{key}-low", "Low, predicted", note, look.stretch.draw(predicted.low)),
        Panel(
            f"{key}-high-true", "High, truth", f"× {look.gain * 2}", draw_residual(truth.high, look.gain * 2)
        ),
        Panel(
            f"{key}-high",
            "High, predicted",
            f"× {look.gain * 2}",
            draw_residual(predicted.high, look.gain * 2),
        ),
    )


def error_chart(
    x: Sequence[float],
    errors: Mapping[str, Sequence[float | None]],
    title: str,
    marks: Mapping[str, float] | None = None,
) -> go.Figure:
    """Plot the mean absolute error of each band against GSD in metres or res.

    `marks` are labelled vertical lines.
    """
    figure = go.Figure()
    for band, values in errors.items():
        figure.add_scatter(
            x=list(x),
            y=list(values),
            mode="lines+markers",
            name=BANDS[band],
            line={"color": BAND_COLOURS[band], "width": 2.4},
        )
    return _finished(figure, x, title, "mean absolute error, hidden", marks)


def drift_chart(
    x: Sequence[float], cosine: Sequence[float | None], title: str, marks: Mapping[str, float] | None = None
) -> go.Figure:
    """Plot the cosine similarity of each embedding to the one at the tile's own scale or res."""
    figure = go.Figure()
    figure.add_scatter(
        x=list(x),
        y=list(cosine),
        mode="lines+markers",
        name="cosine",
        line={"color": MODEL, "width": 2.4},
        showlegend=False,
    )
    least = min((value for value in cosine if value is not None), default=1.0)
    # A minimum range, so that noise does not look like a trend.
    figure.update_yaxes(range=[min(0.9, least - 0.02), 1.01])
    return _finished(figure, x, title, "cosine similarity to its own scale", marks)


def spectrum_chart(
    curves: Mapping[str, tuple[Spectrum, Spectrum]], ground_m: float, patch_m: float
) -> go.Figure:
    """Plot power against wavelength on the ground: truth solid, prediction dotted, one colour per scale."""
    figure = go.Figure()
    for colour, (name, (truth, predicted)) in zip(SERIES * 2, curves.items(), strict=False):
        for spectrum, dash, label in ((truth, "solid", "truth"), (predicted, "dot", "prediction")):
            figure.add_scatter(
                x=(ground_m / spectrum.cycles).tolist(),
                y=spectrum.power.tolist(),
                mode="lines",
                name=f"{name}, {label}",
                line={
                    "color": TRUTH if len(curves) == 1 and dash == "solid" else colour,
                    "dash": dash,
                    "width": 2,
                },
            )
    lengths = [ground_m / float(cycles) for pair in curves.values() for cycles in pair[0].cycles]
    figure = _finished(
        figure, lengths, "wavelength on the ground, m", "variance in the ring", {"one patch": patch_m}
    )
    figure.update_xaxes(autorange="reversed")
    figure.update_yaxes(type="log", exponentformat="power")
    return figure


def log_ticks(low: float, high: float) -> list[float]:
    """Return about three to eight round tick values for a logarithmic axis from `low` to `high`."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [float(f"{step}e{decade}") for decade in decades for step in steps]
        found = [tick for tick in found if low / 1.05 <= tick <= high * 1.05]
        if len(found) >= 3:
            break
    return found


def _finished(
    figure: go.Figure, x: Sequence[float], x_title: str, y_title: str, marks: Mapping[str, float] | None
) -> go.Figure:
    for step, (name, value) in enumerate(sorted((marks or {}).items(), key=lambda mark: mark[1])):
        figure.add_vline(x=value, line={"color": TEXT, "width": 1, "dash": "dash"})
        label: dict[str, Any] = {
            "text": name,
            "x": math.log10(value),
            "y": 1,
            "yref": "paper",
            "yshift": MARK_PX * step,
            "yanchor": "bottom",
        }
        right = bool(x) and value > math.sqrt(min(x) * max(x))
        figure.add_annotation(
            **label, showarrow=False, xanchor="right" if right else "left", font={"size": 11, "color": TEXT}
        )
    figure.update_xaxes(title=x_title, type="log", gridcolor=GRID, color=TEXT, tickangle=0)
    if x:
        ticks = log_ticks(min(x), max(x))
        figure.update_xaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    figure.update_yaxes(title=y_title, gridcolor=GRID, color=TEXT, automargin=True)
    above = MARK_PX * len(marks or {})
    margin = {"l": 10, "r": 10, "t": 10 + above, "b": 10}
    return style_chart(figure, 330 + above, {"y": -0.24, "yanchor": "top"}, margin=margin)
