"""Lengths, decibels and durations are written in one way, whatever their size."""

import math
import re

import pytest

from core.units import decibels, duration, metres
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("length_m", "words"),
    [
        (0.3, "0.3 m"), (7420, "7.42 km"), (7420.4, "7.42 km"), (14_843, "14.8 km"), (999.4, "999 m"),
        (999.6, "1 km"), (10, "10 m"),
        (1e-5, "0.00001 m"), (33_860, "33.9 km"), (34_800_000, "34,800 km"), (123_456, "123 km"), (0, "0 m"),
    ],
)  # fmt: skip
def test_lengths_read_the_same_at_every_size(length_m, words):
    assert metres(length_m) == words


def test_lengths_that_are_not_finite_are_formatted():
    assert metres(math.inf) == "inf m" and metres(math.nan) == "nan m"


@pytest.mark.parametrize(("psnr", "words"), [(24.154, "24.15 dB"), (math.inf, "exact"), (math.nan, "none")])
def test_a_picture_without_error_is_exact(psnr, words):
    assert decibels(psnr) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (65, "65 s"),
        (3700, "62 min"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (math.inf, "an unknown time"),
    ],
)
def test_durations_have_about_two_digits(seconds, words):
    assert duration(seconds) == words


def test_no_other_code_formats_lengths():
    """Formatting lengths elsewhere is how 7.4e+03 m came to appear beside 14,800 m."""
    own = re.compile(r"\{[^{}]*:[^{}]*g\} ?k?m\b(?!²)")
    sources = [path for folder in ("core", "ui", "pages") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {f"{path.relative_to(ROOT)}: {hit}" for path in sources for hit in own.findall(path.read_text())}
    assert {
        entry for entry in found if not entry.startswith(("core/units.py", "ui/globe/globe_state.py"))
    } == set(), "use core.units.metres"
