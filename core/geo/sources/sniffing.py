"""File types from content rather than names, and rasters and pictures opened accordingly."""

from __future__ import annotations

from pathlib import Path

from ..picture import Picture
from ..tile import GeoError
from .picture_file import decode_picture, decode_untrusted
from .raster import GeoTiff

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_MAGIC, JPEG_MAGIC, ZIP_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"PK\x03\x04"
MAX_PICTURE_BYTES = 512 * 2**20


def load_picture(file: Path, *, untrusted: bool = False) -> Picture:
    """Open a local raster or picture whose path has been checked; raises GeoError if it is neither.

    An `untrusted` file is decoded in a child process.
    """
    with readable(file).open("rb") as stream:
        head = stream.read(64)
        if sniff(head, file.name) == "raster":
            return _checked(GeoTiff(file, file.name, untrusted=untrusted))
        if file.stat().st_size > MAX_PICTURE_BYTES:
            raise GeoError(
                f"'{file.name}' is too large for a picture: "
                "save it as a tiled GeoTIFF, which is read by window."
            )
        return (decode_untrusted if untrusted else decode_picture)(head + stream.read(), file.name)


def load_bytes(data: bytes, name: str, *, untrusted: bool = False) -> Picture:
    """Open a raster or picture from bytes, as `load_picture` does from a file."""
    if sniff(data[:64], name) == "raster":
        return _checked(GeoTiff(data, name, untrusted=untrusted))
    return (decode_untrusted if untrusted else decode_picture)(data, name)


def sniff(head: bytes, name: str) -> str:
    """Return "raster", "picture" or "zip" from the first bytes of a file.

    Raises GeoError for anything else.
    """
    if not head:
        raise GeoError(f"'{name}' is empty (0 bytes): copy or download it again.")
    if head.startswith(TIFF_MAGIC):
        return "raster"
    if head.startswith((PNG_MAGIC, JPEG_MAGIC)):
        return "picture"
    if head.startswith(ZIP_MAGIC):
        return "zip"
    if head.lstrip().startswith((b"<VRT", b"<?xml", b"<GDAL")):
        raise GeoError(
            f"'{name}' is a virtual raster that points to other files: "
            "convert it to a GeoTIFF with `gdal_translate` and open that."
        )
    raise GeoError(
        f"'{name}' is neither GeoTIFF, PNG, JPEG nor a zip pack: "
        "convert it with `gdal_translate` and open the result."
    )


def _checked(raster: GeoTiff) -> GeoTiff:
    _ = raster.header  # raises here rather than at the first tile
    return raster


def readable(file: Path) -> Path:
    """Return the path unchanged; raises GeoError if it cannot be read."""
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise GeoError(f"'{file.name}' cannot be read: check its permissions.") from error
