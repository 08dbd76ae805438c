"""Addresses of pictures for the browser."""

from __future__ import annotations

import base64

from core.errors import ExplorerError

_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class PictureError(ExplorerError):
    """Input that is neither a PNG or JPEG picture nor an address on this server."""


def local_address(address: str) -> str:
    """Return an address on this server ("/..."). Raises PictureError for any other: the app works offline."""
    if address.startswith("/") and not address.startswith(("//", "/\\")):
        return address
    raise PictureError("Pictures must come from this server: use a path that starts with a single '/'.")


def picture_url(picture: bytes | str) -> str:
    """Return an address that the browser can load: a data URL for PNG or JPEG bytes, or the local address.

    Raises PictureError for other bytes and for an address on another host.
    """
    if isinstance(picture, str):
        return (
            picture
            if picture.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
            else local_address(picture)
        )
    for magic, kind in _MAGIC.items():
        if picture.startswith(magic):
            return f"data:{kind};base64,{base64.b64encode(picture).decode()}"
    raise PictureError("The picture is neither PNG nor JPEG: save it as PNG first.")
