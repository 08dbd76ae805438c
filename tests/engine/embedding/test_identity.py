"""Row ids are unique and the same on every machine; pictures are identified by content, not name or date."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.atlas import open_table
from core.engine.embedding.digests import PIECE_BYTES, PIECES, content_digest
from core.engine.embedding.plan import make_plan
from core.engine.embedding.run import embed_sources
from core.engine.embedding.sources import unique_names
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.geo import open_source
from tests.engine.embedding.runs import MODEL, SIDE, finish, picture, write
from tests.thorough import a_few


def columns_of(folder, *names):
    columns = open_table(folder).columns
    return tuple(columns[name].to_pylist() for name in names)


def test_rasters_of_the_same_name_get_different_labels(tmp_path):
    for number, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        write(
            tmp_path / name / "utm.tif",
            picture(64, 96),
            from_origin(500_000 + 50_000 * number, 4_600_000, 10, 10),
        )
    sources = tuple(str(tmp_path / name / "utm.tif") for name in "ab")
    finish(EmbeddingSpec(sources, str(tmp_path / "out"), MODEL, tile_px=SIDE))
    ids, products, sources_ = columns_of(tmp_path / "out", "unique_id", "product_id", "source")
    assert len(set(ids)) == len(ids) == 12
    assert set(products) == set(sources_) == {"a/utm.tif", "b/utm.tif"}
    finish(EmbeddingSpec(sources[:1], str(tmp_path / "alone"), MODEL, tile_px=SIDE))
    alone, products = columns_of(tmp_path / "alone", "unique_id", "product_id")
    assert set(products) == {"utm.tif"}
    assert set(alone) < set(ids)


def test_the_same_raster_in_another_folder_gives_the_same_ids(spec, tmp_path):
    finish(spec)
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(spec.sources[0], tmp_path / "elsewhere")
    os.utime(copy, (0, 0))
    finish(replace(spec, sources=(str(copy),), out=str(tmp_path / "again")))
    assert columns_of(spec.out, "unique_id") == columns_of(tmp_path / "again", "unique_id")
    both = replace(
        spec, sources=(*spec.sources, str(copy)), out=str(tmp_path / "both")
    )  # the same content under the same name
    finish(both)
    (ids,) = columns_of(both.out, "unique_id")
    assert len(set(ids)) == len(ids) == 126


@pytest.mark.thorough
def test_folders_of_the_same_name_get_different_labels(tmp_path):
    for year in ("2019", "2020"):
        (tmp_path / year / "img").mkdir(parents=True)
        write(tmp_path / year / "img" / "x.tif", picture(64, 64))
    sources = tuple(str(tmp_path / year / "img") for year in ("2019", "2020"))
    finish(EmbeddingSpec(sources, str(tmp_path / "out"), MODEL, tile_px=SIDE))
    ids, products, sources_ = columns_of(tmp_path / "out", "unique_id", "product_id", "source")
    assert len(set(ids)) == 8
    assert set(products) == {"x.tif"}
    assert set(sources_) == {"2019/img", "2020/img"}


def test_a_source_given_twice_is_embedded_once(spec, tmp_path):
    source = Path(spec.sources[0])
    (tmp_path / "link.tif").symlink_to(source)
    steps = finish(replace(spec, sources=(str(source), str(tmp_path / "link.tif"))))
    assert (steps[-1].embedded, "scene.tif is given 2 times and is embedded once" in steps[0].note) == (
        63,
        True,
    )
    (tmp_path / "link.tif").unlink()
    (tmp_path / "folder").mkdir()
    inside = shutil.copy(source, tmp_path / "folder")
    steps = finish(
        replace(spec, sources=(str(tmp_path / "folder"), str(inside)), out=str(tmp_path / "twice"))
    )
    assert (
        steps[-1].embedded,
        "scene.tif is given more than once and is embedded once" in steps[0].note,
    ) == (63, True)


@pytest.mark.thorough
def test_a_gsd_given_twice_is_embedded_once(spec, tmp_path):
    steps = finish(replace(spec, gsd_m=(10.0, 10.0)))
    assert steps[-1].embedded == 63
    assert finish(replace(spec, gsd_m=(10.0,)), resume=True)[0].done == 63
    small = write(tmp_path / "small.tif", picture(24, 24))
    plan = make_plan(EmbeddingSpec((small,), "out", MODEL, gsd_m=(10.0, 20.0)), SIDE)
    assert plan.count == 1  # both are its largest square


def test_other_content_of_the_same_size_is_not_resumed(spec):
    next(step for step in embed_sources(spec) if step.done)
    before = Path(spec.sources[0]).stat().st_size
    write(spec.sources[0], 255 - picture())
    assert Path(spec.sources[0]).stat().st_size == before
    with pytest.raises(EmbeddingError, match=r"the pictures have changed \(scene\.tif\)"):
        next(embed_sources(spec, resume=True))
    write(spec.sources[0], picture())
    os.utime(spec.sources[0], (0, 0))
    assert finish(spec, resume=True)[0].done > 0


def test_an_embedding_run_of_an_earlier_version_is_refused(spec):
    next(embed_sources(spec))
    plan = Path(spec.out) / "_plan.json"
    plan.write_text(plan.read_text().replace("contents_sha256", "nothing"))
    with pytest.raises(EmbeddingError, match="without recording the content"):
        next(embed_sources(spec, resume=True))


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_a_large_raster_is_identified_by_sampled_pieces(tmp_path, at):
    size = (PIECES + 10) * PIECE_BYTES
    path = tmp_path / "scene.tif"
    write(path, picture(1600, 1600, bands=3))
    assert path.stat().st_size > size
    before = content_digest(open_source(path).opened("scene.tif"))
    with rasterio.open(path, "r+") as file:
        rows = slice(int(at * 1590), int(at * 1590) + 10)
        file.write(picture(10, 1600, seed=5), window=((rows.start, rows.stop), (0, 1600)))
    assert content_digest(open_source(path).opened("scene.tif")) != before


def test_a_large_raster_that_was_modified_is_reported(tmp_path):
    scene = Path(write(tmp_path / "scene.tif", np.tile(picture(600, 640), (1, 2, 2))))
    spec = EmbeddingSpec((str(scene),), str(tmp_path / "out"), MODEL, tile_px=SIDE, gsd_m=(180.0,))
    assert "was modified after" not in "".join(step.note for step in finish(spec))
    pieces = np.linspace(0, scene.stat().st_size - PIECE_BYTES, PIECES + 2).astype(int)
    with scene.open("r+b") as stream:
        stream.seek(pieces[33] + PIECE_BYTES + 10)  # after one of those that are compared
        stream.write(bytes(100))
    assert "was modified after" in finish(spec, resume=True)[0].note
    began = (tmp_path / "out" / "_plan.json").stat().st_mtime
    os.utime(scene, (began - 1, began - 1))
    assert "was modified after" not in finish(spec, resume=True)[0].note


@pytest.mark.parametrize(
    ("tags", "expected"),
    a_few(
        [
            ({"TIFFTAG_DATETIME": "2015:07:14 10:20:30"}, "2015-07-14T10:20:30+00:00"),
            (
                {"TIFFTAG_DATETIME": "2022:01:01 00:00:00", "ACQUISITIONDATETIME": "2021-06-05T10:20:30Z"},
                "2021-06-05T10:20:30+00:00",
            ),
            ({"ACQUISITION_DATE": "2020-02-03"}, "2020-02-03T00:00:00+00:00"),
            ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, None),
            ({"TIFFTAG_DATETIME": "in summer"}, None),
        ],
        1,
    ),
)
def test_rows_hold_the_acquisition_date(spec, tags, expected):
    with rasterio.open(spec.sources[0], "r+") as file:
        file.update_tags(**tags)
    finish(replace(spec, most=3))
    (dates,) = columns_of(spec.out, "timestamp")
    assert {one and one.isoformat() for one in dates} == {expected}


def test_unique_names_are_the_shortest_ends_of_paths():
    assert unique_names(["/none/x/a.tif", "/none/x/b.tif"]) == ("a.tif", "b.tif")
    assert unique_names(["/none/x/1/a.tif", "/none/x/2/a.tif", "/none/x/c.tif"]) == (
        "1/a.tif",
        "2/a.tif",
        "c.tif",
    )
    assert unique_names(["https://h.org/a.tif?k=1", "https://h.org/a.tif?k=2"]) == ("a.tif (1)", "a.tif (2)")
    assert unique_names(["globe"]) == ("globe",)
