"""The recipe that training writes into a file of weights, so that the file alone identifies its network on
any machine.

Files are untrusted: only what the network computes with is read, and every value is checked.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from ...errors import ExplorerError
from ..base import MAX_GRID
from ..registry import ModelCard, families
from .clues import OWNER_NOTICE, LoadPlan
from .files import CheckpointError, CheckpointFile

ENTRY = "earth_mae_recipe"
"""The entry of a safetensors file's metadata that holds it."""

MAX_CHARACTERS = 2**16
MAX_SIDE = 4096
STATED = ("mean", "std", "default_policy", "res_range", "pooling", "input_px")


def metadata(card: ModelCard) -> dict[str, str]:
    """What a file of weights states of its network: family, sizes, normalisation, policy, pooling and
    input."""
    return {
        ENTRY: json.dumps(
            {"family": card.family, "sizes": card.sizes, **{name: getattr(card, name) for name in STATED}}
        )
    }


def stated(file: CheckpointFile) -> LoadPlan | None:
    """The load plan stored in a file; None if there is none. Raises CheckpointError if it is invalid."""
    text = file.metadata.get(ENTRY)
    if text is None:
        return None
    try:
        values = json.loads(text[:MAX_CHARACTERS])
        family = families()[values["family"]]
        sizes = {name: _size(name, value, family.defaults[name]) for name, value in values["sizes"].items()}
        card = {name: values[name] for name in STATED}
        side, patch = card["input_px"], sizes.get("patch_size", family.defaults["patch_size"])
        if not all(re.fullmatch(r"[a-z0-9_+]{1,30}", card[name]) for name in ("default_policy", "pooling")):
            raise ValueError("default_policy or pooling")
        if not isinstance(side, int) or not patch <= side <= min(MAX_SIDE, MAX_GRID * patch) or side % patch:
            raise ValueError("input_px")
        card |= {name: _numbers(card[name], 3, least) for name, least in (("mean", -math.inf), ("std", 1e-6))}
        if card["res_range"] is not None:
            card["res_range"] = _numbers(card["res_range"], 2, 1e-9)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        ExplorerError,
    ) as problem:
        raise CheckpointError(
            f"{file.path.name} describes an invalid network ({type(problem).__name__}: {problem!s:.80}): "
            "export it again where it was trained."
        ) from problem
    return LoadPlan(
        family.name,
        f"{family.name}, trained here or in another copy of this program",
        sizes,
        "not stated",
        [OWNER_NOTICE],
        card=card,
    )


def _size(name: str, value: Any, usual: Any) -> Any:
    """Return a size if its type is that of the builder's default. Raises ValueError otherwise."""
    kinds = {
        bool: (bool,),
        int: (int,),
        float: (int, float),
        str: (str,),
        tuple: (list,),
        type(None): (int, type(None)),
    }[type(usual)]
    if (
        not isinstance(value, kinds)
        or (isinstance(value, bool) and bool not in kinds)
        or len(str(value)) > 100
    ):
        raise ValueError(name)
    return value


def _numbers(values: Any, count: int, least: float) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if len(found) != count or not all(math.isfinite(value) and value >= least for value in found):
        raise ValueError(str(values)[:60])
    return found
