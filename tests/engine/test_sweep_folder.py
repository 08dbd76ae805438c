"""The folder of a sweep as others find it: other programs that read it, files in it that were damaged, places that cannot be written to."""

from pathlib import Path

import duckdb
import geopandas as gpd
import pytest

from core.atlas import open_table
from core.atlas.shards import MANIFEST, OLD_MANIFEST, has_manifest, read_manifest, write_manifest
from core.engine.sweep import ask_to_stop, sweep
from tests.engine.sweeping import finish


def test_a_finished_folder_opens_elsewhere_as_it_is(spec):
    finish(spec)
    names = {file.name for file in Path(spec.out).iterdir()}
    assert len([name for name in names if name.endswith(".parquet")]) > 1
    assert all(name.endswith(".parquet") or name[0] in "._" for name in names)
    frame = gpd.read_parquet(spec.out)
    assert (len(frame), frame.crs.to_string()) == (63, "OGC:CRS84")
    assert duckdb.sql(f"select count(distinct unique_id) from read_parquet('{spec.out}/*.parquet')").fetchall() == [(63,)]


def test_a_folder_opens_elsewhere_while_it_is_written(spec):
    for step in sweep(spec):
        if step.shards:
            ask_to_stop(Path(spec.out))
            break
    assert len(gpd.read_parquet(spec.out)) > 0


def test_a_table_of_before_still_opens(spec):
    finish(spec)
    folder = Path(spec.out)
    (folder / MANIFEST).rename(folder / OLD_MANIFEST)
    (folder / "part-00000.parquet").rename(folder / "part-00000.parquet.gone")
    assert has_manifest(folder)
    with pytest.raises(Exception, match="is missing"):  # its list of shards is believed
        open_table(folder)
    (folder / "part-00000.parquet.gone").rename(folder / "part-00000.parquet")
    assert len(open_table(folder)) == 63
    write_manifest(folder, open_info(folder), [], {})
    assert not (folder / OLD_MANIFEST).exists()


def open_info(folder):
    from core.atlas import TableInfo

    return TableInfo(**read_manifest(folder)["emb"])
