"""Online rasters by address, or as the scenes of a STAC response.

No request is made while online access is off.
"""

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
from .sniffing import TIFF_MAGIC

if TYPE_CHECKING:
    from ...net.client import Web

NAME = "online"
STAC = "stac:"


class OnlineSource(Source):
    """Cloud-optimised GeoTIFFs by address; only the requested windows are read.

    A key is an address without its query, so that signatures are never stored or shown. Without `listed`, any
    allowed address can be opened; with `listed`, only those rasters. Opening raises OnlineError while online
    access is off or if the server fails, and GeoError if the file is not a cloud-optimised GeoTIFF.
    """

    def __init__(self, listed: Mapping[str, Listed] | None = None, *, asked: bool = False) -> None:
        self._listed, self._asked = dict(listed or {}), asked
        self._any = listed is None
        self._lock = threading.Lock()
        self._web: Web | None = None
        super().__init__(NAME, SourceInfo(NAME, NAME, len(self._listed)))

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the listed rasters; none if any address can be opened."""
        return tuple(self._listed) if not self._any else ()

    def entry(self, key: str) -> Entry:
        """Return what is known about a raster; makes no request."""
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
        """Store the entry that a catalogue returned for a raster: credit, time, and the address with a
        valid signature."""
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
    """Open a cloud-optimised GeoTIFF by address: its beginning is read now, pixels when they are asked
    for."""
    file = RemoteFile(web, address)
    head = file.head(512)
    if not head.startswith(TIFF_MAGIC):
        page = head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
        what = "a web page, perhaps one to sign in on" if page else "not a GeoTIFF"
        raise GeoError(
            f"'{file.name}' on {urlsplit(address).hostname} is {what}: "
            "give the address of a cloud-optimised GeoTIFF itself."
        )
    picture = GeoTiff(file, file.name)
    _ = picture.header  # raises now, not at the first tile
    return picture


def from_address(address: str, gsd_m: float | None, *, asked: bool) -> OnlineSource:
    """Open a raster by https address, or scenes by `stac:` and the address of an item or list.

    `asked`: see `core.net.online`.

    `stac:URL#ASSET` selects an asset, by default the visual one. A single raster is opened at once, the
    scenes of a list when they are read. Raises OnlineError and GeoError.
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
    listed = {raster.entry.key: raster for raster in (scene.listed(asset or None) for scene in scenes)}
    source = OnlineSource(listed, asked=asked)
    if len(listed) == 1:
        source.header(source.keys()[0])
    return source
