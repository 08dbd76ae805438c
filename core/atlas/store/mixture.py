"""Whether the rows of a table were made in one way, so that their vectors can be compared."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

RECIPE = ("model", "checkpoint_sha256", "pooling", "res_policy", "image_size", "input_res_m")
"""The columns that say how a vector was made."""


def mixture(columns: pa.Table) -> str:
    """Say in a sentence why rows with the columns RECIPE cannot be compared; empty where they can, and where there is no row.

    A policy counts where the positional code received more than one number, for it changed nothing otherwise; what a file does not say does not count.
    """
    ways: list[dict[str, Any]] = (
        columns.group_by(list(RECIPE[:-1]))
        .aggregate([("input_res_m", "min"), ("input_res_m", "max")])
        .to_pylist()
    )
    models = sorted({recipe_of(way["model"], way["checkpoint_sha256"], way["pooling"]) for way in ways})
    if len(models) > 1:
        return _sentence(f"vectors of {' and '.join(models)}", "model, checkpoint_sha256 or pooling")
    sizes = sorted({way["image_size"] for way in ways if way["image_size"] is not None})
    if len(sizes) > 1:
        return _sentence(f"vectors of pictures of {' and '.join(map(str, sizes))} px", "image_size")
    policies = sorted({way["res_policy"] for way in ways if way["res_policy"] is not None})
    received = {
        way[f"input_res_m_{end}"]
        for way in ways
        for end in ("min", "max")
        if way[f"input_res_m_{end}"] is not None
    }
    if len(policies) > 1 and len(received) > 1:
        return _sentence(f"vectors made under the policies {' and '.join(policies)}", "res_policy")
    return ""


def recipe_of(model: str | None, checkpoint_sha256: str | None, pooling: str | None) -> str:
    """Name a way of making vectors in short words, as `EmbeddingTable.models` lists them."""
    weights = f" ({checkpoint_sha256[:8]})" if checkpoint_sha256 else ""
    return f"{model or 'an unnamed model'}{weights}{f' {pooling}' if pooling else ''}"


def _sentence(what: str, columns: str) -> str:
    return f"This table mixes {what}, which cannot be compared: open them apart, or filter on {columns}."
