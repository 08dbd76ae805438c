"""Rasters on the internet by their address, alone or as the scenes of a STAC answer; nothing is asked while online access is off."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...net import online
from ..picture import Picture
from ..tile import GeoError
from .base import Entry, Source, SourceInfo, missing_key
from .listed import Listed, plain
from .raster import GeoTiff
from .remote import RemoteFile, name_of

if TYPE_CHECKING:
    from ...net.client import Web

NAME = "online"
STAC = "stac:"
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class OnlineSource(Source):
    """Serve cloud-optimised GeoTIFFs by address, reading only the windows asked for.

    A key is an address without its query, so that no signature is ever written down or shown. The source of the catalogue lists nothing
    and opens any address that may be asked; one made of `listed` rasters serves those and no other. Opening raises OnlineError while
    online access is off or where the server does not answer well, GeoError where the answer is no cloud-optimised GeoTIFF.
    """

    def __init__(self, listed: Mapping[str, Listed] | None = None, *, asked: bool = False) -> None:
        self._listed, self._asked = dict(listed or {}), asked
        self._any = listed is None
        self._lock = threading.Lock()
        self._web: Web | None = None
        super().__init__(NAME, SourceInfo(NAME, NAME, len(self._listed)))

    def keys(self) -> tuple[str, ...]:
        """List the rasters named; none for the source that opens any."""
        return tuple(self._listed) if not self._any else ()

    def entry(self, key: str) -> Entry:
        """Describe a raster by its address; asks nobody."""
        if key in self._listed:
            return self._listed[key].entry
        if not self._any or urlsplit(key).scheme not in ("http", "https"):
            raise missing_key(
                "this list of online rasters"
                if not self._any
                else "online: a raster there is named by its https address, which",
                key,
            )
        return Entry(key, name_of(key))

    def remember(self, listed: Listed) -> None:
        """Take note of what a catalogue said about a raster: its credit, its time, and its address with a signature that is still good."""
        with self._lock:
            if len(self._listed) > 1000:
                self._listed.clear()
            if self._listed.get(listed.entry.key) != listed:
                self._listed[listed.entry.key] = listed
                self._picture.cache_clear()

    def _open(self, key: str) -> Picture:
        from ...net.client import Web

        listed = self._listed.get(key)
        with self._lock:
            self._web = self._web or Web(self._asked)
        return open_remote(self._web, listed.address if listed else key)


def open_remote(web: Web, address: str) -> GeoTiff:
    """Open a cloud-optimised GeoTIFF by address: its beginning is read now, pixels when they are asked for."""
    file = RemoteFile(web, address)
    head = file.head(512)
    if not head.startswith(TIFF_MAGIC):
        page = head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
        what = "a web page, perhaps one to sign in on" if page else "no GeoTIFF"
        raise GeoError(
            f"'{file.name}' on {urlsplit(address).hostname} is {what}: give the address of a cloud-optimised GeoTIFF itself."
        )
    picture = GeoTiff(file, file.name)
    _ = picture.header  # raises now, not at the first tile
    return picture


def from_address(address: str, gsd_m: float | None, *, asked: bool) -> OnlineSource:
    """Open an https address of a raster, or `stac:` and the address of a STAC item or of a list of them; `asked` as in `core.net.online`.

    `stac:URL#ASSET` chooses an asset, else the picture for the eye is taken. A raster is opened at once, the scenes of a list when they are
    read. Raises OnlineError and GeoError.
    """
    online.require(asked)
    if not address.lower().startswith(STAC):
        key = plain(address)
        source = OnlineSource({key: Listed(Entry(key, name_of(address), gsd_m), address)}, asked=asked)
        source.header(key)
        return source
    from ...net.client import Web
    from .scenes import read_scenes

    to, _, asset = address[len(STAC) :].partition("#")
    scenes = read_scenes(Web(asked), to)
    listed = {found.entry.key: found for found in (scene.listed(asset or None) for scene in scenes)}
    source = OnlineSource(listed, asked=asked)
    if len(listed) == 1:
        source.header(source.keys()[0])
    return source
