"""Lengths and PSNR as text, in one format for pages, figures, messages and the command line."""

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
