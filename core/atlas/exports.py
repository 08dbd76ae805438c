"""Exports values per row: outlines as GeoJSON, GeoParquet or PMTiles, or a raster of means as COG."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from .analysis.project import colours
from .errors import TableError
from .store.frames import outlines
from .store.table import EmbeddingTable

GEOJSON_ROWS = 60_000
WIDEST_PX = 4_096
CELLS_PER_TILE = 3
DEEPEST_ZOOM = 14
SMALLEST_PX = 8
"""PMTiles end at the zoom level where a typical outline is this tall, of 256 a tile; web maps enlarge it."""
TILE_BYTES, TILE_FEATURES = 500_000, 50_000
"""Limits of one vector tile, which GDAL keeps by leaving out features."""
OWN_COLUMNS = ("unique_id", "product_id", "gsd_m", "model", "checkpoint_sha256")

Columns = Mapping[str, NDArray[Any] | Sequence[Any]]


def geojson(table: EmbeddingTable, columns: Columns, *, about: Mapping[str, Any] | None = None) -> bytes:
    """Return each placed row as a feature with its outline and columns (n,); `about` is stored beside them.

    Raises TableError if no row has a place, a column has another length, or there are over GEOJSON_ROWS rows.
    """
    shapes, placed = _outlines(table, columns)
    if len(placed) > GEOJSON_ROWS:
        raise TableError(
            f"{len(placed):,} outlines are too many for GeoJSON ({GEOJSON_ROWS:,} at most): "
            "use GeoParquet, or fewer places."
        )
    outlines = shapely.to_geojson(shapely.set_precision(shapes, 1e-6)).tolist()
    values = _attributes(table, columns, placed).to_pylist()
    features = ",\n".join(
        f'{{"type":"Feature","properties":{json.dumps(_plain(row), allow_nan=False)},"geometry":{shape}}}'
        for row, shape in zip(values, outlines, strict=True)
    )
    head = json.dumps(dict(about or {}), allow_nan=False)
    return f'{{"type":"FeatureCollection","about":{head},"features":[\n{features}\n]}}\n'.encode()


def geoparquet(table: EmbeddingTable, columns: Columns, *, about: Mapping[str, Any] | None = None) -> bytes:
    """Return each placed row as GeoParquet 1.1: outline, columns and a bbox column; raises like `geojson`."""
    import geopandas as gpd
    import pyarrow.parquet as pq

    shapes, placed = _outlines(table, columns)
    frame = gpd.GeoDataFrame(
        _attributes(table, columns, placed).to_pandas(), geometry=shapes, crs="EPSG:4326"
    )
    buffer = io.BytesIO()
    frame.to_parquet(
        buffer, index=False, compression="zstd", write_covering_bbox=True, schema_version="1.1.0"
    )
    whole = pq.read_table(pa.BufferReader(buffer.getvalue()))
    described = whole.replace_schema_metadata(
        {**(whole.schema.metadata or {}), b"about": json.dumps(dict(about or {})).encode()}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(described, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def cog(table: EmbeddingTable, columns: Columns, *, about: Mapping[str, Any] | None = None) -> bytes:
    """Return a cloud-optimised GeoTIFF: per column a float32 band, the mean of the tiles that cover a pixel.

    Degrees (EPSG:4326), NaN where no tile lies; about CELLS_PER_TILE pixels to a tile, at most WIDEST_PX
    across. Raises as `geojson` does.
    """
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy
    from rasterio.transform import from_bounds

    shapes, placed = _outlines(table, columns)
    bounds, width, height = _grid(shapes)
    transform = from_bounds(*bounds, width, height)
    bands = [
        _mean(shapes, np.asarray(values, np.float64)[placed], (height, width), transform)
        for values in columns.values()
    ]
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": width, "height": height, "count": len(bands), "dtype": "float32",
        "crs": "EPSG:4326", "transform": transform, "nodata": float("nan"),
    }  # fmt: skip
    with rasterio.Env(), MemoryFile() as plain, MemoryFile() as finished:
        with plain.open(**profile) as raster:
            raster.write(np.stack(bands))
            raster.descriptions = tuple(columns)
            raster.update_tags(ABOUT=json.dumps(dict(about or {})))
        copy(
            plain.name,
            finished.name,
            driver="COG",
            compress="deflate",
            predictor="yes",
            overview_resampling="average",
        )
        return bytes(finished.read())


def pmtiles(table: EmbeddingTable, columns: Columns, *, about: Mapping[str, Any] | None = None) -> bytes:
    """Return each placed row in vector tiles, one file that a web map reads in pieces from any file server.

    The layer "embeddings" has the columns and `colour`, by which rows with similar vectors look alike
    (`project.colours`). Rows beyond 85 degrees north or south are outside Web Mercator.
    Raises as `geojson` does.
    """
    import geopandas as gpd

    shapes, placed = _outlines(table, columns)
    red, green, blue = colours(table).T.astype(int)
    hexadecimal = [f"#{code:06x}" for code in (red << 16 | green << 8 | blue).tolist()]
    values = _attributes(table, {**columns, "colour": hexadecimal}, placed).to_pandas()
    frame = gpd.GeoDataFrame(values, geometry=shapes, crs="EPSG:4326")
    with tempfile.TemporaryDirectory(prefix="earth-mae-tiles-") as folder:
        path = Path(folder, "tiles.pmtiles")
        frame.to_file(
            path, driver="PMTiles", layer="embeddings", engine="pyogrio", NAME=table.name,
            DESCRIPTION=json.dumps(dict(about or {})), MINZOOM=0, MAXZOOM=_last_zoom(shapes),
            MAX_SIZE=TILE_BYTES, MAX_FEATURES=TILE_FEATURES,
        )  # fmt: skip
        return path.read_bytes()


def _outlines(table: EmbeddingTable, columns: Columns) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the outlines of the placed rows, and those rows; a row with only a centre becomes a point."""
    wrong = next((name for name, values in columns.items() if len(values) != len(table)), None)
    if wrong is not None:
        raise TableError(
            f"The column {wrong} has {len(columns[wrong]):,} values for {len(table):,} rows: give one each."
        )
    shapes = outlines(table)
    placed = np.flatnonzero(shapely.is_geometry(shapes))
    if not len(placed):
        raise TableError(
            f"{table.name} does not say where its rows are, so there is no map to save: "
            "save its rows as a table instead."
        )
    return shapes[placed], placed


