"""Pictures are loaded from this server only."""

from __future__ import annotations

import base64

import pytest
from earth_mae_components import PictureError, picture_url

PNG = b"\x89PNG\r\n\x1a\nrest"


def test_bytes_become_a_data_url() -> None:
    head, _, body = picture_url(PNG).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == PNG
    assert picture_url(b"\xff\xd8\xff\xe0").startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("address", ["/app/static/earth.jpg", "data:image/png;base64,AAAA"])
def test_local_addresses_stay(address: str) -> None:
    assert picture_url(address) == address


INVALID = (
    "https://example.org/a.png",
    "//example.org/a.png",
    "/\\example.org/a.png",
    "a.png",
    "javascript:1",
    "data:text/html,x",
    b"<svg/>",
    b"",
)


@pytest.mark.parametrize("address", INVALID)
def test_other_addresses_and_bytes_are_refused(address: bytes | str) -> None:
    with pytest.raises(PictureError):
        picture_url(address)
