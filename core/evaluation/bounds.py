"""What the settings of a plan or of a recipe file may be, checked before anything is read or embedded."""

from __future__ import annotations

import math

from .errors import RecipeError

MAX_SEED = 2**32 - 1
MAX_SIZE_PX = 4096  # a side that patches still make a sequence of: 65,536 tokens of 16 px
MAX_DRAWS = 1_000  # of few-shot; answers of all draws are held at once

_WHOLE = {
    "seed": (0, MAX_SEED),
    "size_px": (1, MAX_SIZE_PX),
    "k": (1, None),
    "shots": (1, None),
    "draws": (1, MAX_DRAWS),
    "overwrite_batch": (1, None),
}
_ABOVE_0 = {"gsd_m": "metres a pixel measures on the ground, such as 0.5", "tau": "the paper's is 0.07"}
_NAMES = {
    "tau": "The temperature",
    "gsd_m": "The GSD",
    "size_px": "The size in pixels",
    "overwrite_batch": "The batch of the row-overwrite switch",
}


def check_settings(**settings: float | None) -> None:
    """Raise RecipeError for the first setting out of its bounds, in one sentence that gives them; None is not looked at.

    `seed` 0 .. 2**32 - 1, `size_px` 1 .. 4,096, `draws` 1 .. 1,000, `k`, `shots` and `overwrite_batch` from 1; `tau` and `gsd_m` above 0
    and finite.
    """
    for name, value in settings.items():
        if value is None:
            continue
        called = _NAMES.get(name, name)
        if name in _ABOVE_0:
            if not (value > 0 and math.isfinite(value)):
                raise RecipeError(f"{called} is {value:g}; choose a number above 0 ({_ABOVE_0[name]}).")
            continue
        low, high = _WHOLE[name]
        if not low <= value <= (math.inf if high is None else high):
            up_to = " or more" if high is None else f" to {high:,}"
            raise RecipeError(f"{called} is {value}; choose a whole number, {low}{up_to}.")
