"""Results recorded with the program, written by `python -m core evaluate --record`.

The page Evaluate shows them on machines without labelled sets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..files import write_atomic
from .claims import RECORDED
from .errors import RecipeError
from .results import Result
from .sealed import seal, unseal

NUMBERS = RECORDED / "numbers.json"
MAX_BYTES = 4 << 20


def read_numbers(path: Path = NUMBERS) -> tuple[Result, ...]:
    """Return the results recorded in a file, none if it does not exist. Raises RecipeError if damaged."""
    if not path.is_file():
        return ()
    try:
        return tuple(
            Result.from_json(unseal(plain)) for plain in json.loads(path.read_bytes()[:MAX_BYTES])["results"]
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise RecipeError(
            f"{path.name} cannot be read ({problem}): write it again with python -m core evaluate --record."
        ) from problem


def record_numbers(results: Sequence[Result], path: Path = NUMBERS) -> Path:
    """Add results to a file atomically.

    They replace results of the same recipe, and of other weights under the same model name.
    """
    weights = {result.recipe.model: result.recipe.weights for result in results}
    by_key = {
        r.recipe.key: r
        for r in read_numbers(path)
        if weights.get(r.recipe.model, r.recipe.weights) == r.recipe.weights
    }
    by_key |= {result.recipe.key: result for result in results}
    lines = ",\n".join(
        json.dumps(seal(result.to_json()), sort_keys=True) for result in sorted(by_key.values(), key=_order)
    )
    return write_atomic(path, f'{{"results": [\n{lines}\n]}}\n'.encode())


def _order(result: Result) -> tuple[str, str, str, str, float, str]:
    recipe = result.recipe
    return recipe.protocol, recipe.data, recipe.model, recipe.policy or "", recipe.scale, recipe.key
