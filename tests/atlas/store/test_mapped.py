"""Large tables: a copy on disk that is mapped instead of loaded, with the same rows and answers."""

import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import psutil
import pyarrow as pa
import pytest

from core.atlas import TableError, TableInfo, open_table
from core.atlas.search.neighbors import nearest
from core.atlas.store import integrity, mapped, table
from core.atlas.store.mapped import FOLDER
from core.atlas.store.shards import write_manifest, write_shard, write_table
from tests.conftest import ROOT

INFO = TableInfo("test", None, "cls", 16, "int8")


@pytest.fixture
def large(monkeypatch):
    """Count every table as large."""
    monkeypatch.setattr(mapped, "MAPPED_BYTES", 0)


@pytest.mark.parametrize("precision", ["int8", "float32", "float16"])
def test_a_mapped_table_has_the_rows_and_answers_of_a_loaded_one(rows, tmp_path, monkeypatch, precision):
    info = TableInfo("test", None, "cls", 16, precision)
    vectors = rows(n=90)
    status = ["unreadable" if row == 7 else "ok" for row in range(90)]
    at = vectors.schema.get_field_index("status")
    write_table(tmp_path / "t", vectors.set_column(at, "status", pa.array(status)), info, shard_rows=20)
    loaded = open_table(tmp_path / "t")
    _ = loaded.columns, loaded.stored
    monkeypatch.setattr(mapped, "MAPPED_BYTES", 0)
    for _ in range(2):  # written, then found
        found = open_table(tmp_path / "t")
        assert found.fingerprint == loaded.fingerprint
        assert found.columns.combine_chunks().equals(loaded.columns)
        for name in ("values", "usable", "inverse_norm"):
            np.testing.assert_array_equal(getattr(found.stored, name), getattr(loaded.stored, name))
        np.testing.assert_array_equal(found.vectors, loaded.vectors)
        assert found.stored.problems == loaded.stored.problems
        assert "1 row has no vector" in found.stored.problems[0]
        assert found.models == loaded.models
        query = loaded.vectors_of([30])[0]
        assert nearest(found, query, 9).rows.tolist() == nearest(loaded, query, 9).rows.tolist()
        some = np.array([88, 3, 3, 41, 0])
        assert found.take(some).columns.equals(loaded.take(some).columns)


def test_the_copy_is_opened_without_reading_the_table(rows, tmp_path, monkeypatch, large):
    write_table(tmp_path / "t", rows(n=60), INFO, shard_rows=20)
    open_table(tmp_path / "t")
    monkeypatch.setattr(table, "open_parts", None)
    assert len(open_table(tmp_path / "t")) == 60


def test_a_table_that_changes_is_not_opened_from_its_old_copy(rows, tmp_path, large):
    write_table(tmp_path / "t", rows(n=60), INFO)
    open_table(tmp_path / "t")
    shard = tmp_path / "t" / "part-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(TableError, match="not the file that the manifest"):
        open_table(tmp_path / "t")
    shutil.rmtree(tmp_path / "t", ignore_errors=False)
    write_table(tmp_path / "t", rows(n=40), INFO)
    assert len(open_table(tmp_path / "t")) == 40


def test_a_copy_that_came_with_a_table_is_made_again(rows, tmp_path, large):
    write_table(tmp_path / "t", rows(n=60), INFO)
    expected = open_table(tmp_path / "t").vectors.copy()
    (copy,) = (tmp_path / "t" / FOLDER).glob("mapped-*")
    np.save(copy / "values.npy", np.ones((60, 16), np.int8))
    shutil.copytree(tmp_path / "t", tmp_path / "given", copy_function=shutil.copy2)
    for folder in ("t", "given"):
        np.testing.assert_array_equal(open_table(tmp_path / folder).vectors, expected)


@pytest.mark.parametrize("name", ["values.npy", "columns.arrow", "about.json", "usable.npy"])
def test_a_damaged_copy_is_made_again(rows, tmp_path, large, name):
    write_table(tmp_path / "t", rows(n=60), INFO)
    expected = open_table(tmp_path / "t").vectors.copy()
    (copy,) = (tmp_path / "t" / FOLDER).glob("mapped-*")
    (copy / name).write_bytes((copy / name).read_bytes()[:40])
    about = json.loads((copy / "about.json").read_text()) if name != "about.json" else None
    if about:  # as if the damage had been there from the start
        about["files"] = mapped._states(tmp_path / "t", copy)
        (copy / "about.json").write_text(json.dumps(about))
    np.testing.assert_array_equal(open_table(tmp_path / "t").vectors, expected)


