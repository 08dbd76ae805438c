"""What the values of a training spec must be, in sentences: every number within its range, every name
known and plain."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from ...masking import KINDS, MAX_SEED
from ...policy import POLICIES

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
"""A name becomes part of file names, so it holds no path separator and starts with a letter or digit."""

_DRAWN = tuple(name for name, kind in KINDS.items() if "cells" not in kind.uses)
_POLICIES = tuple(name for name, policy in POLICIES.items() if not policy.takes_value)

OPTIMIZERS = ("adamw", "muon")
POOLINGS, ORIENTATIONS = ("mean", "cls"), ("all", "flip", "none")

Check = tuple[str, Callable[[Any], bool], str]


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[Any], bool]:
    def within(value: Any) -> bool:
        kind = int if whole else int | float
        return (
            isinstance(value, kind)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value <= high
        )

    return within


def _each(check: Callable[[Any], bool], *, count: int | None = None, most: int = 32) -> Callable[[Any], bool]:
    def all_within(values: Any) -> bool:
        fits = isinstance(values, tuple) and (len(values) == count if count else 1 <= len(values) <= most)
        return fits and all(map(check, values))

    return all_within


def _mask_kinds(values: Any) -> bool:
    pairs = (
        isinstance(values, tuple)
        and 1 <= len(values) <= 32
        and all(isinstance(v, tuple) and len(v) == 2 for v in values)
    )
    return pairs and all(kind in _DRAWN and _number(1e-6, 1e6)(share) for kind, share in values)


def _table(values: Any) -> bool:
    return isinstance(values, tuple) and all(
        isinstance(v, tuple) and len(v) == 2 and isinstance(v[0], str) for v in values
    )


_CHECKS: tuple[Check, ...] = (
    (
        "name",
        lambda v: isinstance(v, str) and bool(NAME.fullmatch(v)),
        "must start with a letter or digit and hold only letters, digits, '.', '_' and '-' (at most 60)",
    ),
    ("steps", _number(1, 10**8, whole=True), "must be a whole number from 1 to 100,000,000"),
    (
        "data",
        lambda v: not v or _each(lambda one: isinstance(one, str))(v),
        "must be a list of names of imagery",
    ),
    ("sizes", _table, "must be a table of options, such as embed_dim = 192 under [sizes]"),
    ("objective", _table, "must be a table of options, such as log_each = true under [objective]"),
    ("sides_px", _each(_number(8, 2048, whole=True)), "must list one or more whole numbers from 8 to 2048"),
    (
        "targets_px",
        lambda v: not v or _each(_number(8, 4096, whole=True))(v),
        "must be empty or list whole numbers from 8 to 4096",
    ),
    ("side_shares", _each(_number(1e-6, 1e6)), "must list one or more numbers above 0"),
    (
        "ratios",
        _each(lambda v: _number(0, 1)(v) and 0 < v < 1),
        "must list one or more numbers between 0 and 1",
    ),
    (
        "mask_kinds",
        _mask_kinds,
        f'must list pairs such as ["random", 1.0] with a share above 0; kinds are {", ".join(_DRAWN)}',
    ),
    ("batch", _number(1, 65_536, whole=True), "must be a whole number from 1 to 65,536"),
    ("lr", lambda v: _number(0, math.inf)(v) and v > 0, "must be above 0"),
    ("encoder_rate", _number(0, 1), "must be a number from 0 to 1"),
    (
        "betas",
        _each(lambda v: _number(0, 1)(v) and v < 1, count=2),
        "must be two numbers from 0 to below 1, such as [0.9, 0.95]",
    ),
    ("weight_decay", _number(0, 100), "must be a number from 0 to 100"),
    ("warmup_steps", _number(0, 10**8, whole=True), "must be a whole number of 0 or more"),
    ("floor", _number(0, 1), "must be a number from 0 to 1"),
    ("ema", lambda v: _number(0, 1)(v) and v < 1, "must be a number from 0 to below 1"),
    ("clip", _number(0, 1e9), "must be 0 (off) or a number above 0"),
    ("seed", _number(0, MAX_SEED, whole=True), f"must be a whole number from 0 to {MAX_SEED:,}"),
    ("policy", lambda v: v in _POLICIES, f"must be one of {', '.join(_POLICIES)}"),
    ("native_factor", lambda v: _number(0, 1000)(v) and v > 0, "must be above 0, at most 1000"),
    ("coarser", lambda v: v == 0 or _number(1, 1000)(v), "must be 0 or a number of at least 1"),
    ("shuffled_bands", _number(0, 1), "must be a number from 0 to 1"),
    ("optimizer", lambda v: v in OPTIMIZERS, f"must be one of {', '.join(OPTIMIZERS)}"),
    ("checkpoint_minutes", _number(0, 1e6), "must be a number of 0 or more"),
    ("preview_every", _number(1, 10**8, whole=True), "must be a whole number of 1 or more"),
)


_FINE_TUNE_CHECKS: tuple[Check, ...] = (
    ("steps", _number(1, 10**8, whole=True), "must be a whole number from 1 to 100,000,000"),
    ("batch", _number(1, 65_536, whole=True), "must be a whole number from 1 to 65,536"),
    ("lr", lambda v: _number(0, math.inf)(v) and v > 0, "must be above 0"),
    ("layer_decay", lambda v: _number(0, 1)(v) and v > 0, "must be a number above 0, at most 1"),
    ("weight_decay", _number(0, 100), "must be a number from 0 to 100"),
    ("warmup_steps", _number(0, 10**8, whole=True), "must be a whole number of 0 or more"),
    ("label_smoothing", lambda v: _number(0, 1)(v) and v < 1, "must be a number from 0 to below 1"),
    ("pooling", lambda v: v in POOLINGS, f"must be one of {', '.join(POOLINGS)}"),
    ("drop_path", lambda v: _number(0, 1)(v) and v < 1, "must be a number from 0 to below 1"),
    ("rand_augment", _number(0, 10, whole=True), "must be a magnitude from 0 (none) to 10"),
    ("erasing", _number(0, 1), "must be a number from 0 to 1"),
    ("mixup", _number(0, 100), "must be 0 (off) or a number above 0"),
    ("cutmix", _number(0, 100), "must be 0 (off) or a number above 0"),
    ("orientations", lambda v: v in ORIENTATIONS, f"must be one of {', '.join(ORIENTATIONS)}"),
    ("seed", _number(0, MAX_SEED, whole=True), f"must be a whole number from 0 to {MAX_SEED:,}"),
)


def problems_of(spec: Any) -> list[str]:
    """What is wrong with a training spec, a clause for each value that cannot be used."""
    wrong = _unmet(spec, _CHECKS)
    if wrong:
        return wrong
    if len(spec.sides_px) != len(spec.side_shares):
        wrong.append("sides_px and side_shares must have the same length")
    if spec.targets_px and len(spec.targets_px) != len(spec.sides_px):
        wrong.append("targets_px must be empty or as long as sides_px")
    elif any(target < side for side, target in zip(spec.sides_px, spec.targets_px, strict=False)):
        wrong.append("targets_px must not be smaller than sides_px, because targets are never enlarged")
    return wrong


def problems_of_fine_tuning(spec: Any) -> list[str]:
    """What is wrong with a fine-tuning, a clause for each value that cannot be used."""
    return _unmet(spec, _FINE_TUNE_CHECKS)


def _unmet(spec: object, checks: tuple[Check, ...]) -> list[str]:
    values = [(name, sentence, fits, getattr(spec, name)) for name, fits, sentence in checks]
    return [
        f"{name} {sentence}, not {_shown(value)}" for name, sentence, fits, value in values if not fits(value)
    ]


def _shown(value: Any) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