def _attributes(table: EmbeddingTable, columns: Columns, placed: NDArray[np.int64]) -> pa.Table:
    own = table.columns.select([name for name in OWN_COLUMNS if name in table.columns.column_names])
    for name, values in columns.items():
        own = own.append_column(name, pa.array(values, from_pandas=True))
    return own.take(pa.array(placed))


def _last_zoom(shapes: NDArray[Any]) -> int:
    height = float(np.median(np.diff(shapely.bounds(shapes)[:, [1, 3]], axis=1)))
    if height <= 0:  # points
        return DEEPEST_ZOOM
    return int(np.clip(np.ceil(np.log2(360 * SMALLEST_PX / (256 * height))), 0, DEEPEST_ZOOM))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is unknown, and write numbers to six figures."""
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in row.items()
        if value is not None
    }


def _grid(shapes: NDArray[Any]) -> tuple[tuple[float, float, float, float], int, int]:
    """Choose bounds in degrees, and a width and height in pixels, for outlines."""
    west, south, east, north = (float(v) for v in shapely.total_bounds(shapes))
    heights = np.diff(shapely.bounds(shapes)[:, [1, 3]], axis=1)
    tile = float(np.median(heights)) or max(east - west, north - south, 1e-3) / 200
    step = max(tile / CELLS_PER_TILE, (east - west) / WIDEST_PX, (north - south) / WIDEST_PX, 1e-7)
    width, height = max(1, round((east - west) / step + 0.5)), max(1, round((north - south) / step + 0.5))
    return (west, north - height * step, west + width * step, north), width, height


def _mean(
    shapes: NDArray[Any], values: NDArray[np.float64], size: tuple[int, int], transform: Any
) -> NDArray[np.float32]:
    """Return, per pixel, the mean of finite values whose outlines hold its centre (points: their pixel)."""
    from rasterio.enums import MergeAlg
    from rasterio.features import rasterize

    known = np.isfinite(values)
    if not known.any():
        return np.full(size, np.nan, np.float32)

    def burn(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        pairs = zip(shapes[known].tolist(), numbers.tolist(), strict=True)
        return rasterize(
            pairs, out_shape=size, transform=transform, fill=0, merge_alg=MergeAlg.add, dtype="float32"
        )

    total, count = burn(values[known]), burn(np.ones(int(known.sum())))
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan).astype(np.float32)
