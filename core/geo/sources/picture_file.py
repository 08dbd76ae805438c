"""PNG and JPEG, read with Pillow after a check of their size, with an optional world file."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...untrusted import call
from ..picture import ArrayPicture
from ..tile import Affine6, GeoError
from .untrusted import LIMITS

MAX_PICTURE_PX = 64_000_000
MAX_SCANS = 200
"""Progressive JPEGs have about ten scans, and every scan costs time for all pixels."""

JPEG_START, JPEG_SCAN = b"\xff\xd8", b"\xff\xda"


def decode_picture(
    data: bytes, name: str, *, crs: str | None = None, transform: Affine6 | None = None
) -> ArrayPicture:
    """Decode PNG or JPEG bytes to red, green and blue.

    Grey and palettes are expanded, 16-bit grey is kept, and alpha becomes validity. Raises GeoError for other
    formats, damaged files, and more than 64 million pixels.
    """
    from PIL import Image

    _require_few_scans(data, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                width, height = image.size
                if width * height > MAX_PICTURE_PX:
                    raise _too_large(name, width, height)
                pixels, valid = _bands(image)
    except Image.DecompressionBombError as error:
        raise GeoError(
            f"'{name}' declares more pixels than can be read: crop it, or save it as a tiled GeoTIFF."
        ) from error
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise GeoError(
            f"'{name}' cannot be read as PNG or JPEG: it is damaged or truncated. Copy or download it again."
        ) from error
    bands = ("red", "green", "blue") if pixels.shape[0] == 3 else ("grey",)
    return ArrayPicture(pixels, valid, bands=bands, crs=crs, transform=transform)


def decode_untrusted(data: bytes, name: str) -> ArrayPicture:
    """Decode an untrusted picture like `decode_picture`, in a child process with limits on time and
    memory."""
    _require_few_scans(data, name)
    pixels, valid, bands = call(decode_plain, data, name, name=name, error=GeoError, limits=LIMITS)
    return ArrayPicture(pixels, valid, bands=tuple(bands))


def _require_few_scans(data: bytes, name: str) -> None:
    if data.startswith(JPEG_START) and data.count(JPEG_SCAN) > MAX_SCANS:
        raise GeoError(
            f"'{name}' has more than {MAX_SCANS} progressive scans: save it again as a baseline JPEG."
        )


def decode_plain(data: bytes, name: str) -> list[Any]:
    """Decode a picture to [pixels, valid, bands]; for the child process."""
    picture = decode_picture(data, name)
    return [np.ascontiguousarray(picture.pixels), picture.valid, list(picture.header.bands)]


def parse_world_file(text: str) -> Affine6 | None:
    """Parse a world file to an affine transform of outer corners; None if it does not have six numbers."""
    try:
        a, d, b, e, x, y = (float(line) for line in text.split()[:6])
    except ValueError:
        return None
    return a, b, x - a / 2 - b / 2, d, e, y - d / 2 - e / 2


def _bands(image: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return np.asarray(image)[None], None
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        values = np.asarray(image.convert("RGBA"))
        valid = values[..., 3] > 0
        return (values[..., :3] * valid[..., None]).transpose(2, 0, 1), valid
    values = np.asarray(image.convert("RGB"))
    return values.transpose(2, 0, 1), None


def _too_large(name: str, width: int, height: int) -> GeoError:
    return GeoError(
        f"'{name}' is {width:,} x {height:,} px, above the limit of {MAX_PICTURE_PX // 10**6} million "
        "pixels: crop it, or save it as a tiled GeoTIFF, which is read by window."
    )
