"""The base class of image sources: keys, metadata and tiles of pictures."""

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
    """Title, kind, number of pictures, credit and licence of a source."""

    title: str
    kind: str
    count: int
    credit: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Entry:
    """What is known about a picture without opening it.

    `gsd_m` is None if only the file states it; `when` is the acquisition time (ISO 8601), if stated.
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
    """A set of pictures to read tiles from.

    Safe to share between threads; keeps the last few pictures open.
    """

    def __init__(self, name: str, info: SourceInfo) -> None:
        self.name = name
        self.info = info
        self._picture = lru_cache(maxsize=OPEN_PICTURES)(self._open)

    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all pictures in a stable order."""

    @abstractmethod
    def entry(self, key: str) -> Entry:
        """Return what is known about a picture; raises GeoError for an unknown key."""

    @abstractmethod
    def _open(self, key: str) -> Picture: ...

    def ref(self, key: str | None = None) -> TileRef:
        """Return the reference of a picture, by default the first one."""
        return TileRef(self.name, self.keys()[0] if key is None else key)

    def opened(self, key: str) -> Picture:
        """Return an open picture, to read many windows from it; raises GeoError for an unknown key."""
        self.entry(key)
        return self._picture(key)

    def header(self, key: str) -> Header:
        """Return size, bands and georeference of a picture.

        Opens the file but reads no pixels of a raster.
        """
        self.entry(key)
        return self._picture(key).header

    def native_gsd_m(self, key: str) -> float:
        """Return the scalar GSD in metres at the centre of a picture; raises GeoError if it is unknown."""
        gsd = native_gsd(self.header(key), Known(self.entry(key).gsd_m))
        if gsd is None:
            raise no_gsd()
        return math.sqrt(gsd[0] * gsd[1])

    def read(self, spec: TileSpec) -> Tile:
        """Read the tile of a spec; raises GeoError if that is not possible."""
        entry = self.entry(spec.ref.key)
        known = Known(entry.gsd_m, entry.rgb, entry.credit or self.info.credit)
        picture = self._picture(spec.ref.key)
        if shows_globe(picture) and spec.window is None:
            return cut_globe_tile(picture, spec, known)
        return cut_tile(picture, spec, known)


def missing_key(source: str, key: str) -> GeoError:
    """Return the error for an unknown key of a source."""
    return GeoError(f"'{key[:80]}' is not in {source}: choose one of the pictures that it lists.")
