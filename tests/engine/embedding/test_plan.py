"""Which windows an embedding run takes, and how often their pixels are read."""

import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.engine.embedding.count import TooManyTilesError
from core.engine.embedding.grids import globe_places
from core.engine.embedding.plan import make_plan
from core.engine.embedding.read import Reader
from core.engine.embedding.run import embed_sources
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.engine.embedding.windows import TooManyWindowsError, count_windows, windows
from core.geo.picture import Known
from core.geo.sources.raster import GeoTiff
from tests.engine.embedding.runs import MODEL, SIDE, UTM, finish, picture, write
from tests.thorough import a_few


@pytest.mark.parametrize("overviews", a_few([[], [2]], 1))
def test_several_scales_are_the_windows_of_each_alone(tmp_path, overviews):
    source = write(tmp_path / "scene.tif", picture(400, 400), tiled=True, blockxsize=128, blockysize=128)
    if overviews:
        with rasterio.open(source, "r+") as file:
            file.build_overviews(overviews, rasterio.enums.Resampling.average)
    scales = (10.0, 13.0, 23.0)
    together = make_plan(EmbeddingSpec((source,), "out", MODEL, gsd_m=scales), SIDE)
    found = {
        gsd: np.concatenate([grid.boxes for grid in together.grids if grid.gsd_m == gsd]) for gsd in scales
    }
    for gsd in scales:
        alone = np.concatenate(
            [
                grid.boxes
                for grid in make_plan(EmbeddingSpec((source,), "out", MODEL, gsd_m=(gsd,)), SIDE).grids
            ]
        )
        assert sorted(found[gsd].tolist()) == sorted(alone.tolist())
    globe = make_plan(EmbeddingSpec(("globe",), "out", MODEL, gsd_m=(60_000, 90_000)), SIDE)
    assert [grid.gsd_m for grid in globe.grids] == [60_000, 90_000]
    order = [grid.gsd_m for grid in together.grids]
    assert order[:3] == ([23.0, 13.0, 10.0] if not overviews else [13.0, 10.0, 13.0])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_several_scales_decode_the_raster_once(tmp_path):
    source = tmp_path / "scene.tif"
    strip = np.broadcast_to(
        np.random.default_rng(0).integers(1, 255, (3, 512, 512), np.uint8)[..., :1], (3, 512, 512)
    )
    with rasterio.open(
        source, "w", driver="GTiff", width=4096, height=8192, count=3, dtype="uint8",
        crs="EPSG:32633", transform=UTM, tiled=True,
        blockxsize=512, blockysize=512, compress="zstd", interleave="pixel",
    ) as file:  # fmt: skip
        for top in range(0, 8192, 512):
            file.write(np.tile(strip, 8), window=((top, top + 512), (0, 4096)))

    def bytes_read(gsds):
        plan = make_plan(EmbeddingSpec((str(source),), "out", MODEL, gsd_m=gsds), 256)
        reader = Reader(plan, 256, 16, 0.5)
        before = int(Path("/proc/self/io").read_text().split()[1])
        assert (
            sum(len(batch.images) for batch in reader.batches(iter(range(-(-plan.count // 16)))))
            == plan.count
        )
        return int(Path("/proc/self/io").read_text().split()[1]) - before

    bytes_read((10.0, 30.0))  # what is imported on the way is read as well
    assert bytes_read((10.0, 30.0)) < 1.4 * bytes_read(
        (10.0,)
    )  # 100 MB of pixels, more than the cache of blocks holds


def test_tiles_in_degrees_are_square_on_the_ground(tmp_path):
    source = write(tmp_path / "scene.tif", picture(600, 300), from_origin(10, 62, 0.001, 0.001), "EPSG:4326")
    plan = make_plan(EmbeddingSpec((source,), "out", MODEL), 32)
    boxes = plan.grids[0].boxes
    wide = boxes[:, 2] / np.cos(np.radians(62 - (boxes[:, 1] + boxes[:, 3] / 2) * 0.001)) ** -1
    assert np.ptp(boxes[:, 2]) > 0.5
    np.testing.assert_allclose(wide, boxes[:, 3], rtol=0.01)


def test_nodata_is_skipped_before_it_is_read(tmp_path):
    pixels = picture(512, 512, dtype="int16")
    pixels[:, :, 256:] = -1
    path = write(tmp_path / "scene.tif", pixels, nodata=-1, tiled=True, blockxsize=128, blockysize=128)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    spec = EmbeddingSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE)
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
        path, "w", driver="GTiff", width=40_000, height=40_000, count=1, dtype="uint8",
        crs="EPSG:32633", transform=UTM, tiled=True,
        blockxsize=512, blockysize=512, sparse_ok=True,
    ) as file:  # fmt: skip
        file.write(picture(512, 512, 1)[0], 1, window=((5120, 5632), (10240, 10752)))
    plan = make_plan(EmbeddingSpec((str(path),), "out", MODEL), 256)
    assert plan.count == 4
    assert plan.empty == (40_000 // 256 + 1) ** 2 - 4


def test_places_of_the_globe_are_evenly_spread():
    places = globe_places(500_000)
    assert 1950 < len(places) < 2150  # the globe's 510 million km² over 250,000 km² each
    north = (places[:, 1] > 30).mean()
    assert north == pytest.approx(0.25, abs=0.01)  # a quarter of the sphere lies north of 30 degrees


def test_more_tiles_than_a_run_can_hold_are_refused_before_they_are_laid_out(tmp_path):
    source = write(tmp_path / "utm.tif", picture(700, 900))
    degrees = write(
        tmp_path / "degrees.tif", picture(700, 900), from_origin(10, 62, 0.0001, 0.0001), "EPSG:4326"
    )
    for named, gsd in ((source, 0.01), (degrees, 0.005), ("globe", 10.0), (source, 0.001)):
        with pytest.raises(
            EmbeddingError, match=r"would make [\d,e+]+ tiles, more than the 20,000,000 .* \(--gsd-m\)"
        ):
            make_plan(EmbeddingSpec((named,), "out", MODEL, gsd_m=(gsd,)), SIDE)


def test_sources_together_hold_no_more_than_one_may(tmp_path, monkeypatch):
    monkeypatch.setattr("core.engine.embedding.plan.MOST_TILES", 30)
    monkeypatch.setattr("core.engine.embedding.count.MOST_TILES", 30)
    sources = tuple(write(tmp_path / f"{name}.tif", picture(128, 128)) for name in "abc")
    assert make_plan(EmbeddingSpec(sources[:1], "out", MODEL), SIDE).count == 16
    with pytest.raises(EmbeddingError, match="All sources together would make 32 tiles, more than the 30"):
        make_plan(EmbeddingSpec(sources, "out", MODEL), SIDE)


def test_tiles_are_counted_at_all_scales_before_any_window_takes_memory(tmp_path):
    path = str(tmp_path / "sparse.tif")
    shape = {
        "width": 300_000,
        "height": 190_000,
        "count": 3,
        "dtype": "uint8",
        "tiled": True,
        "blockxsize": 4096,
        "blockysize": 4096,
    }
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        crs="EPSG:4326",
        transform=from_origin(0, 80, 4e-4, 4e-4),
        SPARSE_OK=True,
        **shape,
    ):
        pass
    for most, scales in (
        (200_000, ()),
        (None, (45.0, 46.0, 47.0)),
        (20_000_000, tuple(45 + n / 100 for n in range(500))),
    ):
        began = time.monotonic()
        tracemalloc.start()
        with pytest.raises(TooManyTilesError, match=r"would make [\d,]+ tiles, more than the"):
            make_plan(EmbeddingSpec((path,), "out", MODEL, gsd_m=scales), SIDE, most=most)
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()
        assert time.monotonic() - began < 20


def test_windows_that_grow_away_from_the_middle_are_counted_too(tmp_path):
    """The centre of the raster is near the pole, so the estimate is far too low for rows at the equator."""
    path = write(tmp_path / "polar.tif", picture(400, 300), from_origin(0, 107.5, 0.45, 0.09), "EPSG:4326")
    header = GeoTiff(Path(path), "polar").header
    needed = len(windows(header, Known(), 4000.0, 1, 1).boxes)
    assert count_windows(header, Known(), 4000.0, 1) < needed / 2
    with pytest.raises(TooManyWindowsError):
        windows(header, Known(), 4000.0, 1, 1, most=needed // 2)
    with pytest.raises(TooManyTilesError, match="allowed here"):
        make_plan(EmbeddingSpec((path,), "out", MODEL, gsd_m=(4000.0,)), 1, most=needed // 2)


def test_tiles_wider_than_the_globe_can_be_cut_are_refused():
    with pytest.raises(EmbeddingError, match=r"44,800 km wide, more than the 10,000 km .* at most 44643 m"):
        make_plan(EmbeddingSpec(("globe",), "out", MODEL, gsd_m=(200_000,)), 224)


def test_a_tile_size_of_zero_and_a_missing_picture_are_refused(spec):
    with pytest.raises(EmbeddingError, match="A tile of 0 px"):
        next(embed_sources(replace(spec, tile_px=0)))
    with pytest.raises(EmbeddingError, match="up to 1,024 px"):
        next(embed_sources(replace(spec, tile_px=4096)))
    with pytest.raises(
        EmbeddingError, match=r"--only nope is not a picture of the sources: choose one of scene\.tif"
    ):
        next(embed_sources(replace(spec, only=("nope",))))


def test_a_strip_narrower_than_a_tile_is_covered_along_its_length(tmp_path):
    for name, height, width, count in (
        ("long", 24, 320, 14),
        ("tall", 320, 24, 14),
        ("thin", 8, 320, 1),
        ("small", 24, 30, 1),
    ):
        plan = make_plan(
            EmbeddingSpec((write(tmp_path / f"{name}.tif", picture(height, width)),), "out", MODEL), SIDE
        )
        boxes, (grid,) = plan.grids[0].boxes, plan.grids
        assert (plan.count, grid.gsd_m) == (count, 10 * min(height, width) / SIDE), name
        assert (boxes[:, 2:] == min(height, width)).all()
        assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= (width, height)).all()
        assert ("squares of its own width" in plan.notes[0]) == (count > 1)


def test_a_raster_of_nodata_is_reported(tmp_path):
    blank = write(tmp_path / "blank.tif", np.full((1, 64, 64), -1, "int16"), nodata=-1)
    last = finish(EmbeddingSpec((blank,), str(tmp_path / "out"), MODEL, tile_px=SIDE))[-1]
    assert "No tile has enough valid pixels" in last.note
