"""Tables as Arrow, GeoPandas and xarray objects hold the same rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest

from core.atlas import EmbeddingTable, TableInfo, make_rows, open_table
from core.atlas.store.shards import write_shard

Rows = Callable[..., pa.Table]


@pytest.fixture
def table(rows: Rows) -> EmbeddingTable:
    """20 rows with outlines; row 3 has no usable vector."""
    made = rows(20, 8)
    vectors = np.stack(made["embedding"].to_numpy(zero_copy_only=False)).astype(np.float32)
    vectors[3] = np.nan
    names = [name for name in made.column_names if name != "embedding"]
    return EmbeddingTable.from_rows(make_rows(vectors, {name: made[name].combine_chunks() for name in names}))


def test_geopandas_holds_outlines_and_vectors(table: EmbeddingTable) -> None:
    frame = table.to_geopandas()
    assert frame.crs.to_epsg() == 4326
    assert len(frame) == len(table)
    inside = frame.geometry.representative_point()
    np.testing.assert_allclose(inside.y, table.lonlat[:, 1], atol=0.6)
    assert frame.embedding[3] is None
    np.testing.assert_array_equal(np.stack(frame.embedding.drop(3)), np.delete(table.vectors, 3, axis=0))


def test_rows_without_an_outline_become_points_and_without_a_place_nothing() -> None:
    vectors = np.eye(3, dtype=np.float32)
    made = make_rows(vectors, {"centre_lon": [10.0, 20.0, None], "centre_lat": [1.0, 2.0, None]})
    table = EmbeddingTable.from_rows(made)
    for shapes in (table.to_geopandas().geometry, gpd.GeoDataFrame.from_arrow(table.to_arrow()).geometry):
        assert [(point.x, point.y) for point in shapes[:2]] == [(10.0, 1.0), (20.0, 2.0)]
        assert shapes[2] is None


def test_lonboard_draws_a_table(table: EmbeddingTable) -> None:
    """With the line of docs/how-to/notebooks.md: outlines, points, and rows without a place."""
    lonboard = pytest.importorskip(
        "lonboard", reason="no lonboard: pip install lonboard in an environment of its own"
    )
    places = {"centre_lon": [10.0, 20.0, None], "centre_lat": [1.0, 2.0, None]}
    points = EmbeddingTable.from_rows(make_rows(np.eye(3, dtype=np.float32), places))
    for each, kind, count in ((table, "PolygonLayer", 20), (points, "ScatterplotLayer", 2)):
        [layer] = lonboard.viz(each.to_geopandas()[["geometry", "gsd_m"]]).layers
        assert type(layer).__name__ == kind
        assert layer.table.num_rows == count
        assert set(layer.table.schema.names) == {"gsd_m", "geometry"}


def test_arrow_is_read_back_by_geopandas(table: EmbeddingTable) -> None:
    whole = table.to_arrow()
    assert whole["embedding"].null_count == 1
    assert whole["embedding"].type == pa.list_(pa.float32(), 8)
    frame = gpd.GeoDataFrame.from_arrow(whole)
    assert frame.geometry.geom_equals(table.to_geopandas().geometry).all()
    assert frame.crs.to_epsg() == 4326


def test_int8_vectors_come_in_the_values_of_the_network(rows: Rows, tmp_path: Path) -> None:
    made = rows(20, 8)
    write_shard(tmp_path / "part.parquet", made, TableInfo("test", None, "cls", 8, "int8"))
    by_id = {
        row["unique_id"]: row["embedding"] for row in made.select(["unique_id", "embedding"]).to_pylist()
    }
    for row in open_table(tmp_path / "part.parquet").to_arrow().to_pylist():
        np.testing.assert_allclose(row["embedding"], by_id[row["unique_id"]], atol=0.05)


def test_xarray_holds_vectors_with_coordinates(table: EmbeddingTable) -> None:
    data = table.to_xarray()
    assert dict(data.sizes) == {"row": 20, "feature": 8}
    assert np.isnan(data.embedding.values[3]).all()
    np.testing.assert_array_equal(data.centre_lon, table.lonlat[:, 0])
    near = data.where(data.centre_lat > 0, drop=True)
    assert near.sizes["row"] == int((table.lonlat[:, 1] > 0).sum())
