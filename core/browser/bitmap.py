"""A patch mask as a short URL-safe text, the same in Python and in the browser."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from ..errors import ExplorerError


class BitmapError(ExplorerError):
    """Text that is not a packed mask of the expected size."""


def encode_bitmap(mask: NDArray[np.bool_]) -> str:
    """Pack a boolean mask into base64url text without padding.

    `mask` is (rows, cols); bits go row-major, the first patch in the highest bit of the first byte,
    unused bits of the last byte are 0. A 14 x 14 mask takes 34 characters.
    """
    packed = np.packbits(np.asarray(mask, dtype=bool), axis=None)
    return base64.urlsafe_b64encode(packed.tobytes()).decode().rstrip("=")


def decode_bitmap(text: str, rows: int, cols: int) -> NDArray[np.bool_]:
    """Unpack base64url text into a boolean mask (rows, cols).

    Raises BitmapError when the text has other characters, another length, or bits set behind the last patch.
    """
    cells = rows * cols
    expected = (cells + 7) // 8
    try:
        if "=" in text:
            raise ValueError("padding")
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BitmapError(
            "The mask in the link is not valid base64url text: copy the whole link, or paint the mask again."
        ) from error
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8)).astype(bool)
    if len(packed) != expected or bits[cells:].any():
        raise BitmapError(
            f"The mask has {len(packed)} bytes, but a grid of {rows} x {cols} patches takes {expected}: "
            "choose the input size that it was painted for, or paint it again."
        )
    return bits[:cells].reshape(rows, cols)
