"""The folder of an embedding run: readable by other programs, damaged or not writable."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import duckdb
import geopandas as gpd
import pytest

from core.atlas import open_table
from core.atlas.store.shards import MANIFEST, OLD_MANIFEST, has_manifest, read_manifest, write_manifest
from core.engine.embedding.folder import EmbeddingFolder, ask_to_stop, run_status
from core.engine.embedding.run import embed_sources
from core.engine.embedding.spec import EmbeddingError
from core.errors import ExplorerError
from tests.engine.embedding.runs import finish, table_bytes
from tests.thorough import a_few


def test_other_programs_read_a_finished_folder(spec):
    finish(spec)
    names = {file.name for file in Path(spec.out).iterdir()}
    assert len([name for name in names if name.endswith(".parquet")]) > 1
    assert all(name.endswith(".parquet") or name[0] in "._" for name in names)
    frame = gpd.read_parquet(spec.out)
    assert (len(frame), frame.crs.to_string()) == (63, "OGC:CRS84")
    assert duckdb.sql(
        f"select count(distinct unique_id) from read_parquet('{spec.out}/*.parquet')"
    ).fetchall() == [(63,)]


def test_other_programs_read_an_unfinished_folder(spec):
    for step in embed_sources(spec):
        if step.shards:
            ask_to_stop(Path(spec.out))
            break
    assert len(gpd.read_parquet(spec.out)) > 0


def test_a_table_with_the_old_manifest_name_opens(spec):
    finish(spec)
    folder = Path(spec.out)
    (folder / MANIFEST).rename(folder / OLD_MANIFEST)
    (folder / "part-00000.parquet").rename(folder / "part-00000.parquet.gone")
    assert has_manifest(folder)
    with pytest.raises(Exception, match="is missing"):  # the manifest is authoritative
        open_table(folder)
    (folder / "part-00000.parquet.gone").rename(folder / "part-00000.parquet")
    assert len(open_table(folder)) == 63
    write_manifest(folder, open_info(folder), [], {})
    assert not (folder / OLD_MANIFEST).exists()


def open_info(folder):
    from core.atlas import TableInfo

    return TableInfo(**read_manifest(folder)["emb"])


@pytest.mark.parametrize("finished", a_few([True, False], 1))
def test_a_damaged_shard_is_recomputed(spec, finished):
    finish(replace(spec, out=spec.out + "-whole"))
    if finished:
        finish(spec)
    else:
        next(step for step in embed_sources(spec) if step.shards > 1)
    shard = Path(spec.out) / "part-00001.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    steps = embed_sources(spec, resume=True)
    first = next(steps)
    assert "part-00001.parquet is missing or damaged and will be recomputed" in first.note
    assert first.done <= 63 - 24
    assert not run_status(Path(spec.out)).finished
    assert list(steps)[-1].finished
    assert table_bytes(spec.out) == table_bytes(spec.out + "-whole")


def test_an_unreadable_batch_is_recomputed(spec):
    finish(replace(spec, out=spec.out + "-whole"))
    next(step for step in embed_sources(spec) if step.done >= 16)
    pending = Path(spec.out) / "_pending"
    kept = sorted(pending.iterdir())
    kept[0].write_bytes(kept[0].read_bytes()[:50])
    kept[1].write_bytes(b"")
    (pending / "odd.safetensors").write_bytes(b"")
    (pending / "00000999.safetensors").write_bytes(b"")
    assert finish(spec, resume=True)[0].done == 8 * (len(kept) - 2)
    assert table_bytes(spec.out) == table_bytes(spec.out + "-whole")


@pytest.mark.parametrize("where", a_few(["locked", "agree", "log", "write_manifest"], 1))
def test_a_full_disk_is_reported_at_any_step(spec, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddingFolder, where, full)
        with pytest.raises(EmbeddingError, match="The disk is full"):
            list(embed_sources(spec))
    assert finish(spec, resume=True)[-1].embedded == 63


def test_a_folder_that_is_not_writable_is_refused(spec, tmp_path):
    (tmp_path / "file").write_text("")
    for out, sentence in (
        (tmp_path / "file", "file is a file: choose a folder"),
        (tmp_path / "file" / "in", "is not writable"),
        ("/proc/x", "is not writable"),
    ):
        with pytest.raises(EmbeddingError, match=sentence):
            next(embed_sources(replace(spec, out=str(out))))


@pytest.mark.parametrize("plan", a_few(["[1]", "{", '{"spec": 3}', "\xff"], 1))
def test_a_damaged_plan_is_refused(spec, plan):
    next(embed_sources(spec))
    (Path(spec.out) / "_plan.json").write_text(plan, "latin-1")
    with pytest.raises(EmbeddingError, match="plan of out is damaged"):
        next(embed_sources(spec, resume=True))
    assert run_status(Path(spec.out)) is None


@pytest.mark.parametrize(
    "change", a_few([{"more": 1}, {"file": "../part-00000.parquet"}, {"rows": "many"}], 1)
)
def test_an_invalid_manifest_is_refused(spec, change):
    finish(spec)
    path = Path(spec.out) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["shards"][0] |= change
    path.write_text(json.dumps(manifest))
    with pytest.raises(ExplorerError, match="does not understand"):
        next(embed_sources(spec, resume=True))
