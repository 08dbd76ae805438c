"""Tables on disk: readable by other programs, ordered, deterministic, and never half-written."""

import hashlib
import json
from pathlib import Path

import duckdb
import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from core.atlas import TableError, TableInfo, make_rows, open_table
from core.atlas.store.grid import grid_cells
from core.atlas.store.outline import outline_of_footprint, outline_of_ring
from core.atlas.store.shards import hilbert_order, write_shard, write_table
from core.geo import Footprint

INFO = TableInfo("test", "ab" * 32, "cls", 16)


def bytes_of(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def test_the_same_rows_give_the_same_bytes(rows, tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / name, rows(), INFO, shard_rows=90)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert len(bytes_of(tmp_path / "a")) == 4


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_other_programs_open_it(rows, tmp_path, precision):
    write_table(tmp_path / "t", rows(), TableInfo("test", None, "cls", 16, precision))
    frame = gpd.read_parquet(tmp_path / "t" / "part-00000.parquet")
    assert frame.crs.equals("OGC:CRS84")
    assert set(frame.geometry.geom_type) <= {"Polygon", "MultiPolygon"}
    near = gpd.read_parquet(tmp_path / "t" / "part-00000.parquet", bbox=(0, 0, 60, 60))
    assert 0 < len(near) < len(frame)
    count, width = duckdb.sql(
        f"SELECT count(*), max(len(embedding)) FROM '{tmp_path}/t/*.parquet'"
    ).fetchall()[0]
    assert (count, width) == (200, 16)


def test_geo_and_emb_metadata(rows, tmp_path):
    record = write_shard(
        tmp_path / "s.parquet", rows(), TableInfo("test", "ab" * 32, "mean", 16, "int8", ("samples",))
    )
    file = pq.ParquetFile(tmp_path / "s.parquet")
    geo = json.loads(file.metadata.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    emb = json.loads(file.metadata.metadata[b"emb"])
    assert (emb["model"], emb["pooling"], emb["dimensions"], emb["data_type"]) == ("test", "mean", 16, "int8")
    assert emb["quantization"]["scale"] == pytest.approx(
        file.read(["embedding_scale"])["embedding_scale"][0].as_py()
    )
    assert {file.metadata.row_group(0).column(i).compression for i in range(file.metadata.num_columns)} == {
        "ZSTD"
    }
    assert record.sha256 == hashlib.sha256((tmp_path / "s.parquet").read_bytes()).hexdigest()


@pytest.mark.parametrize(("precision", "worst"), [("float32", 0.0), ("float16", 2e-3), ("int8", 0.02)])
def test_vectors_come_back(rows, tmp_path, precision, worst):
    original = rows()
    write_table(tmp_path / "t", original, TableInfo("test", None, "cls", 16, precision), shard_rows=70)
    table = open_table(tmp_path / "t")
    truth = np.stack(original["embedding"].to_pylist())
    at = [table.row_of(f"{i:09d}") for i in range(200)]
    assert np.abs(table.vectors[at] - truth).max() <= worst
    np.testing.assert_array_equal(table.vectors_of(at[:5]), table.vectors[at[:5]])


def test_rows_are_in_hilbert_order(rows):
    original = rows(n=500)
    lon, lat = (original[name].to_numpy() for name in ("centre_lon", "centre_lat"))
    order = hilbert_order(original)
    assert sorted(order) == list(range(500))
    steps = [np.hypot(np.diff(lon[o]), np.diff(lat[o])).mean() for o in (order, np.arange(500))]
    assert steps[0] < 0.2 * steps[1]


def test_a_table_is_never_written_over(rows, tmp_path):
    write_table(tmp_path / "t", rows(), INFO)
    with pytest.raises(TableError, match="already holds a table"):
        write_table(tmp_path / "t", rows(), INFO)


def test_a_full_disk_leaves_the_old_shard(rows, tmp_path, monkeypatch):
    path = tmp_path / "s.parquet"
    write_shard(path, rows(), INFO)
    before = path.read_bytes()

    def full(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_shard(path, rows(seed=1), INFO)
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["s.parquet"]


def test_unknown_and_short_columns_are_refused():
    with pytest.raises(TableError, match="no column colour"):
        make_rows(np.ones((2, 4), np.float32), {"colour": ["red", "blue"]})
    with pytest.raises(TableError, match="has 1 values for 2 vectors"):
        make_rows(np.ones((2, 4), np.float32), {"model": ["m"]})


def test_outline_across_the_antimeridian_has_two_parts():
    shape = outline_of_footprint(Footprint(179, -10, -179, -8))
    assert shape.geom_type == "MultiPolygon"
    assert sorted(part.bounds for part in shape.geoms) == [(-180, -10, -179, -8), (179, -10, 180, -8)]
    assert shape.area == pytest.approx(4)
    ring = outline_of_ring(np.array([179.0, -179.0, -179.0, 179.0]), np.array([-10.0, -10, -8, -8]))
    assert shapely.equals(shape, ring)


@pytest.mark.parametrize("pole", [90, -90])
def test_outline_over_a_pole_reaches_it(pole):
    lon = np.arange(-170, 190, 20.0)
    shape = outline_of_ring(lon, np.full(len(lon), np.sign(pole) * 80.0))
    assert shapely.contains_xy(shape, 37, np.sign(pole) * 89.9)
    assert not shapely.contains_xy(shape, 37, np.sign(pole) * 70)
    assert shape.bounds[0] == -180
    assert shape.bounds[2] == 180


def test_invalid_coordinates_have_no_outline():
    assert outline_of_ring(np.array([0, np.inf, 1]), np.array([0.0, 1, 1])) is None


def test_grid_cells_are_those_of_major_tom():
    """Cells as in Major TOM: 2004 rows from (0, 0), each ring divided by its own circumference."""
    cells = grid_cells(np.array([0.01, -0.01, 0.01, np.nan]), np.array([0.01, 0.01, -0.01, 0.0]))
    assert cells.names == ["0U_0R", "0U_1L", "1D_0R", None]
    slots = np.ceil(2 * np.pi * 6378.137 * np.cos(np.radians(501 * 180 / 2004)) / 10)
    cells = grid_cells(np.array([10.0]), np.array([45.01]))
    assert cells.names == [f"501U_{int(10 * slots / 360)}R"]
