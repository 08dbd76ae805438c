"""How many tiles a sweep needs, counted before any of its windows takes memory."""

from __future__ import annotations

import math

from ...geo.picture import Header, Known, native_gsd
from ...geo.sources import Source
from ...geo.sources.globe import shows_globe
from .spec import EmbeddingError, EmbeddingSpec
from .windows import how_many

EARTH_M2 = 5.1e14
MOST_TILES = 20_000_000
"""A plan of more windows than this is refused before they are laid: they would not fit in memory, and their vectors on few disks."""


class TooManyTilesError(EmbeddingError):
    """A sweep that needs more tiles than the plan may hold."""


def distinct_gsds(gsds: tuple[float, ...]) -> tuple[float, ...]:
    """Drop a GSD that was asked for twice; nine digits tell two apart."""
    return tuple({f"{gsd:.9g}": gsd for gsd in reversed(gsds)}.values())[::-1]


def windows_needed(source: Source, key: str, stride_px: int, spec: EmbeddingSpec) -> float:
    """Estimate how many windows a picture needs at all scales of a spec together, without laying any."""
    entry, picture = source.entry(key), source.opened(key)
    scales = distinct_gsds(spec.gsd_m) or (None,)
    if shows_globe(picture):
        return sum(EARTH_M2 / ((gsd or globe_gsd(picture.header)) * stride_px) ** 2 for gsd in scales)
    known = Known(spec.stated_gsd_m or entry.gsd_m)
    if native_gsd(picture.header, known) is None:  # scales cannot be told apart: there is one
        scales = (None,)
    return sum(how_many(picture.header, known, gsd, stride_px) for gsd in scales)


def globe_gsd(header: Header) -> float:
    """Give the metres that a pixel of a picture of the whole globe measures from north to south."""
    return math.pi * 6_371_000 / header.height


def require_few(count: float, most: int, what: str) -> None:
    """Raise TooManyTilesError where a count is above the limit."""
    if count > most:
        raise too_many(count, most, what)


def too_many(count: float, most: int, what: str) -> TooManyTilesError:
    """Build the error that names the count, the limit and a way out."""
    many = f"{count:,.0f}" if count < 1e15 else f"{count:.0e}"
    if most < MOST_TILES:
        return TooManyTilesError(
            f"{what} would make {many} tiles, more than the {most:,} allowed here: choose a coarser scale or a wider stride."
        )
    return TooManyTilesError(
        f"{what} would make {many} tiles, more than the {most:,} that one sweep may hold: "
        "feed coarser pixels (--gsd-m), take wider steps (--stride-px), or embed parts of it into tables of their own."
    )
