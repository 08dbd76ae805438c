"""Tables that differ from their manifest, and files that would fill the memory."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio

from core.atlas import TableError, TableInfo, open_table
from core.atlas.analysis.project import ProjectionSpec, project
from core.atlas.store.append import append_rows
from core.atlas.store.integrity import _digest, decoded_bytes, require_bounded
from core.atlas.store.shards import write_table
from tests.conftest import ROOT

INFO = TableInfo("test", None, "cls", 16)


def test_any_flipped_bit_of_a_shard_is_refused(rows, tmp_path):
    write_table(tmp_path / "t", rows(n=60), INFO)
    shard = tmp_path / "t" / "part-00000.parquet"
    whole = shard.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 60).astype(int):
        shard.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(TableError, match="not the file that the manifest of t records"):
            open_table(tmp_path / "t")
    shard.write_bytes(whole)
    assert len(open_table(tmp_path / "t")) == 60


def test_a_shard_of_another_table_is_refused(rows, tmp_path):
    write_table(tmp_path / "a", rows(n=60), INFO)
    write_table(tmp_path / "b", rows(n=60, seed=1), INFO)
    shutil.copy(tmp_path / "a" / "part-00000.parquet", tmp_path / "b" / "part-00000.parquet")
    with pytest.raises(TableError, match="belongs to another table"):
        open_table(tmp_path / "b")


def test_a_shard_that_changes_after_the_table_was_opened_is_refused(rows, tmp_path):
    write_table(tmp_path / "t", rows(n=60), INFO)
    table = open_table(tmp_path / "t")
    shard = tmp_path / "t" / "part-00000.parquet"
    whole = bytearray(shard.read_bytes())
    whole[len(whole) // 2] ^= 1
    state = shard.stat()
    shard.write_bytes(whole)
    os.utime(shard, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(TableError, match="it is damaged"):
        _ = table.columns
    with pytest.raises(TableError, match="it is damaged"):
        _ = table.stored


def test_rows_are_not_added_to_a_damaged_table(rows, tmp_path):
    append_rows(tmp_path / "t", rows(n=5), INFO)
    shard = tmp_path / "t" / "part-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(TableError, match="it is damaged"):
        append_rows(tmp_path / "t", rows(n=9), INFO)


def test_a_shard_is_hashed_once(rows, tmp_path):
    write_table(tmp_path / "t", rows(n=60), INFO, shard_rows=20)
    before = _digest.cache_info().misses
    for _ in range(3):
        _ = open_table(tmp_path / "t").columns
    assert _digest.cache_info().misses == before + 3


def runs():
    """Ten million equal rows of 8 values: 40 kB on disk."""
    rows = 10_000_000
    return pa.table({f"e{n}": pa.array(np.zeros(rows, np.float32)) for n in range(8)})


def long_lists():
    """Eight rows of nine million equal values."""
    offsets = pa.array(np.arange(9, dtype=np.int64) * 9_000_000)
    return pa.table({"embedding": pa.LargeListArray.from_arrays(offsets, pa.array(np.zeros(72_000_000)))})


def words():
    """A word of a megabyte, named by every row."""
    rows = 20_000
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(rows * 8, np.float32)), 8)
    return pa.table(
        {
            "embedding": vectors,
            "name": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * 1_000_000]),
        }
    )


def prefixes():
    """Text of which every value repeats nearly all of the one before it."""
    rows = 4_000
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(rows * 8, np.float32)), 8)
    return pa.table({"embedding": vectors, "name": pa.array(["x" * 200_000 for n in range(rows)])})


OPEN = """
import resource, sys
from core.atlas import TableError, open_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    table = open_table(sys.argv[1])
    table.columns, table.stored
except TableError as refused:
    print(refused)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("make", [runs, long_lists, words, prefixes])
def test_a_small_file_cannot_fill_the_memory(make, tmp_path):
    path = tmp_path / "bomb.parquet"
    delta = (
        {"use_dictionary": False, "column_encoding": {"name": "DELTA_BYTE_ARRAY"}} if make is prefixes else {}
    )
    pq.write_table(make(), path, compression="zstd", store_schema=make is not words, **delta)
    assert path.stat().st_size < 4e6
    lines = subprocess.run(
        [sys.executable, "-c", OPEN, path], capture_output=True, text=True, cwd=ROOT, check=True, timeout=120
    ).stdout.splitlines()
    assert "bomb.parquet would take" in lines[0], lines
    assert int(lines[-1]) < 300, "megabytes"


def test_rows_without_vectors_cannot_fill_the_memory(tmp_path):
    schema = pa.schema([("embedding", pa.list_(pa.float32(), 2_000_000_000)), ("id", pa.string())])
    narrow = pa.table(
        {"embedding": pa.array([None] * 4, pa.list_(pa.float32(), 8)), "id": ["a", "b", "c", "d"]}
    )
    pq.write_table(narrow, tmp_path / "narrow.parquet")
    metadata = pq.read_metadata(tmp_path / "narrow.parquet")
    needed = decoded_bytes(metadata, schema, {"embedding", "id"})
    assert needed > 3e10
    with pytest.raises(TableError, match="would take"):
        require_bounded("narrow.parquet", needed, 2_000)


def test_tables_that_fit_alone_are_refused_where_they_do_not_together(rows, tmp_path, monkeypatch):
    for name in "ab":
        write_table(tmp_path / name, rows(n=60, seed=ord(name)), INFO)
    alone = 60 * (512 + 16 * 4)
    monkeypatch.setattr(
        "core.atlas.store.integrity.psutil.virtual_memory", lambda: type("Memory", (), {"total": 4 * alone})()
    )
    assert len(open_table(tmp_path / "a")) == 60
    with pytest.raises(TableError, match="The tables together would take"):
        open_table(tmp_path / "a", tmp_path / "b")


def test_a_kept_projection_that_unpacks_to_more_than_its_table_is_computed_again(rows, tmp_path):
    write_table(tmp_path / "t", rows(n=60), INFO)
    made = project(open_table(tmp_path / "t"), ProjectionSpec()).xy
    kept = next((tmp_path / "t" / ".derived").glob("projection-*"))
    with kept.open("wb") as stream:
        np.savez_compressed(
            stream, xy=np.zeros((60, 2), np.float32), explained=np.zeros(20_000_000, np.float32)
        )
    tracemalloc.start()
    np.testing.assert_array_equal(project(open_table(tmp_path / "t"), ProjectionSpec()).xy, made)
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()


def test_a_small_raster_of_patches_cannot_fill_the_memory(tmp_path):
    path = tmp_path / "scene.patches.tif"
    profile = {
        "driver": "GTiff",
        "width": 4000,
        "height": 4000,
        "count": 256,
        "dtype": "float32",
        "tiled": True,
        "SPARSE_OK": True,
    }
    with rasterio.open(path, "w", **profile) as file:
        file.update_tags(RECIPE=json.dumps({"model": "mae_tiny"}))
    with pytest.raises(TableError, match=r"scene\.patches\.tif would take"):
        open_table(path)
