"""Bounds of the settings of plans and recipes, checked before any image is read."""

from __future__ import annotations

import math

from .errors import RecipeError

MAX_SEED = 2**32 - 1
MAX_SIZE_PX = 4096  # 65,536 tokens of 16 px
MAX_DRAWS = 1_000  # of few-shot, which keeps the predictions of all draws in memory

_INTEGERS = {
    "seed": (0, MAX_SEED),
    "size_px": (1, MAX_SIZE_PX),
    "k": (1, None),
    "shots": (1, None),
    "draws": (1, MAX_DRAWS),
    "steps": (1, None),
    "overwrite_batch": (1, None),
}
_POSITIVE = {"gsd_m": "metres per pixel, such as 0.5", "tau": "the paper uses 0.07"}
_NAMES = {
    "tau": "The temperature",
    "gsd_m": "The GSD",
    "size_px": "The size in pixels",
    "overwrite_batch": "The batch size of --overwrite-batch",
}


def check_settings(**settings: float | None) -> None:
    """Raise RecipeError for the first setting that is out of bounds; None is ignored.

    `seed` 0 to 2**32 - 1, `size_px` 1 to 4,096, `draws` 1 to 1,000; `k`, `shots`, `steps` and
    `overwrite_batch` at least 1; `tau` and `gsd_m` above 0 and finite.
    """
    for name, value in settings.items():
        if value is None:
            continue
        label = _NAMES.get(name, name)
        if name in _POSITIVE:
            if not (value > 0 and math.isfinite(value)):
                raise RecipeError(f"{label} is {value:g}; choose a number above 0 ({_POSITIVE[name]}).")
            continue
        low, high = _INTEGERS[name]
        if not low <= value <= (math.inf if high is None else high):
            up_to = " or more" if high is None else f" to {high:,}"
            raise RecipeError(f"{label} is {value}; choose a whole number, {low}{up_to}.")
