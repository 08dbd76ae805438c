"""Adding places to a table: completely or not at all, with one recipe, each place once."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.atlas import TableError, TableInfo, make_rows, open_table
from core.atlas.store import append as appending
from core.atlas.store.append import append_rows
from core.atlas.store.shards import read_manifest, write_table

INFO = TableInfo("m", "ab" * 32, "cls", 4)


def row(n, **more):
    columns = {
        "unique_id": [f"id{n}"],
        "centre_lon": [float(n)],
        "centre_lat": [1.0],
        "model": ["m"],
        "gsd_m": [10.0],
    }
    return make_rows(np.full((1, 4), n + 1, np.float32), {**columns, **more})


def test_places_are_added_once_and_read_back(tmp_path):
    for n in range(5):
        assert append_rows(tmp_path / "t", row(n), INFO) == 1
    assert append_rows(tmp_path / "t", row(3), INFO) == 0
    table = open_table(tmp_path / "t")
    assert sorted(table.columns["unique_id"].to_pylist()) == [f"id{n}" for n in range(5)]
    at = table.row_of("id3")
    np.testing.assert_array_equal(table.vectors_of([at])[0], np.full(4, 4, np.float32))
    assert table.lonlat[at].tolist() == [3.0, 1.0]
    assert len(list((tmp_path / "t").glob("*.parquet"))) == 2  # the current one, and the one before it
    assert len(read_manifest(tmp_path / "t")["shards"]) == 1


def test_a_reader_keeps_what_it_opened(tmp_path):
    append_rows(tmp_path, row(0), INFO)
    opened = open_table(tmp_path)
    append_rows(tmp_path, row(1), INFO)
    assert opened.columns["unique_id"].to_pylist() == ["id0"]
    assert opened.vectors.tolist() == [[1, 1, 1, 1]]


def test_a_full_shard_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(appending, "FULL_ROWS", 2)
    for n in range(5):
        append_rows(tmp_path, row(n), INFO)
    shards = read_manifest(tmp_path)["shards"]
    assert [shard["rows"] for shard in shards] == [2, 2, 1]
    assert len(open_table(tmp_path)) == 5


def test_a_crash_before_the_manifest_changes_nothing(tmp_path, monkeypatch):
    append_rows(tmp_path, row(0), INFO)
    renamed = os.replace

    def full(source, target):
        if "manifest" in str(target):
            raise OSError(28, "no space")
        renamed(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        append_rows(tmp_path, row(1), INFO)
    monkeypatch.undo()
    assert open_table(tmp_path).columns["unique_id"].to_pylist() == ["id0"]
    assert append_rows(tmp_path, row(1), INFO) == 1
    assert len(open_table(tmp_path)) == 2


def test_many_at_once_lose_nothing(tmp_path):
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda n: append_rows(tmp_path, row(n), INFO), range(24))) == 24
    assert len(open_table(tmp_path)) == 24


def test_another_model_and_a_table_of_a_run_are_refused(tmp_path):
    append_rows(tmp_path / "mine", row(0), INFO)
    with pytest.raises(TableError, match="another weights_sha256"):
        append_rows(tmp_path / "mine", row(1), TableInfo("m", "cd" * 32, "cls", 4))
    write_table(tmp_path / "swept", row(0), INFO)
    with pytest.raises(TableError, match="the table of an embedding run"):
        append_rows(tmp_path / "swept", row(1), INFO)
