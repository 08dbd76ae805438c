"""Sweeps: right places, the same bytes however they were interrupted, and a sentence for everything that goes wrong."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.atlas import open_table
from core.engine import device
from core.engine.embed import embed
from core.engine.loaded import load
from core.engine.sweep import SweepError, SweepSpec, ask_to_stop, sweep, sweep_models
from core.engine.sweep_plan import globe_places, make_plan
from core.engine.sweep_read import Reader
from core.engine.sweep_store import SweepFolder
from core.geo import TileSpec, open_source
from core.geo.sources.raster import GeoTiff
from core.geo.stretch import to_unit
from core.geo.tile import GeoError

ROOT = Path(__file__).parents[2]
MODEL, SIDE = "mae_tiny", 32
UTM = from_origin(500_000, 4_600_000, 10, 10)


def write(path, pixels, transform=UTM, crs="EPSG:32633", **options):
    with rasterio.open(
        path, "w", driver="GTiff", width=pixels.shape[2], height=pixels.shape[1], count=len(pixels), dtype=pixels.dtype, crs=crs,
        **({"transform": transform} if transform else {}), **options,
    ) as file:  # fmt: skip
        file.write(pixels)
    return str(path)


def picture(height=200, width=260, bands=3, dtype="uint8", seed=0):
    generator = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width] / 23
    waves = [np.sin(rows + band) * np.cos(cols * (1 + band / 3)) * 90 + 128 + generator.normal(0, 8, (height, width)) for band in range(bands)]
    stretch = 20 if dtype != "uint8" else 1
    return (np.stack(waves).clip(1, 255) * stretch).astype(dtype)


@pytest.fixture
def spec(tmp_path):
    source = write(tmp_path / "scene.tif", picture())
    return SweepSpec((source,), str(tmp_path / "out"), MODEL, tile_px=SIDE, batch=8, shard_tiles=24)


def finish(spec, **more):
    steps = list(sweep(spec, **more))
    assert steps[-1].finished
    return steps


def table_bytes(folder):
    names = ("manifest.json", "plan.json")
    files = sorted(f for f in Path(folder).iterdir() if f.suffix == ".parquet" or f.name in names)
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_every_window_is_there_with_its_own_vector(spec):
    steps = finish(spec)
    first = steps[0]
    assert (first.done, first.total, first.batches) == (0, 63, 8)  # 9 columns and 7 rows: the last ones flush with the edge
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


def test_int16_and_a_coarser_gsd_equal_tiles_read_one_by_one(tmp_path):
    source = write(tmp_path / "scene.tif", picture(400, 400, dtype="int16"), tiled=True, blockxsize=128, blockysize=128, compress="deflate")
    finish(SweepSpec((source,), str(tmp_path / "out"), MODEL, gsd_m=(10, 23.0), tile_px=SIDE))
    table = open_table(tmp_path / "out")
    coarse = table.rows_where("gsd_m = 23")
    assert 0 < len(coarse) < len(table) / 3
    opened = open_source(source)
    for row in coarse[::7]:
        at = table.columns.slice(int(row), 1).to_pylist()[0]
        left, top, right, bottom = at["pixel_bbox"]
        tile = opened.read(TileSpec(opened.ref(), lonlat=(at["centre_lon"], at["centre_lat"]), gsd_m=23, size_px=SIDE))
        vector = embed(load(MODEL), to_unit(tile)[None], gsd_m=23.0)[0]
        found = table.vectors_of([row])[0]
        assert vector @ found / np.linalg.norm(vector) / np.linalg.norm(found) > 0.9999
        assert abs((right - left) - 73.6) < 1
        assert abs((bottom - top) - 73.6) < 1


@pytest.mark.parametrize("overviews", [[], [2]])
def test_several_scales_are_the_windows_of_each_alone(tmp_path, overviews):
    source = write(tmp_path / "scene.tif", picture(400, 400), tiled=True, blockxsize=128, blockysize=128)
    if overviews:
        with rasterio.open(source, "r+") as file:
            file.build_overviews(overviews, rasterio.enums.Resampling.average)
    scales = (10.0, 13.0, 23.0)
    together = make_plan(SweepSpec((source,), "out", MODEL, gsd_m=scales), SIDE)
    found = {gsd: np.concatenate([grid.boxes for grid in together.grids if grid.gsd_m == gsd]) for gsd in scales}
    for gsd in scales:
        alone = np.concatenate([grid.boxes for grid in make_plan(SweepSpec((source,), "out", MODEL, gsd_m=(gsd,)), SIDE).grids])
        assert sorted(found[gsd].tolist()) == sorted(alone.tolist())
    globe = make_plan(SweepSpec(("globe",), "out", MODEL, gsd_m=(60_000, 90_000)), SIDE)
    assert [grid.gsd_m for grid in globe.grids] == [60_000, 90_000]
    order = [grid.gsd_m for grid in together.grids]
    assert order[:3] == ([23.0, 13.0, 10.0] if not overviews else [13.0, 10.0, 13.0])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_several_scales_decode_the_raster_once(tmp_path):
    source = tmp_path / "scene.tif"
    strip = np.broadcast_to(np.random.default_rng(0).integers(1, 255, (3, 512, 512), np.uint8)[..., :1], (3, 512, 512))
    with rasterio.open(
        source, "w", driver="GTiff", width=4096, height=8192, count=3, dtype="uint8", crs="EPSG:32633", transform=UTM, tiled=True,
        blockxsize=512, blockysize=512, compress="zstd", interleave="pixel",
    ) as file:  # fmt: skip
        for top in range(0, 8192, 512):
            file.write(np.tile(strip, 8), window=((top, top + 512), (0, 4096)))

    def bytes_read(gsds):
        plan = make_plan(SweepSpec((str(source),), "out", MODEL, gsd_m=gsds), 256)
        reader = Reader(plan, 256, 16, 0.5)
        before = int(Path("/proc/self/io").read_text().split()[1])
        assert sum(len(batch.images) for batch in reader.batches(iter(range(-(-plan.count // 16))))) == plan.count
        return int(Path("/proc/self/io").read_text().split()[1]) - before

    bytes_read((10.0, 30.0))  # what is imported on the way is read as well
    assert bytes_read((10.0, 30.0)) < 1.4 * bytes_read((10.0,))  # 100 MB of pixels, more than the cache of blocks holds


def test_tiles_in_degrees_are_square_on_the_ground(tmp_path):
    source = write(tmp_path / "scene.tif", picture(600, 300), from_origin(10, 62, 0.001, 0.001), "EPSG:4326")
    plan = make_plan(SweepSpec((source,), "out", MODEL), 32)
    boxes = plan.grids[0].boxes
    wide = boxes[:, 2] / np.cos(np.radians(62 - (boxes[:, 1] + boxes[:, 3] / 2) * 0.001)) ** -1
    assert np.ptp(boxes[:, 2]) > 0.5
    np.testing.assert_allclose(wide, boxes[:, 3], rtol=0.01)


@pytest.mark.parametrize("seed", range(2))
def test_killed_and_resumed_gives_the_same_bytes(spec, tmp_path, seed):
    kill_and_resume(spec, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_killed_at_any_moment(spec, tmp_path, seed):
    kill_and_resume(spec, tmp_path, seed)


def kill_and_resume(spec, tmp_path, seed):
    finish(spec)
    whole = table_bytes(spec.out)
    broken = replace(spec, out=str(tmp_path / "broken"))
    after = int(np.random.default_rng(seed).integers(1, 8))
    script = f"from core.engine.sweep import *\nfor step in sweep({broken!r}):\n    print(step.done, flush=True)\n"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    for line, _ in enumerate(process.stdout):
        if line == after + 1:
            break
    time.sleep(np.random.default_rng(seed).random() * 0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(SweepFolder(Path(broken.out)).finished_batches()) * spec.batch + _rows_in_shards(broken.out)
    steps = finish(broken, resume=True)
    assert table_bytes(broken.out) == whole
    assert steps[0].done >= min(after * spec.batch, 63) - spec.batch
    assert steps[0].done <= kept
    assert not (Path(broken.out) / "pending").exists()


def _rows_in_shards(folder):
    manifest = Path(folder) / "manifest.json"
    return sum(s["rows"] for s in json.loads(manifest.read_text())["shards"]) if manifest.exists() else 0


def test_several_models_read_once_and_write_what_each_alone_would(spec, tmp_path, monkeypatch):
    reads = []
    read = GeoTiff.read
    monkeypatch.setattr(GeoTiff, "read", lambda self, *args: reads.append(args) or read(self, *args))
    models = (MODEL, "tinymim_tiny")
    for model in models:
        finish(replace(spec, model=model, out=str(tmp_path / "alone" / model)))
    alone = len(reads) // 2
    reads.clear()
    steps = list(sweep_models(spec, models))
    assert len(reads) == alone > 0
    assert (steps[-1].finished, steps[-1].embedded, steps[-1].total) == (True, 126, 126)
    for model in models:
        assert table_bytes(tmp_path / "out" / model) == table_bytes(tmp_path / "alone" / model)
        assert open_table(tmp_path / "out" / model).models[0].startswith(model)
    assert list(sweep_models(spec, models, resume=True))[-1].finished


def test_several_models_stopped_apart_go_on_together(spec, tmp_path):
    models = (MODEL, "tinymim_tiny")
    for model in models:
        finish(replace(spec, model=model, out=str(tmp_path / "alone" / model)))
    for most, model in zip((3, 5), models, strict=True):
        steps = sweep(replace(spec, model=model, out=str(tmp_path / "out" / model)))
        next(step for step in steps if step.done >= most * spec.batch)
        steps.close()
    first, *_, last = sweep_models(spec, models, resume=True)
    assert first.done >= 8 * spec.batch
    assert last.finished
    for model in models:
        assert table_bytes(tmp_path / "out" / model) == table_bytes(tmp_path / "alone" / model)


def test_models_that_do_not_agree_are_refused(spec):
    with pytest.raises(SweepError, match=r"takes tiles of \d+ px and mae_base of 224 px: state one size"):
        next(sweep_models(replace(spec, tile_px=None), (MODEL, "mae_base")))
    with pytest.raises(SweepError, match="share one folder"):
        next(sweep_models(spec, (MODEL, MODEL)))


def test_a_closed_generator_stops_and_resumes(spec):
    steps = sweep(spec)
    for step in steps:
        if step.done:
            break
    steps.close()
    embedded = []
    for step in sweep(spec, resume=True):
        embedded.append(step.done)
    assert embedded[0] >= 8
    assert embedded[-1] == 63
    assert finish(spec, resume=True)[-1].done == 63  # a finished sweep resumes to nothing at once


def test_asked_to_stop(spec):
    for step in sweep(spec):
        if step.done:
            ask_to_stop(Path(spec.out))
    assert not step.finished
    assert "Stopped as asked" in step.note
    assert finish(spec, resume=True)[-1].embedded == 63


def test_resume_of_nothing_simply_starts(spec):
    assert finish(spec, resume=True)[0].done == 0


def test_a_folder_in_use_or_used_is_refused(spec):
    steps = sweep(spec)
    next(steps)
    with pytest.raises(SweepError, match=rf"process {os.getpid()}\) is writing"):
        next(sweep(spec, resume=True))
    steps.close()
    with pytest.raises(SweepError, match="add --resume"):
        next(sweep(spec))


def test_other_settings_and_other_weights_are_refused(spec):
    next(sweep(spec))
    with pytest.raises(SweepError, match="tile_px was 32 and is now 40"):
        next(sweep(replace(spec, tile_px=40), resume=True))
    plan = Path(spec.out) / "plan.json"
    changed = json.loads(plan.read_text())
    known = changed["spec"]["weights_sha256"]
    changed["spec"]["weights_sha256"] = "ab" * 32
    plan.write_text(json.dumps(changed))
    with pytest.raises(SweepError, match=f"weights {'ab' * 32}, now it would be {known or 'untrained'}"):
        next(sweep(spec, resume=True))


def test_changed_pictures_are_refused(spec):
    next(sweep(spec))
    write(spec.sources[0], picture(300, 300))
    with pytest.raises(SweepError, match="pictures have changed"):
        next(sweep(spec, resume=True))


def test_one_unreadable_block_is_marked_and_counted(tmp_path):
    path = tmp_path / "scene.tif"
    write(path, picture(256, 256), tiled=True, blockxsize=64, blockysize=64, compress="deflate", interleave="pixel")
    with rasterio.open(path) as file:
        offset, size = (int(file.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\0" * size
    path.write_bytes(content)
    steps = finish(SweepSpec((str(path),), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    assert (steps[-1].embedded, steps[-1].unreadable) == (60, 4)
    table = open_table(tmp_path / "out")
    assert len(table) == 64
    marked = table.rows_where("status = 'unreadable'")
    boxes = {tuple(table.columns["pixel_bbox"][int(row)].as_py()[:2]) for row in marked}
    assert boxes == {(64, 64), (96, 64), (64, 96), (96, 96)}
    assert not table.stored.usable[marked].any()
    assert "could not be read" in " ".join(table.stored.problems)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["unreadable"] == 4


def test_a_full_disk_stops_cleanly_and_resumes(spec, monkeypatch):
    finish(replace(spec, out=spec.out + "-whole"))
    keep = SweepFolder.keep_batch

    def full(self, index, arrays):
        if index == 4:
            raise OSError(28, "No space left on device")
        keep(self, index, arrays)

    monkeypatch.setattr(SweepFolder, "keep_batch", full)
    with pytest.raises(SweepError, match=r"The disk is full after \d+ of 63 tiles"):
        list(sweep(spec))
    monkeypatch.undo()
    assert finish(spec, resume=True)[0].done >= 8
    assert table_bytes(spec.out) == table_bytes(spec.out + "-whole")


def test_batches_shrink_when_memory_is_short_and_stay_so(spec, monkeypatch):
    monkeypatch.setattr(device, "_fitting", {})
    encode = type(load(MODEL))._encode

    def hungry(self, images, res, keep):
        if len(images) > 3:
            raise MemoryError
        return encode(self, images, res, keep)

    monkeypatch.setattr(type(load(MODEL)), "_encode", hungry)
    steps = finish(spec)
    assert any("ran out of memory" in step.note for step in steps)
    assert json.loads((Path(spec.out) / "manifest.json").read_text())["batch_that_fits"] == 2
    assert steps[-1].embedded == 63


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


def test_nodata_is_skipped_before_it_is_read(tmp_path):
    pixels = picture(512, 512, dtype="int16")
    pixels[:, :, 256:] = -1
    path = write(tmp_path / "scene.tif", pixels, nodata=-1, tiled=True, blockxsize=128, blockysize=128)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    spec = SweepSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE)
    plan = make_plan(spec, SIDE)
    assert plan.count == 128
    assert plan.empty == 128
    pixels[:, :250] = -1
    path = write(tmp_path / "few.tif", pixels, nodata=-1)
    last = finish(replace(spec, sources=(path,)))[-1]  # no overviews: found empty on reading
    assert (last.total, last.empty) == (256, 120 + 64 + 8)


def test_blocks_never_written_are_skipped(tmp_path):
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=40_000, height=40_000, count=1, dtype="uint8", crs="EPSG:32633", transform=UTM, tiled=True,
        blockxsize=512, blockysize=512, sparse_ok=True,
    ) as file:  # fmt: skip
        file.write(picture(512, 512, 1)[0], 1, window=((5120, 5632), (10240, 10752)))
    plan = make_plan(SweepSpec((str(path),), "out", MODEL), 256)
    assert plan.count == 4
    assert plan.empty == (40_000 // 256 + 1) ** 2 - 4


def test_no_crs_is_embedded_flagged_and_kept_off_the_map(tmp_path):
    path = write(tmp_path / "scene.tif", picture(), transform=None, crs=None)
    steps = finish(SweepSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    assert "does not say how much ground" in steps[0].note
    table = open_table(tmp_path / "out")
    assert np.isnan(table.lonlat).all()
    assert table.columns["geometry"].null_count == len(table)
    assert table.columns["gsd_m"].null_count == len(table)
    assert table.stored.usable.all()
    steps = finish(SweepSpec((path,), str(tmp_path / "stated"), MODEL, tile_px=SIDE, stated_gsd_m=0.5))
    assert "kept off the map" in steps[0].note
    assert set(open_table(tmp_path / "stated").columns["gsd_m"].to_pylist()) == {0.5}


def test_across_the_antimeridian(tmp_path):
    path = write(tmp_path / "fiji.tif", picture(64, 256), from_origin(795_000, 8_000_000, 500, 500), "EPSG:32760")
    finish(SweepSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    import geopandas as gpd

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert set(frame.geometry.geom_type) == {"Polygon", "MultiPolygon"}
    assert frame.geometry.is_valid.all()
    areas = frame.to_crs("+proj=laea +lat_0=-18 +lon_0=180").area / 16_000**2
    np.testing.assert_allclose(areas, 1, atol=0.03)
    assert frame["centre_lon"].abs().min() > 178


def test_over_the_pole(tmp_path):
    path = write(tmp_path / "pole.tif", picture(96, 96), from_origin(-480_000, 480_000, 10_000, 10_000), "EPSG:3413")
    finish(SweepSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    import geopandas as gpd
    import shapely

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert frame.geometry.is_valid.all()
    with_pole = frame[shapely.contains_xy(frame.geometry.to_numpy(), 12.3, 89.99)]
    assert len(with_pole) == 1
    assert with_pole.geometry.iloc[0].bounds[3] == 90
    areas = shapely.area(frame.to_crs("EPSG:6931").geometry.to_numpy())[frame.geometry.geom_type == "Polygon"]
    assert len(areas) >= 6


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
    steps = finish(SweepSpec((str(tmp_path / "chips.zip"),), str(tmp_path / "out"), MODEL, tile_px=SIDE, batch=8))
    assert steps[0].batches == 3
    assert "bad.png was left out" in steps[0].note
    assert "smaller than a tile" in steps[0].note
    columns = open_table(tmp_path / "out").columns
    assert sorted(columns["product_id"].to_pylist()) == sorted(f"{i}.png" for i in range(20))
    assert sorted(set(columns["gsd_m"].to_pylist())) == [7.5, 15.0]


def test_the_globe_in_its_own_frames(tmp_path):
    finish(SweepSpec(("globe",), str(tmp_path / "out"), MODEL, gsd_m=(30_000,), tile_px=SIDE, most=30))
    import geopandas as gpd

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert len(frame) == 30
    assert frame["centre_lat"].max() == 90
    assert frame["centre_lat"].min() == -90
    assert frame.geometry.is_valid.all()
    areas = frame.to_crs("+proj=cea +lat_ts=0").area / (SIDE * 30_000) ** 2
    np.testing.assert_allclose(areas[frame.centre_lat.abs() < 70], 1, atol=0.06)


def test_places_of_the_globe_are_evenly_spread():
    places = globe_places(500_000)
    assert 1950 < len(places) < 2150  # the globe's 510 million km² over 250,000 km² each
    north = (places[:, 1] > 30).mean()
    assert north == pytest.approx(0.25, abs=0.01)  # a quarter of the sphere lies north of 30 degrees


def test_bad_input_gets_a_sentence(spec, tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    whole = Path(spec.sources[0]).read_bytes()
    (tmp_path / "short.tif").write_bytes(whole[: len(whole) // 2])
    blank = write(tmp_path / "blank.tif", np.full((1, 64, 64), -1, "int16"), nodata=-1)
    for change, error in (
        ({"sources": (str(tmp_path / "missing.tif"),)}, GeoError), ({"sources": (str(tmp_path / "text.tif"),)}, GeoError),
        ({"sources": (str(tmp_path / "short.tif"),)}, GeoError), ({"gsd_m": (-1.0,)}, GeoError), ({"tile_px": 33}, SweepError),
        ({"stride_px": 0}, SweepError), ({"model": "tinymim_tiny", "losses": True}, SweepError),
    ):  # fmt: skip
        with pytest.raises(error, match=r"\.$"):
            list(sweep(replace(spec, **change)))
    assert not (Path(spec.out) / "plan.json").exists()
    last = finish(replace(spec, sources=(blank,)))[-1]
    assert (last.embedded, last.empty) == (0, 4)


def test_int8_tables_and_the_log_of_times(spec):
    finish(replace(spec, data_type="int8"))
    table = open_table(spec.out)
    assert table.stored.values.dtype == np.int8
    lines = [json.loads(line) for line in (Path(spec.out) / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", *["batch"] * 8, "finished"]
    assert all(line["time"] > 1.7e9 for line in lines)
    assert "time" not in (Path(spec.out) / "manifest.json").read_text()
