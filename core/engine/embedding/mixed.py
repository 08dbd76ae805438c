"""Batches of a table that were made with another device, precision, version or batch size than planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .environment import Environment


def mixed_entries(mixed: Mapping[int, Environment]) -> list[dict[str, Any]]:
    """Return the manifest's entries: first and last of consecutive batches, and how they differ."""
    entries: list[dict[str, Any]] = []
    for index in sorted(mixed):
        last = entries[-1] if entries else None
        if last and last["made_with"] == mixed[index] and last["batches"][1] == index - 1:
            last["batches"][1] = index
        else:
            entries.append({"batches": [index, index], "made_with": mixed[index]})
    return entries


def mixed_batches(manifest: Mapping[str, Any]) -> dict[int, Environment]:
    """Read the entries of a manifest; what differs from the plan, by the number of the batch."""
    return {
        index: dict(entry["made_with"])
        for entry in manifest.get("mixed", [])
        for index in range(entry["batches"][0], entry["batches"][1] + 1)
    }
