"""Tells whether the vectors of a table can be compared, or mix models, sizes or policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

RECIPE = ("model", "checkpoint_sha256", "pooling", "res_policy", "image_size", "input_res_m")
"""Columns that state how a vector was made."""


def recipes_of(columns: pa.Table) -> pa.Table:
    """Return the distinct recipes of rows, with the least and greatest `input_res_m` of each."""
    ends = [("input_res_m", "min"), ("input_res_m", "max")]
    return columns.select(list(RECIPE)).group_by(list(RECIPE[:-1])).aggregate(ends)


def join_recipes(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the distinct recipes of several tables of `recipes_of`."""
    together = pa.concat_tables(tables)
    ends = [(f"input_res_m_{end}", end) for end in ("min", "max")]
    joined = together.group_by(list(RECIPE[:-1])).aggregate(ends)
    return joined.rename_columns([*RECIPE[:-1], "input_res_m_min", "input_res_m_max"])


def mixture(found: pa.Table) -> str:
    """Explain in one sentence why rows of several recipes cannot be compared; empty if they can.

    Different policies matter only if the positional encoding received different numbers. Missing values are
    ignored.
    """
    recipes: list[dict[str, Any]] = found.to_pylist()
    names = {recipe_of(recipe["model"], recipe["checkpoint_sha256"], recipe["pooling"]) for recipe in recipes}
    models = sorted(names)
    if len(models) > 1:
        return _sentence(f"vectors of {' and '.join(models)}", "model, checkpoint_sha256 or pooling")
    sizes = sorted({recipe["image_size"] for recipe in recipes if recipe["image_size"] is not None})
    if len(sizes) > 1:
        return _sentence(f"vectors of pictures of {' and '.join(map(str, sizes))} px", "image_size")
    policies = sorted({recipe["res_policy"] for recipe in recipes if recipe["res_policy"] is not None})
    res = {
        recipe[f"input_res_m_{end}"]
        for recipe in recipes
        for end in ("min", "max")
        if recipe[f"input_res_m_{end}"] is not None
    }
    if len(policies) > 1 and len(res) > 1:
        return _sentence(f"vectors made under the policies {' and '.join(policies)}", "res_policy")
    return ""


def recipe_of(model: str | None, checkpoint_sha256: str | None, pooling: str | None) -> str:
    """Name model, weights and pooling in short, as `EmbeddingTable.models` lists them."""
    weights = f" ({checkpoint_sha256[:8]})" if checkpoint_sha256 else ""
    return f"{model or 'an unnamed model'}{weights}{f' {pooling}' if pooling else ''}"


def _sentence(what: str, columns: str) -> str:
    return f"This table mixes {what}, which cannot be compared: open them apart, or filter on {columns}."