def test_only_the_newest_copy_is_kept(rows, tmp_path, large):
    write_table(tmp_path / "t", rows(n=60), INFO)
    open_table(tmp_path / "t")
    extra = write_shard(tmp_path / "t" / "part-00001.parquet", rows(n=5, seed=1), INFO)
    write_manifest(tmp_path / "t", INFO, [*mapped.shard_records(tmp_path / "t"), extra], {"complete": True})
    assert len(open_table(tmp_path / "t")) == 65
    assert len(list((tmp_path / "t" / FOLDER).glob("mapped-*"))) == 1


def test_threads_that_open_a_table_at_once_make_one_copy(rows, tmp_path, large):
    write_table(tmp_path / "t", rows(n=60), INFO, shard_rows=10)
    lengths: list[int] = []
    threads = [
        threading.Thread(target=lambda: lengths.append(len(open_table(tmp_path / "t")))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [60] * 4
    assert len(list((tmp_path / "t" / FOLDER).glob("mapped-*"))) == 1


def test_growing_tables_and_full_disks_are_loaded_instead(rows, tmp_path, monkeypatch, large):
    write_table(tmp_path / "t", rows(n=60), INFO)
    records = mapped.shard_records(tmp_path / "t")
    monkeypatch.setattr(mapped.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    assert len(open_table(tmp_path / "t")) == 60
    monkeypatch.undo()
    monkeypatch.setattr(mapped, "MAPPED_BYTES", 0)
    write_manifest(tmp_path / "t", INFO, records, {"complete": False})
    assert len(open_table(tmp_path / "t")) == 60
    assert not (tmp_path / "t" / FOLDER).exists()


def test_without_space_a_table_beyond_memory_is_refused_with_a_way_out(rows, tmp_path, monkeypatch, large):
    write_table(tmp_path / "t", rows(n=60), INFO, shard_rows=20)
    needed = sum(part.decoded_bytes for part in table.open_parts(tmp_path / "t"))
    monkeypatch.setattr(mapped.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    monkeypatch.setattr(integrity, "MEMORY_SHARE", 0.6 * needed / psutil.virtual_memory().total)
    with pytest.raises(TableError, match=r"free .* GB of disk"):
        open_table(tmp_path / "t")


MEASURED = """
import sys
from core.atlas import open_table
from core.atlas.search.neighbors import nearest
from core.atlas.store import mapped

def mb(name):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024

mapped.MAPPED_BYTES = 0 if sys.argv[2] == "mapped" else 1e18
before, peak = mb("RssAnon"), mb("VmHWM")
table = open_table(sys.argv[1])
_ = table.columns, table.stored
grown = mb("VmHWM") - peak
nearest(table, table.vectors_of([5])[0], 10)
print(mb("RssAnon") - before, grown)
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_table_takes_memory_for_a_shard_and_not_for_the_table(rows, tmp_path):
    generator = np.random.default_rng(0)
    info = TableInfo("test", None, "cls", 1024, "float32")
    (tmp_path / "t").mkdir()
    shards = [
        write_shard(
            tmp_path / "t" / f"part-{n:05d}.parquet",
            rows(n=4_000, d=1024, seed=n, groups=64, valid_fraction=generator.random(4_000, np.float32)),
            info,
        )
        for n in range(12)
    ]
    write_manifest(tmp_path / "t", info, shards, {"complete": True})  # 197 MB of vectors

    def growth(way: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(tmp_path / "t"), way],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return [float(number) for number in done.stdout.split()]

    _, made = growth("mapped")
    opened, _ = growth("mapped")
    shutil.rmtree(tmp_path / "t" / FOLDER)
    loaded, peak = growth("loaded")
    print(f"made {made:.0f}, opened {opened:.0f}, loaded {loaded:.0f}, at most {peak:.0f} MB")
    assert opened < 60
    assert loaded > 190
    assert made < peak - 100
