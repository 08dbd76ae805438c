"""Entries of a list of online rasters, with addresses stripped of signatures and tokens."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Entry


@dataclass(frozen=True)
class Listed:
    """A listed raster: its entry, and its full address including any signature."""

    entry: Entry
    address: str


def plain(address: str) -> str:
    """Return an address without query and fragment, which may contain signatures and tokens."""
    return address.partition("?")[0].partition("#")[0]
