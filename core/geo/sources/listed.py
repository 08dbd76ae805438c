"""What a list of online rasters says about one of them: its entry, and its address without the parts that must not be written down."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Entry


@dataclass(frozen=True)
class Listed:
    """A raster that a source lists: what is known about it, and its whole address, with a signature where it has one."""

    entry: Entry
    address: str


def plain(address: str) -> str:
    """Give an address without query and fragment, where signatures and tokens are."""
    return address.partition("?")[0].partition("#")[0]
