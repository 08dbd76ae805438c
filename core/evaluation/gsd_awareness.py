"""How far a network uses the GSD, in a sentence, from the recorded results of the protocol `gsd`."""

from __future__ import annotations

from collections.abc import Sequence

from .protocols.averages import signed
from .protocols.gsd import WRONG_BY
from .recorded_numbers import read_numbers
from .results import Result
from .stats.intervals import Interval

RATIO = 0.75
CLEAR_DB = 0.1
"""A smaller gain cannot be seen in a picture."""


def gsd_awareness(model: str, weights: str | None, results: Sequence[Result] | None = None) -> str:
    """Say what the right GSD gains over a wrong one, by the mean over sets if there is one.

    `results` default to those recorded with the program. "" if none is of these weights (a SHA-256).
    """
    found = [
        result
        for result in (read_numbers() if results is None else results)
        if result.recipe.protocol == "gsd"
        and (result.recipe.model, result.recipe.weights) == (model, weights)
        and result.recipe.ratio == RATIO
    ]
    if not found:
        return ""
    best = max(found, key=lambda result: result.recipe.is_mean)
    gain = signed(Interval(best.value, best.low, best.high).plain(), 2)
    verdict = (
        ("It uses the GSD" if best.value >= CLEAR_DB else "It uses the GSD, but hardly")
        if best.low > 0
        else "It makes no measurable use of the GSD"
        if best.high >= 0
        else "It does better with a wrong GSD"
    )
    return (
        f"{verdict}: the right one gains {gain} dB over one wrong by a factor of {WRONG_BY:g} "
        f"({100 * RATIO:g} % hidden, {best.recipe.data})."
    )
