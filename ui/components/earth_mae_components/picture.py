"""Pictures on their way to the browser."""

from __future__ import annotations

import base64

from core.errors import ExplorerError

_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class PictureError(ExplorerError):
    """Something that is no PNG or JPEG picture and no address on this server."""


def local_address(address: str) -> str:
    """Give back an address on this server ("/..."), else raise PictureError: the app works without a network."""
    if address.startswith("/") and not address.startswith(("//", "/\\")):
        return address
    raise PictureError("This must come from this server; give a path that starts with one '/'.")


def picture_url(picture: bytes | str) -> str:
    """Give the address a browser can load: PNG or JPEG bytes become a data URL, a local address stays.

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
    raise PictureError("These bytes are neither PNG nor JPEG; save the picture as PNG first.")
