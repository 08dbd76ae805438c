"""Open a file, folder or address as a source; the type is detected from content."""

from __future__ import annotations

from pathlib import Path

from ..picture import Picture
from ..tile import GeoError, require_gsd
from .base import Entry, Source, SourceInfo, missing_key
from .folder import FolderSource
from .pack import PackSource
from .sniffing import TIFF_MAGIC, load_bytes, load_picture, readable, sniff

ADDRESSES = (
    "http://",
    "https://",
    "stac:",
    "ftp://",
    "s3://",
    "gs://",
    "/vsi",
    "zip://",
    "tar://",
    "file://",
)


class SingleSource(Source):
    """One raster or picture under its file name."""

    def __init__(self, picture: Picture, entry: Entry, kind: str, *, name: str = "file") -> None:
        super().__init__(name, SourceInfo(entry.title, kind, 1))
        self.picture, self._entry = picture, entry

    def keys(self) -> tuple[str, ...]:
        """Return the only key."""
        return (self._entry.key,)

    def entry(self, key: str) -> Entry:
        """Return what is known about the only picture."""
        if key != self._entry.key:
            raise missing_key(self.info.title, key)
        return self._entry

    def _open(self, key: str) -> Picture:
        self.entry(key)
        return self.picture


def open_source(
    path: str | Path | bytes,
    *,
    gsd_m: float | None = None,
    name: str | None = None,
    online: bool = False,
    untrusted: bool = False,
) -> Source:
    """Open a GeoTIFF/COG, a PNG or JPEG, a folder of them, or a zip pack with an index.csv.

    path: a local path, the bytes of a raster or picture (an upload), an https address of a COG, or `stac:`
    and the address of a STAC item. gsd_m: metres per pixel, for files that do not state it. name: its name in
    the catalogue. online: allow addresses; they are also allowed where online access is on
    (`core.net.online`). untrusted: decode the file in a child process with limits on time and memory, as is
    always done for bytes; folders and packs are then refused. Raises GeoError for missing, empty, damaged or
    unknown files and an invalid GSD; OnlineError for network errors or while online access is off.
    """
    require_gsd(gsd_m)
    if isinstance(path, bytes):
        return _from_bytes(path, gsd_m, Path(name or "upload").name)
    text = str(path)
    if text.lower().startswith(ADDRESSES):
        return _from_address(text, gsd_m, online)
    try:
        file = Path(path).expanduser().resolve()
        is_folder, is_file = file.is_dir(), file.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise GeoError("This path is not valid: give the path of a local file or folder.") from error
    if is_folder:
        _require_single(file, untrusted)
        return FolderSource(file, gsd_m=gsd_m, name=name)
    if not is_file:
        raise GeoError(f"There is no file '{file.name}': check the path, or give the folder that holds it.")
    with readable(file).open("rb") as stream:
        head = stream.read(64)
    kind = sniff(head, file.name)
    if kind == "zip":
        _require_single(file, untrusted)
        return PackSource(file, name=name)
    return SingleSource(
        load_picture(file, untrusted=untrusted), Entry(file.name, file.name, gsd_m), kind, name=name or "file"
    )


def _require_single(file: Path, untrusted: bool) -> None:
    """Raise GeoError for an untrusted folder or pack, whose pictures are decoded in this process."""
    if untrusted:
        raise GeoError(
            f"'{file.name}' holds several pictures: only a single file can be opened as untrusted."
        )


def _from_bytes(data: bytes, gsd_m: float | None, name: str) -> Source:
    if sniff(data[:64], name) == "zip":
        raise GeoError(f"'{name}' is a zip file: unpack it, or give its path with `--data`.")
    kind = "raster" if data.startswith(TIFF_MAGIC) else "picture"
    return SingleSource(load_bytes(data, name, untrusted=True), Entry(name, name, gsd_m), kind, name="upload")


def _from_address(address: str, gsd_m: float | None, online: bool) -> Source:
    if not address.lower().startswith(("http://", "https://", "stac:")):
        raise GeoError(
            "Only local files and, with online access switched on, https addresses can be opened: "
            "choose one of them."
        )
    from .online import from_address

    return from_address(address, gsd_m, asked=online)
