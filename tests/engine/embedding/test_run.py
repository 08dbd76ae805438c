"""What an embedding run writes: a vector for every window, for any source, model and number of devices."""

import json
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from core.atlas import open_table
from core.engine import batch_sizes, device, loaded
from core.engine.embed import embed
from core.engine.embedding.run import embed_sources, embed_with_models
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.engine.loaded import load
from core.geo import TileSpec, open_source
from core.geo.sources.raster import GeoTiff
from core.geo.stretch import to_unit
from core.geo.tile import GeoError
from tests.engine.embedding.runs import MODEL, SIDE, finish, picture, table_bytes, write


def test_every_window_has_its_own_vector(spec):
    steps = finish(spec)
    first = steps[0]
    assert (first.done, first.total, first.batches) == (
        0,
        63,
        8,
    )  # 9 columns and 7 rows, the last ones flush with the edge
    assert steps[1].seconds_left > 0
    table = open_table(spec.out)
    assert len(table) == 63
    columns = table.columns.to_pylist()
    source = open_source(spec.sources[0])
    rows = [0, 30, 62]
    tiles = [source.read(TileSpec(source.ref(), window=_window(columns[row]))) for row in rows]
    truth = embed(load(MODEL), np.stack([to_unit(tile) for tile in tiles]), gsd_m=10.0)
    np.testing.assert_allclose(table.vectors_of(rows), truth, atol=2e-5)
    for row, tile in zip(rows, tiles, strict=True):
        assert np.allclose(table.lonlat[row], tile.footprint.centre, atol=2e-5)
        assert columns[row]["gsd_m"] == 10
        assert columns[row]["product_id"] == "scene.tif"
        assert columns[row]["model"] == MODEL
    boxes = np.array([c["pixel_bbox"] for c in columns])
    assert boxes.min() == 0
    assert boxes[:, 2].max() == 260
    assert boxes[:, 3].max() == 200
    assert len({tuple(b) for b in boxes.tolist()}) == 63


def _window(row):
    left, top, right, bottom = row["pixel_bbox"]
    return left, top, right - left, bottom - top


@pytest.mark.thorough
def test_int16_and_a_coarser_gsd_equal_tiles_read_one_by_one(tmp_path):
    source = write(
        tmp_path / "scene.tif",
        picture(400, 400, dtype="int16"),
        tiled=True,
        blockxsize=128,
        blockysize=128,
        compress="deflate",
    )
    finish(EmbeddingSpec((source,), str(tmp_path / "out"), MODEL, gsd_m=(10, 23.0), tile_px=SIDE))
    table = open_table(tmp_path / "out")
    coarse = table.rows_where("gsd_m = 23")
    assert 0 < len(coarse) < len(table) / 3
    opened = open_source(source)
    for row in coarse[::7]:
        at = table.columns.slice(int(row), 1).to_pylist()[0]
        left, top, right, bottom = at["pixel_bbox"]
        tile = opened.read(
            TileSpec(opened.ref(), lonlat=(at["centre_lon"], at["centre_lat"]), gsd_m=23, size_px=SIDE)
        )
        vector = embed(load(MODEL), to_unit(tile)[None], gsd_m=23.0)[0]
        found = table.vectors_of([row])[0]
        assert vector @ found / np.linalg.norm(vector) / np.linalg.norm(found) > 0.9999
        assert abs((right - left) - 73.6) < 1
        assert abs((bottom - top) - 73.6) < 1


def test_several_models_read_once_and_write_what_each_would_alone(spec, tmp_path, monkeypatch):
    reads = []
    read = GeoTiff.read
    monkeypatch.setattr(GeoTiff, "read", lambda self, *args: reads.append(args) or read(self, *args))
    models = (MODEL, "tinymim_tiny")
    for model in models:
        finish(replace(spec, model=model, out=str(tmp_path / "alone" / model)))
    alone = len(reads) // 2
    reads.clear()
    steps = list(embed_with_models(spec, models))
    assert len(reads) == alone > 0
    assert (steps[-1].finished, steps[-1].embedded, steps[-1].total) == (True, 126, 126)
    for model in models:
        assert table_bytes(tmp_path / "out" / model) == table_bytes(tmp_path / "alone" / model)
        assert open_table(tmp_path / "out" / model).models[0].startswith(model)
    assert list(embed_with_models(spec, models, resume=True))[-1].finished


def test_models_with_different_tile_sizes_are_refused(spec):
    with pytest.raises(
        EmbeddingError, match=r"takes tiles of \d+ px and mae_base of 224 px: choose one size"
    ):
        next(embed_with_models(replace(spec, tile_px=None), (MODEL, "mae_base")))
    with pytest.raises(EmbeddingError, match="the same folder"):
        next(embed_with_models(spec, (MODEL, MODEL)))


