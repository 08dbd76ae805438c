"""What a file is, told by its bytes and not by its name, and one raster or picture opened from them."""

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
    """Open one local raster or picture whose path has been checked; raises GeoError where its bytes are neither.

    An `untrusted` one is decoded in a child process.
    """
    with readable(file).open("rb") as stream:
        head = stream.read(64)
        if sniff(head, file.name) == "raster":
            return _checked(GeoTiff(file, file.name, untrusted=untrusted))
        if file.stat().st_size > MAX_PICTURE_BYTES:
            raise GeoError(
                f"'{file.name}' is too large for a picture: store it as a tiled GeoTIFF, which is read by window."
            )
        return (decode_untrusted if untrusted else decode_picture)(head + stream.read(), file.name)


def load_bytes(data: bytes, name: str, *, untrusted: bool = False) -> Picture:
    """Open one raster or picture from its bytes, as `load_picture` does from a file."""
    if sniff(data[:64], name) == "raster":
        return _checked(GeoTiff(data, name, untrusted=untrusted))
    return (decode_untrusted if untrusted else decode_picture)(data, name)


def sniff(head: bytes, name: str) -> str:
    """Tell "raster", "picture" or "zip" from a file's first bytes, whatever its name says; raises GeoError for the rest."""
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
            f"'{name}' is a virtual raster, a text that points at other files: turn it into a GeoTIFF with `gdal_translate` and open that."
        )
    raise GeoError(
        f"'{name}' is neither GeoTIFF, PNG, JPEG nor a zip pack: convert it with `gdal_translate` and open the result."
    )


def _checked(raster: GeoTiff) -> GeoTiff:
    _ = raster.header  # raises now, not at the first tile
    return raster


def readable(file: Path) -> Path:
    """The same path; raises GeoError where it may not be read."""
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise GeoError(f"'{file.name}' may not be read: check its permissions.") from error
