"""Quantities in words: one way to write a length or a PSNR everywhere, on pages, in figures, messages and the command line."""

from __future__ import annotations

import math

import numpy as np


def metres(length_m: float) -> str:
    """Write a length to three significant digits, in metres below a kilometre and in kilometres from there on: 0.3 m, 7.42 km, 34,800 km."""
    rounded = float(f"{length_m:.3g}")
    if not math.isfinite(rounded):
        return f"{rounded:g} m"
    if abs(rounded) >= 1000:
        kilometres = rounded / 1000
        return f"{kilometres:,.0f} km" if abs(kilometres) >= 100 else f"{kilometres:g} km"
    return f"{np.format_float_positional(rounded, trim='-')} m"


def decibels(psnr: float, digits: int = 2) -> str:
    """Write a PSNR; of a picture without any error, such as the mean of flat ground, it is infinite and called exact."""
    if math.isnan(psnr):
        return "none"
    return "exact" if math.isinf(psnr) else f"{psnr:.{digits}f} dB"
