"""Error maps, spreads and what the loss never saw, as panels on shared scales."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.results import Reconstruction, Spread, enlarge
from ..judge import BANDS, FILL_NAMES, Verdict, error_map, shared_scale
from ..units import decibels
from .pictures import HEAT, Panel, Pixels, Stretch, enlarge_pixels, heat, stretch_of

UNSEEN_BY_LOSS = 0.72
"""How far visible patches fade where only the hidden ones, which the loss judged, are to be looked at."""


def error_panels(
    made: Reconstruction, kind: str, channel: int | None, *, judged_only: bool = False
) -> tuple[tuple[Panel, ...], float]:
    """Error maps of combined, low and high on one scale, and the value of full colour; `judged_only` fades what the loss never saw."""
    maps = {band: error_map(made, kind, band, channel) for band in BANDS}
    hidden = {band: made.hidden if band == "low" else made.hidden_high for band in BANDS}
    full = shared_scale(list(maps.values()), list(hidden.values()))
    side = made.combined.shape[-1]
    drawn: list[Panel] = []
    for band, values in maps.items():
        pixels = heat(values, full)
        if judged_only:
            pixels = fade(pixels, ~hidden[band])
        over_hidden = float(values[hidden[band]].mean()) if hidden[band].any() else 0.0
        drawn.append(
            Panel(
                f"error-{band}",
                BANDS[band],
                f"mean over hidden {over_hidden:.4f}",
                enlarge_pixels(pixels, side),
                (0.0, full),
            )
        )
    return tuple(drawn), full


def fill_panels(made: Reconstruction, verdict: Verdict) -> tuple[Panel, ...]:
    """The model and each fill as pictures of the input's size, with their PSNR."""
    stretch = stretch_of(made)
    pasted = np.where(made.hidden, made.at_input, made.input)
    pictures = {"model": (made.recipe.model, pasted, verdict.model)}
    pictures |= {
        name: (FILL_NAMES[name], picture, verdict.fills[name]) for name, picture in verdict.pictures.items()
    }
    return tuple(
        Panel(f"fill-{name}", title, decibels(scores.psnr, 1), stretch.draw(picture))
        for name, (title, picture, scores) in pictures.items()
    )


def spread_panels(made: Reconstruction, spread: Spread) -> tuple[Panel, ...]:
    """Mean, deviation and how often each patch was hidden, over the masks so far."""
    deviation = spread.deviation
    full = max(float(np.percentile(deviation, 99)), 1e-6)
    times = enlarge(spread.times, deviation.shape[-1])
    so_far = f"{spread.done} of {spread.wanted} masks"
    return (
        Panel("spread-mean", "Mean of what was imagined", so_far, stretch_of(made).draw(spread.mean)),
        Panel("spread-deviation", "Standard deviation", f"black 0, pale {full:.3f}", heat(deviation, full)),
        Panel(
            "spread-times",
            "How often hidden",
            f"black never, pale {spread.wanted} times",
            heat(times, spread.wanted),
        ),
    )


def fade(pixels: Pixels, where: NDArray[np.bool_]) -> Pixels:
    """Pixels (h, w, 3) paled towards grey where `where` (h, w)."""
    pale = pixels.astype(np.float32)
    pale[where] = pale[where] * (1 - UNSEEN_BY_LOSS) + 128 * UNSEEN_BY_LOSS
    return pale.astype(np.uint8)


def scale_bar(full: float, words: str) -> str:
    """A legend of the maps' colours as HTML, 0 to `full`."""
    ramp = np.asarray(cv2.applyColorMap(np.linspace(0, 255, 9).astype(np.uint8)[None], HEAT))[0, :, ::-1]
    colours = ", ".join(f"rgb({r},{g},{b})" for r, g, b in ramp.tolist())
    bar = f'<span style="flex:0 1 220px;height:10px;border-radius:5px;background:linear-gradient(90deg,{colours})"></span>'
    return f'<div style="display:flex;gap:10px;align-items:center;font-size:.8rem;opacity:.85"><span>0</span>{bar}<span>{full:.3g} {words}</span></div>'


def animation(steps: Sequence[Reconstruction], *, frame_ms: int = 700) -> bytes:
    """What the network sees beside what it imagines, more hidden frame by frame, as an animated WebP that loops."""
    import io

    from PIL import Image

    from .pictures import cover

    stretch: Stretch = stretch_of(steps[0])
    frames: list[Image.Image] = []
    for made in steps:
        seen = cover(stretch.draw(made.target), made.hidden_high)
        gap = np.full((seen.shape[0], 8, 3), 255, np.uint8)
        frames.append(Image.fromarray(np.concatenate([seen, gap, stretch.draw(made.combined)], axis=1)))
    out = io.BytesIO()
    frames[0].save(
        out, "WEBP", save_all=True, append_images=frames[1:], duration=frame_ms, loop=0, quality=88, method=2
    )
    return out.getvalue()
