"""Layouts of other publishers, each as a synthetic file with that product's columns."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from core.atlas import TableError, open_table

VECTORS = np.random.default_rng(0).standard_normal((4, 12)).astype(np.float32)
BOXES = [shapely.box(x, 10, x + 1, 11) for x in (0, 20, 40, 60)]
WKB = pa.array([shapely.to_wkb(b) for b in BOXES])
LISTS = pa.array(list(VECTORS))


def opened(tmp_path, columns, metadata=None, name="t.parquet"):
    table = pa.table(columns)
    pq.write_table(
        table.replace_schema_metadata({k: json.dumps(v) for k, v in (metadata or {}).items()}),
        tmp_path / name,
    )
    found = open_table(tmp_path / name)
    np.testing.assert_array_equal(found.vectors, VECTORS)
    return found


def centres(table):
    return table.lonlat[:, 0].tolist()


MAJOR_TOM = {
    "unique_id": ["a", "b", "c", "d"],
    "embedding": LISTS,
    "timestamp": ["20200808T101031"] * 4,
    "product_id": ["S2A"] * 4,
    "grid_cell": ["1U_2R"] * 4,
    "grid_row_u": pa.array([1] * 4, pa.int16()),
    "grid_col_r": pa.array([2] * 4, pa.int16()),
    "geometry": WKB,
    "centre_lat": pa.array([10.5] * 4, pa.float32()),
    "centre_lon": pa.array([0.5, 20.5, 40.5, 60.5], pa.float32()),
    "utm_footprint": ["POLYGON EMPTY"] * 4,
    "utm_crs": ["EPSG:32631"] * 4,
    "pixel_bbox": pa.array([[0, 0, 224, 224]] * 4),
}


def test_major_tom_and_its_thumbnails(tmp_path):
    table = opened(tmp_path, MAJOR_TOM)
    assert centres(table) == [0.5, 20.5, 40.5, 60.5]
    assert table.columns["source"][0].as_py() == "Major TOM"
    assert table.columns["crs"][0].as_py() == "EPSG:32631"
    assert table.columns["pixel_bbox"][0].as_py() == [0, 0, 224, 224]
    more = opened(tmp_path, MAJOR_TOM | {"parquet_url": ["u"] * 4, "parquet_row": [1] * 4})
    assert more.columns["source"][0].as_py() == "EarthEmbeddingExplorer"


def test_clay_v0_with_a_tensor_column(tmp_path):
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), (12,)), pa.FixedSizeListArray.from_arrays(VECTORS.reshape(-1), 12)
    )
    days = pa.array(pd.to_datetime(["2021-01-01"] * 4).date)
    table = opened(
        tmp_path,
        {"source_url": ["s3://x.tif"] * 4, "date": days, "embeddings": tensors, "geometry": WKB},
        name="32VLM_v01.gpq",
    )
    assert table.models == ("clay-v0",)
    assert table.columns["timestamp"][0].as_py().year == 2021
    assert table.columns["unique_id"][0].as_py() == "32VLM_v01-0"


@pytest.mark.parametrize("spread", [False, True])
def test_earth_index_old_and_new(tmp_path, spread):
    vectors = {f"d{i}": VECTORS[:, i] for i in reversed(range(12))} if spread else {"embedding": LISTS}
    emb = {"model": "softcon", "dim": 12, "quantization": None}
    table = opened(
        tmp_path,
        {"id": ["p", "q", "r", "s"], **vectors, "geometry": WKB},
        {"emb": emb, "geo": {"primary_column": "geometry"}},
    )
    assert table.models == ("softcon",)
    assert table.row_of("q") == 1
    assert centres(table) == [0.5, 20.5, 40.5, 60.5]


@pytest.mark.parametrize("name", ["embedding", "embeddings", "emb", "vector"])
@pytest.mark.parametrize(
    "column",
    [
        LISTS,
        pa.FixedSizeListArray.from_arrays(VECTORS.reshape(-1), 12),
        LISTS.cast(pa.list_(pa.float64())).cast(pa.large_list(pa.float64())),
    ],
)
def test_any_list_of_a_usual_name(tmp_path, name, column):
    table = opened(
        tmp_path,
        {
            "uuid": ["a", "b", "c", "d"],
            "other": pa.array([[1.0]] * 4),
            name: column,
            "lat": [1.0, 2, 3, 4],
            "lon": [5, 6, 7, 8],
        },
    )
    assert centres(table) == [5, 6, 7, 8]
    assert table.row_of("c") == 2


def test_many_columns_with_a_bbox_and_half_floats(tmp_path):
    box = pa.array([dict(zip(("xmin", "ymin", "xmax", "ymax"), b.bounds, strict=True)) for b in BOXES])
    table = opened(
        tmp_path,
        {"name": ["a", "b", "c", "d"], **{f"A{i:02}": VECTORS[:, i] for i in range(12)}, "bbox": box},
    )
    assert centres(table) == [0.5, 20.5, 40.5, 60.5]


def test_without_a_place_and_with_a_broken_one(tmp_path):
    table = opened(tmp_path, {"embedding": LISTS})
    assert np.isnan(table.lonlat).all()
    table = opened(
        tmp_path, {"embedding": LISTS, "geometry": pa.array([b"junk", None, *WKB[2:].to_pylist()])}
    )
    assert np.isnan(table.lonlat[:2]).all()
    assert centres(table)[2:] == [40.5, 60.5]


def test_vectors_of_two_lengths_are_refused(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0, 2.0], [1.0]]}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match="different lengths"):
        _ = open_table(tmp_path / "t.parquet").stored
