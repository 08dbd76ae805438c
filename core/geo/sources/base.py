"""What every source offers: names of pictures, what is known about each, and tiles cut from them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

from ..picture import Header, Known, Picture, cut_tile, native_gsd, no_gsd
from ..tile import RGB, GeoError, Tile, TileRef, TileSpec
from .globe import cut_globe_tile, shows_globe

OPEN_PICTURES = 4


@dataclass(frozen=True)
class SourceInfo:
    """Describe a source in a list: what it is, of which kind, how many pictures, whose, under which terms."""

    title: str
    kind: str
    count: int
    credit: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Entry:
    """Describe one picture of a source as far as is known without opening it.

    `gsd_m` None where the file itself knows, `when` it was taken (ISO 8601) where somebody said.
    """

    key: str
    title: str = ""
    gsd_m: float | None = None
    lonlat: tuple[float, float] | None = None
    label: str = ""
    split: str = ""
    rgb: RGB | None = None
    credit: str = ""
    licence: str = ""
    when: str = ""


class Source(ABC):
    """Give tiles of the pictures that a source holds. Safe to share between threads; keeps the last few pictures open."""

    def __init__(self, name: str, info: SourceInfo) -> None:
        self.name = name
        self.info = info
        self._picture = lru_cache(maxsize=OPEN_PICTURES)(self._open)

    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """List the pictures in a stable order."""

    @abstractmethod
    def entry(self, key: str) -> Entry:
        """Describe one picture; raises GeoError for a key that is not there."""

    @abstractmethod
    def _open(self, key: str) -> Picture: ...

    def ref(self, key: str | None = None) -> TileRef:
        """Give the reference of a picture, of the first one when no key is given."""
        return TileRef(self.name, self.keys()[0] if key is None else key)

    def opened(self, key: str) -> Picture:
        """Give an opened picture, for those who read many boxes of it; raises GeoError for a key that is not there."""
        self.entry(key)
        return self._picture(key)

    def header(self, key: str) -> Header:
        """Describe a picture's size, bands and georeference; opens the file, reads no pixels of a raster."""
        self.entry(key)
        return self._picture(key).header

    def native_gsd_m(self, key: str) -> float:
        """Give the scalar GSD in metres at a picture's middle; raises GeoError where nobody knows it."""
        found = native_gsd(self.header(key), Known(self.entry(key).gsd_m))
        if found is None:
            raise no_gsd()
        return math.sqrt(found[0] * found[1])

    def read(self, spec: TileSpec) -> Tile:
        """Cut the tile that a spec asks for; raises GeoError with a sentence when it cannot be had."""
        entry = self.entry(spec.ref.key)
        known = Known(entry.gsd_m, entry.rgb, entry.credit or self.info.credit)
        picture = self._picture(spec.ref.key)
        if shows_globe(picture) and spec.window is None:
            return cut_globe_tile(picture, spec, known)
        return cut_tile(picture, spec, known)


def missing_key(source: str, key: str) -> GeoError:
    """Build the error for a key that a source does not hold."""
    return GeoError(f"'{key[:80]}' is not in {source}: choose one of the pictures that it lists.")
