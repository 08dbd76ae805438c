"""Error maps and spreads over many masks, as panels on shared scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..engine.results import Reconstruction, Spread, enlarge
from ..judge import BANDS, FILL_NAMES, Verdict, error_map, shared_scale
from ..units import decibels
from .pictures import Panel, Pixels, Stretch, enlarge_pixels, heat, stretch_of
from .theme import ERROR, MID_GREY, colour_map

UNSEEN_BY_LOSS = 0.72
"""How much visible patches fade when only hidden patches, which the loss covers, are of interest."""


def error_panels(
    result: Reconstruction, kind: str, channel: int | None, *, judged_only: bool = False
) -> tuple[tuple[Panel, ...], float]:
    """Draw error maps of combined, low and high on one scale; also return the value of the brightest colour.

    `judged_only` fades the visible patches, which the training loss ignores.
    """
    maps = {band: error_map(result, kind, band, channel) for band in BANDS}
    hidden = {band: result.hidden if band == "low" else result.hidden_high for band in BANDS}
    full = shared_scale(list(maps.values()), list(hidden.values()))
    side = result.combined.shape[-1]
    panels: list[Panel] = []
    for band, values in maps.items():
        pixels = heat(values, full)
        if judged_only:
            pixels = fade(pixels, ~hidden[band])
        over_hidden = float(values[hidden[band]].mean()) if hidden[band].any() else 0.0
        panels.append(
            Panel(
                f"error-{band}",
                BANDS[band],
                f"mean over hidden {over_hidden:.4f}",
                enlarge_pixels(pixels, side),
                (0.0, full),
            )
        )
    return tuple(panels), full


def fill_panels(result: Reconstruction, verdict: Verdict) -> tuple[Panel, ...]:
    """Draw the model's reconstruction and each fill at input size, with their PSNR."""
    stretch = stretch_of(result)
    pasted = np.where(result.hidden, result.at_input, result.input)
    pictures = {"model": (result.recipe.model, pasted, verdict.model)}
    pictures |= {
        name: (FILL_NAMES[name], picture, verdict.fills[name]) for name, picture in verdict.pictures.items()
    }
    return tuple(
        Panel(f"fill-{name}", title, decibels(scores.psnr, 1), stretch.draw(picture))
        for name, (title, picture, scores) in pictures.items()
    )


def spread_panels(result: Reconstruction, spread: Spread) -> tuple[Panel, ...]:
    """Draw the mean, the standard deviation and how often each patch was hidden, over the masks so far."""
    deviation = spread.deviation
    full = max(float(np.percentile(deviation, 99)), 1e-6)
    times = enlarge(spread.times, deviation.shape[-1])
    so_far = f"{spread.done} of {spread.total} masks"
    return (
        Panel("spread-mean", "Mean reconstruction", so_far, stretch_of(result).draw(spread.mean)),
        Panel("spread-deviation", "Standard deviation", f"black 0, pale {full:.3f}", heat(deviation, full)),
        Panel(
            "spread-times",
            "How often hidden",
            f"black never, pale {spread.total} times",
            heat(times, spread.total),
        ),
    )


def fade(pixels: Pixels, where: NDArray[np.bool_]) -> Pixels:
    """Fade pixels (h, w, 3) towards grey where `where` (h, w) is True."""
    pale = pixels.astype(np.float32)
    pale[where] = pale[where] * (1 - UNSEEN_BY_LOSS) + MID_GREY * UNSEEN_BY_LOSS
    return pale.astype(np.uint8)


def scale_bar(full: float, label: str) -> str:
    """Return the legend of the error colours, 0 to `full`, as HTML."""
    gradient = f"linear-gradient(90deg,{', '.join(colour_map(ERROR, 9))})"
    bar = f'<span style="flex:0 1 220px;height:10px;border-radius:5px;background:{gradient}"></span>'
    style = "display:flex;gap:10px;align-items:center;font-size:.8rem;opacity:.85"
    return f'<div style="{style}"><span>0</span>{bar}<span>{full:.3g} {label}</span></div>'


def animation(steps: Sequence[Reconstruction], *, frame_ms: int = 700) -> bytes:
    """Encode input and reconstruction side by side, one frame per step, as a looping animated WebP."""
    import io

    from PIL import Image

    from .pictures import cover

    stretch: Stretch = stretch_of(steps[0])
    frames: list[Image.Image] = []
    for result in steps:
        seen = cover(stretch.draw(result.target), result.hidden_high)
        gap = np.full((seen.shape[0], 8, 3), 255, np.uint8)
        frames.append(Image.fromarray(np.concatenate([seen, gap, stretch.draw(result.combined)], axis=1)))
    out = io.BytesIO()
    frames[0].save(
        out, "WEBP", save_all=True, append_images=frames[1:], duration=frame_ms, loop=0, quality=88, method=2
    )
    return out.getvalue()