def test_one_unreadable_block_is_marked_and_counted(tmp_path):
    path = tmp_path / "scene.tif"
    write(
        path,
        picture(256, 256),
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
        interleave="pixel",
    )
    with rasterio.open(path) as file:
        offset, size = (
            int(file.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\0" * size
    path.write_bytes(content)
    steps = finish(EmbeddingSpec((str(path),), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    assert (steps[-1].embedded, steps[-1].unreadable) == (60, 4)
    table = open_table(tmp_path / "out")
    assert len(table) == 64
    marked = table.rows_where("status = 'unreadable'")
    boxes = {tuple(table.columns["pixel_bbox"][int(row)].as_py()[:2]) for row in marked}
    assert boxes == {(64, 64), (96, 64), (64, 96), (96, 96)}
    assert not table.stored.usable[marked].any()
    assert "could not be read" in " ".join(table.stored.problems)
    assert json.loads((tmp_path / "out" / "_manifest.json").read_text())["unreadable"] == 4


def test_batches_shrink_when_memory_runs_out(spec, monkeypatch):
    monkeypatch.setattr(batch_sizes, "_largest", {})
    encode = type(load(MODEL))._encode

    def limited(self, images, res, keep):
        if len(images) > 3:
            raise MemoryError
        return encode(self, images, res, keep)

    monkeypatch.setattr(type(load(MODEL)), "_encode", limited)
    steps = finish(spec)
    assert any("ran out of memory" in step.note for step in steps)
    assert json.loads((Path(spec.out) / "_manifest.json").read_text())["batch_that_fits"] == 2
    assert steps[-1].embedded == 63


@pytest.mark.thorough
def test_losses_of_both_bands(spec):
    finish(replace(spec, losses=True))
    columns = open_table(spec.out).columns
    for band in ("recon_loss_low", "recon_loss_high"):
        losses = columns[band].to_numpy()
        assert np.isfinite(losses).all()
        assert (losses > 0).all()
        assert losses.std() > 0
    assert set(columns["mask_kind"].to_pylist()) == {"random"}
    assert set(columns["mask_seed"].to_pylist()) == {0}


def test_a_pack_of_chips_one_row_each(tmp_path):
    from PIL import Image

    with zipfile.ZipFile(tmp_path / "chips.zip", "w") as pack:
        rows = ["file,gsd_m"]
        for i in range(20):
            Image.fromarray(picture(24, 24, seed=i).transpose(1, 2, 0)).save(tmp_path / "chip.png")
            pack.write(tmp_path / "chip.png", f"{i}.png")
            rows.append(f"{i}.png,{10 if i % 2 else 20}")
        pack.writestr("bad.png", b"not a picture")
        pack.writestr("index.csv", "\n".join([*rows, "bad.png,10"]))
    steps = finish(
        EmbeddingSpec((str(tmp_path / "chips.zip"),), str(tmp_path / "out"), MODEL, tile_px=SIDE, batch=8)
    )
    assert steps[0].batches == 3
    assert "bad.png was left out" in steps[0].note
    assert "smaller than a tile" in steps[0].note
    columns = open_table(tmp_path / "out").columns
    assert sorted(columns["product_id"].to_pylist()) == sorted(f"{i}.png" for i in range(20))
    assert sorted(set(columns["gsd_m"].to_pylist())) == [7.5, 15.0]


def test_invalid_input_is_refused(spec, tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    whole = Path(spec.sources[0]).read_bytes()
    (tmp_path / "short.tif").write_bytes(whole[: len(whole) // 2])
    cloud = Path(
        write(tmp_path / "cloud.tif", picture(), driver="COG", blocksize=128, overviews="none")
    )  # its header comes first and is whole
    cloud.write_bytes(cloud.read_bytes()[: cloud.stat().st_size * 6 // 10])
    blank = write(tmp_path / "blank.tif", np.full((1, 64, 64), -1, "int16"), nodata=-1)
    for change, error in (
        ({"sources": (str(tmp_path / "missing.tif"),)}, GeoError),
        ({"sources": (str(tmp_path / "text.tif"),)}, GeoError),
        ({"sources": (str(tmp_path / "short.tif"),)}, GeoError),
        ({"sources": (str(cloud),)}, GeoError),
        ({"gsd_m": (-1.0,)}, GeoError),
        ({"tile_px": 33}, EmbeddingError),
        ({"stride_px": 0}, EmbeddingError),
        ({"model": "tinymim_tiny", "losses": True}, EmbeddingError),
    ):
        with pytest.raises(error, match=r"\.$"):
            list(embed_sources(replace(spec, **change)))
    assert not (Path(spec.out) / "_plan.json").exists()
    last = finish(replace(spec, sources=(blank,)))[-1]
    assert (last.embedded, last.empty) == (0, 4)


def test_int8_tables_and_the_log_of_times(spec):
    finish(replace(spec, data_type="int8"))
    table = open_table(spec.out)
    assert table.stored.values.dtype == np.int8
    lines = [json.loads(line) for line in (Path(spec.out) / "_log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", *["batch"] * 8, "finished"]
    assert all(line["time"] > 1.7e9 for line in lines)
    assert "time" not in (Path(spec.out) / "_manifest.json").read_text()


@pytest.mark.thorough
def test_several_devices_write_the_table_that_one_writes(spec, monkeypatch):
    finish(replace(spec, out=spec.out + "-one"))
    one = device.device("cpu")
    monkeypatch.setattr(device, "devices", lambda: (one, one))
    monkeypatch.setattr(loaded, "devices", lambda: (one, one))
    kind = type(load(MODEL))
    encode, together, used = kind._encode, threading.Barrier(2), {}

    def meet(self, images, res, keep):
        if threading.current_thread() is not threading.main_thread() and threading.get_ident() not in used:
            used[threading.get_ident()] = id(self)
            together.wait(20)  # breaks unless two threads are at work at once
        return encode(self, images, res, keep)

    monkeypatch.setattr(kind, "_encode", meet)
    monkeypatch.setenv("EARTH_MAE_THREADS", "1")
    finish(spec)
    assert len(set(used.values())) == 2, "each device has a network of its own"
    assert id(load(MODEL)) in used.values()
    assert table_bytes(spec.out) == table_bytes(spec.out + "-one")
