"""A grid of tiles whose vectors follow a field, and labels of some of them as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import shapely

from core.atlas import EmbeddingTable, TableInfo, make_rows
from core.atlas.store.shards import write_table

if TYPE_CHECKING:
    import geopandas as gpd

STEP, SIDE = 0.02, 30
NAMES = np.array(["water", "forest", "urban"])


@pytest.fixture(scope="session")
def grid() -> EmbeddingTable:
    """900 tiles of 0.02 degrees around 10 E, 45 N, with noisy vectors of three classes."""
    lon, lat = lonlat().T
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((3, 24))[truth()] + generator.standard_normal((len(lon), 24))
    shapes = shapely.box(lon - STEP / 2, lat - STEP / 2, lon + STEP / 2, lat + STEP / 2)
    sides = [pa.array(side) for side in shapely.bounds(shapes).T]
    return EmbeddingTable.from_rows(
        make_rows(
            vectors.astype(np.float32),
            {
                "centre_lon": lon, "centre_lat": lat, "geometry": shapely.to_wkb(shapes).tolist(),
                "bbox": pa.StructArray.from_arrays(sides, names=["xmin", "ymin", "xmax", "ymax"]),
                "model": ["test"] * len(lon),
            },
        ),
        "grid",
    )  # fmt: skip


@pytest.fixture
def grid_table(grid: EmbeddingTable, tmp_path: Path) -> Path:
    """The tiles as a table on disk."""
    names = ("unique_id", "centre_lon", "centre_lat", "geometry", "bbox", "model")
    vectors = grid.stored.values
    rows = make_rows(vectors, {name: grid.columns[name].combine_chunks() for name in names})
    write_table(tmp_path / "table", rows, TableInfo("test", None, "vector", vectors.shape[1]))
    return tmp_path / "table"


def lonlat() -> np.ndarray:
    at = np.arange(SIDE * SIDE)
    return np.stack([10 + STEP * (at % SIDE), 45 + STEP * (at // SIDE)], axis=1)


def field() -> np.ndarray:
    lon, lat = lonlat().T
    return np.sin(8 * lon) + np.cos(9 * lat)


def truth() -> np.ndarray:
    return np.digitize(field(), [-0.5, 0.5])


def labels_frame(rows: np.ndarray, half: float = 0.8 * STEP / 2) -> gpd.GeoDataFrame:
    """Squares around tile centres with a class, a number and a region."""
    import geopandas as gpd

    lon, lat = lonlat()[rows].T
    return gpd.GeoDataFrame(
        {
            "class": NAMES[truth()[rows]],
            "height": field()[rows],
            "county": np.where(lon < 10.3, "west", "east"),
        },
        geometry=shapely.box(lon - half, lat - half, lon + half, lat + half),
        crs=4326,
    )


@pytest.fixture(scope="session")
def label_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 300 labels in each format."""
    folder = tmp_path_factory.mktemp("labels")
    rows = np.random.default_rng(1).choice(SIDE * SIDE, 300, replace=False)
    frame = labels_frame(rows)
    frame.to_file(folder / "labels.geojson")
    frame.to_crs("EPSG:32632").to_file(folder / "labels.gpkg")
    frame.to_parquet(folder / "labels.parquet")
    points = frame.drop(columns="geometry").assign(lon=lonlat()[rows, 0], lat=lonlat()[rows, 1])
    points.to_csv(folder / "labels.csv", index=False)
    return folder
