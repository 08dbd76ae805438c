"""Lengths, PSNR and durations as text, in one format for pages, figures, messages and commands."""

from __future__ import annotations

import math

import numpy as np


def metres(length_m: float) -> str:
    """Format a length with three significant digits in metres or kilometres: 0.3 m, 7.42 km, 34,800 km."""
    rounded = float(f"{length_m:.3g}")
    if not math.isfinite(rounded):
        return f"{rounded:g} m"
    if abs(rounded) >= 1000:
        kilometres = rounded / 1000
        return f"{kilometres:,.0f} km" if abs(kilometres) >= 100 else f"{kilometres:g} km"
    return f"{np.format_float_positional(rounded, trim='-')} m"


def decibels(psnr: float, digits: int = 2) -> str:
    """Format a PSNR; infinite values, of pictures without error, become "exact"."""
    if math.isnan(psnr):
        return "none"
    return "exact" if math.isinf(psnr) else f"{psnr:.{digits}f} dB"


def duration(seconds: float) -> str:
    """Format a duration to about two digits: 65 s, 62 min, 3 h 20 min, 2 d 4 h."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{hours} h {rest} min" if hours < 24 else f"{hours // 24:,} d {hours % 24} h"
