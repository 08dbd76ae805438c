"""Counting the tiles that an embedding run needs before any window takes memory."""

from __future__ import annotations

import math

from ...geo import ground
from ...geo.picture import Header, Known, native_gsd
from ...geo.sources import Source
from ...geo.sources.globe import shows_globe
from .spec import EmbeddingError, EmbeddingSpec
from .windows import count_windows

MOST_TILES = 20_000_000
"""Largest plan. More windows would not fit in memory, nor their vectors on most disks."""


class TooManyTilesError(EmbeddingError):
    """An embedding run that needs more tiles than a plan may hold."""


def distinct_gsds(gsds: tuple[float, ...]) -> tuple[float, ...]:
    """Drop repeated GSDs; two are the same if their first nine digits agree."""
    return tuple({f"{gsd:.9g}": gsd for gsd in reversed(gsds)}.values())[::-1]


def windows_needed(source: Source, key: str, stride_px: int, spec: EmbeddingSpec) -> float:
    """Estimate how many windows a picture needs at all scales of a spec together."""
    entry, picture = source.entry(key), source.opened(key)
    scales = distinct_gsds(spec.gsd_m) or (None,)
    if shows_globe(picture):
        area_m2 = 4 * math.pi * ground.MEAN_EARTH_RADIUS_M**2
        return sum(area_m2 / ((gsd or globe_gsd(picture.header)) * stride_px) ** 2 for gsd in scales)
    known = Known(spec.stated_gsd_m or entry.gsd_m)
    if native_gsd(picture.header, known) is None:  # without a native GSD there is only one scale
        scales = (None,)
    return sum(count_windows(picture.header, known, gsd, stride_px) for gsd in scales)


def globe_gsd(header: Header) -> float:
    """Return the north-south size in metres of a pixel in a picture of the whole globe."""
    return math.pi * ground.MEAN_EARTH_RADIUS_M / header.height


def require_few(count: float, most: int, what: str) -> None:
    """Raise TooManyTilesError if a count is above the limit."""
    if count > most:
        raise too_many(count, most, what)


def too_many(count: float, most: int, what: str) -> TooManyTilesError:
    """Build the error that states the count, the limit and what to change."""
    tiles = f"{count:,.0f}" if count < 1e15 else f"{count:.0e}"
    if most < MOST_TILES:
        return TooManyTilesError(
            f"{what} would make {tiles} tiles, more than the {most:,} allowed here: "
            "choose a coarser scale or a wider stride."
        )
    return TooManyTilesError(
        f"{what} would make {tiles} tiles, more than the {most:,} that one embedding run may hold: "
        "use a coarser GSD (--gsd-m) or a wider stride (--stride-px), "
        "or embed parts of it into separate tables."
    )
