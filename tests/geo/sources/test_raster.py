"""GeoTIFFs of every kind: types, bands, masks, palettes, overviews, and rasters larger than memory."""

import resource

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from core.geo import GeoError, TileSpec, open_source, to_unit
from core.geo.picture import MAX_READ_VALUES, Picture
from core.geo.sources.raster import GeoTiff, choose_rgb


def read(path, gsd_m=None, **spec):
    source = open_source(path, gsd_m=gsd_m)
    return source.read(TileSpec(source.ref(), **spec))


@pytest.fixture
def bytes_read(monkeypatch):
    """Record how many values each read takes from the raster."""
    counts = []
    plain = GeoTiff.read

    def counting(self, level, box):
        counts.append((level, box[2] * box[3]))
        return plain(self, level, box)

    monkeypatch.setattr(GeoTiff, "read", counting)
    return counts


def test_a_window_keeps_pixels_place_and_scale(make_tif, noise):
    tile = read(make_tif(noise), window=(10, 5, 20, 30))
    np.testing.assert_array_equal(tile.pixels, noise[:, 5:35, 10:30])
    assert tile.pixels.dtype == np.uint8
    assert tile.transform == (10, 0, 500_100, 0, -10, 5_759_950)
    assert tile.gsd_m == (10, 10)
    assert tile.bands == ("red", "green", "blue")
    assert tile.valid.all()
    assert tile.footprint is not None
    assert tile.footprint.south < tile.footprint.north < 52


def test_the_default_window_is_the_largest_centred_square(make_tif, noise):
    np.testing.assert_array_equal(read(make_tif(noise)).pixels, noise[:, :, 10:50])


def test_a_place_by_coordinates_is_cut_square_on_the_ground(make_tif):
    ramp = np.tile(np.arange(200, dtype=np.uint8), (1, 200, 1))
    path = make_tif(ramp, crs="EPSG:4326", transform=rasterio.Affine(0.001, 0, 10, 0, -0.001, 60.1))
    source = open_source(path)
    tile = source.read(TileSpec(source.ref(), lonlat=(10.1, 60.0), gsd_m=100, size_px=50))
    assert tile.gsd_m == pytest.approx((100, 100))
    assert tile.footprint is not None
    lon, lat = tile.footprint.centre
    assert (lon, lat) == pytest.approx((10.1, 60.0), abs=1e-3)
    width, height = tile.footprint.east - tile.footprint.west, tile.footprint.north - tile.footprint.south
    assert width == pytest.approx(2 * height, rel=0.02)  # at 60 N a degree of longitude is half as long


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64", "float32", "float64"]
)
def test_every_real_type_becomes_a_unit_picture(make_tif, dtype):
    values = np.random.default_rng(0).integers(0, 120, (1, 50, 50)).astype(dtype)
    tile = read(make_tif(values), size_px=20)
    unit = to_unit(tile)
    assert unit.shape == (3, 20, 20)
    assert np.isfinite(unit).all()
    assert 0 <= unit.min() < unit.max() <= 1
    assert tile.pixels.dtype == (np.float64 if dtype.endswith("64") else np.float32)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_values_are_refused(make_tif, dtype):
    with pytest.raises(GeoError, match="amplitude"):
        read(make_tif(np.ones((1, 8, 8), dtype)))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 13])
def test_any_number_of_bands_is_shown_in_three(make_tif, count):
    values = np.random.default_rng(0).integers(1, 255, (count, 20, 20), dtype=np.uint8)
    tile = read(make_tif(values, photometric="MINISBLACK"))
    assert len(tile.bands) == count
    np.testing.assert_allclose(to_unit(tile), values[list(tile.rgb)] / 255, atol=1e-6)
    if count == 1:
        assert tile.rgb == (0, 0, 0)


def test_bands_are_chosen_by_name_then_by_number():
    assert choose_rgb(("Blue", "green", "RED", "nir")) == (2, 1, 0)
    assert choose_rgb(("B1", "B2", "B3", "B4", "B5", "B6", "B7")) == (2, 1, 0)
    assert choose_rgb(tuple(f"B{i}" for i in range(13))) == (3, 2, 1)


def test_a_stated_choice_of_bands_wins_and_is_checked(make_tif, noise):
    path = make_tif(noise)
    assert read(path, rgb=(2, 2, 0)).rgb == (2, 2, 0)
    with pytest.raises(GeoError, match="has 3"):
        read(path, rgb=(0, 1, 3))


def test_nodata_nan_masks_and_alpha_become_validity(make_tif, noise):
    hole = np.s_[10:20, 15:25]
    nodata = noise.astype(np.int16)
    nodata[:, *hole] = -32768
    nan = noise.astype(np.float32)
    nan[1, *hole] = np.nan
    infinite = noise.astype(np.float32)
    infinite[0, *hole] = np.inf
    mask = np.full((40, 60), 255, np.uint8)
    mask[hole] = 0
    rgba = np.concatenate([noise, mask[None]])
    for path in (
        make_tif(nodata, "a.tif", nodata=-32768),
        make_tif(nan, "b.tif"),
        make_tif(infinite, "c.tif"),
        make_tif(noise, "d.tif", mask=mask),
        make_tif(rgba, "e.tif", photometric="RGB", alpha="YES"),
    ):
        tile = read(path, window=(0, 0, 60, 40))
        assert tile.pixels.shape[0] == 3, path.name
        np.testing.assert_array_equal(tile.valid, mask > 0, err_msg=path.name)
        assert np.isfinite(tile.pixels).all()
        assert not to_unit(tile)[:, *hole].any(), path.name


def test_a_red_pixel_is_not_nodata_because_its_green_is(make_tif):
    pixels = np.zeros((3, 8, 8), np.uint8)
    pixels[0] = 200
    assert read(make_tif(pixels, nodata=0)).valid.all()


def test_a_palette_is_expanded(make_tif):
    index = np.tile(np.arange(4, dtype=np.uint8), (1, 4, 1))
    path = make_tif(index)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0), 1: (0, 255, 0), 2: (0, 0, 255), 3: (9, 9, 9, 0)})
        dataset.colorinterp = [ColorInterp.palette]
    tile = read(path)
    assert tile.pixels[:, 0, :3].T.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert tile.bands == ("red", "green", "blue")


def test_no_crs_needs_a_stated_gsd(make_tif, noise):
    path = make_tif(noise, crs=None)
    with pytest.raises(GeoError, match="state its GSD"):
        read(path)
    assert read(path, gsd_m=0.3).gsd_m == (0.3, 0.3)
    tile = read(path, stated_gsd_m=0.5)
    assert (tile.gsd, tile.footprint, tile.crs) == (0.5, None, None)
    with pytest.raises(GeoError, match="no georeference"):
        read(path, gsd_m=0.3, lonlat=(3, 52))


def test_a_stated_gsd_wins_over_the_file(make_tif, noise):
    assert read(make_tif(noise), stated_gsd_m=2.5).gsd_m == (2.5, 2.5)


def test_a_window_of_nothing_but_nodata_is_refused(make_tif, noise):
    noise[:, :20] = 0
    with pytest.raises(GeoError, match="no valid pixel"):
        read(make_tif(noise, nodata=0), window=(0, 0, 20, 20))


@pytest.mark.parametrize("window", [(50, 0, 20, 20), (-1, 0, 5, 5), (0, 39, 5, 5), (10**9, 0, 5, 5)])
def test_a_window_outside_is_refused_with_the_size(make_tif, noise, window):
    with pytest.raises(GeoError, match="60 x 40"):
        read(make_tif(noise), window=window)


def test_a_place_outside_is_refused(make_tif, noise):
    with pytest.raises(GeoError, match="outside this picture"):
        read(make_tif(noise), lonlat=(40, 52))


def test_overviews_serve_coarse_tiles(make_tif, bytes_read):
    values = np.random.default_rng(0).integers(0, 255, (1, 1024, 1024), dtype=np.uint8)
    path = make_tif(values, overviews=[2, 4, 8], tiled=True, blockxsize=128, blockysize=128)
    tile = read(path, size_px=64)
    assert bytes_read == [(3, 128 * 128)]
    means = values.reshape(64, 16, 64, 16).mean(axis=(1, 3))
    assert np.abs(tile.pixels[0] - means).max() < 2  # overviews are rounded at each level
    assert tile.gsd == pytest.approx(160)
    bytes_read.clear()
    read(path, window=(0, 0, 100, 100), size_px=100)
    assert bytes_read == [(0, 100 * 100)]


def test_a_decimated_read_without_overviews_is_the_plain_mean(make_tif):
    values = np.random.default_rng(0).integers(0, 60_000, (2, 512, 512), dtype=np.uint16)
    tile = read(make_tif(values), size_px=64)
    np.testing.assert_allclose(tile.pixels, values.reshape(2, 64, 8, 64, 8).mean(axis=(2, 4)), rtol=1e-5)


@pytest.mark.parametrize("side", [60_000, 100_000])
def test_a_huge_raster_costs_only_the_pixels_shown(make_tif, bytes_read, tmp_path, side):
    path = tmp_path / "huge.tif"
    options = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 1,
        "dtype": "uint16",
        "crs": "EPSG:32631",
    }
    options |= {
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "sparse_ok": True,
        "bigtiff": "YES",
    }
    with rasterio.open(
        path, "w", transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_760_000), **options
    ) as dataset:
        corner = rasterio.windows.Window(side - 1024, side - 1024, 1024, 1024)
        dataset.write(
            np.random.default_rng(0).integers(100, 900, (1, 1024, 1024), dtype=np.uint16), window=corner
        )
    assert path.stat().st_size < 4_000_000
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tile = read(path, window=(side - 600, side - 600, 448, 448), size_px=224)
    assert tile.pixels.shape == (1, 224, 224)
    assert 100 <= tile.pixels.mean() <= 900
    whole = read(
        path, size_px=224
    )  # no overviews: the largest square about the middle that a bounded read allows
    assert whole.pixels.shape == (1, 224, 224)
    assert max(n for _, n in bytes_read) <= MAX_READ_VALUES
    with pytest.raises(GeoError, match="gdaladdo"):
        read(path, window=(0, 0, side, side), size_px=224)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024 < 200  # MiB


def test_the_range_of_a_large_source_comes_from_a_bounded_sample(make_tif, bytes_read):
    gradient = np.linspace(0, 10_000, 3000, dtype=np.float32)
    path = make_tif(np.tile(gradient, (1, 2000, 1)))
    tile = read(path, window=(0, 0, 50, 50))
    assert sum(n for _, n in bytes_read) < 1_100_000
    low, high = tile.value_range[0]
    assert 500 < low + 500 < 2500
    assert 8000 < high <= 10_000


def test_a_block_too_large_to_read_is_refused(tmp_path):
    path = tmp_path / "one_block.tif"
    options = {
        "driver": "GTiff",
        "width": 20_000,
        "height": 20_000,
        "count": 1,
        "dtype": "uint8",
        "compress": "deflate",
    }
    with rasterio.open(
        path, "w", tiled=True, blockxsize=20_000, blockysize=20_000, sparse_ok=True, **options
    ):
        pass
    with pytest.raises(GeoError, match="TILED=YES"):
        open_source(path)


def test_sidecar_files_are_ignored(make_tif, noise):
    path = make_tif(noise)
    path.with_name(path.name + ".aux.xml").write_text(
        "<PAMDataset><GeoTransform>0,1,0,0,0,-1</GeoTransform>"
        "<PAMRasterBand band='1'><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    path.with_name(path.name + ".msk").write_bytes(path.read_bytes())
    path.with_name(path.name + ".ovr").write_bytes(path.read_bytes())
    source = open_source(path)
    assert source.header(path.name).levels == ((60, 40),)
    tile = source.read(TileSpec(source.ref(), window=(0, 0, 60, 40)))
    assert tile.valid.all()
    assert tile.gsd == 10


def test_a_geotiff_is_a_picture():
    assert issubclass(GeoTiff, Picture)


def test_an_undeclared_fill_is_not_valid(make_tif):
    values = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (1, 64, 1))
    values[0, :32] = -3.4e38
    tile = read(make_tif(values), size_px=16)
    assert not tile.valid[:8].any()
    assert tile.valid[8:].all()
    assert -1 < tile.value_range[0][0] < tile.value_range[0][1] <= 1


def test_a_crs_without_a_transform_needs_a_stated_gsd(make_tif, noise):
    path = make_tif(noise, transform=rasterio.Affine.identity())
    with pytest.raises(GeoError, match="state its GSD"):
        read(path)


def test_threads_share_a_source(make_tif):
    from concurrent.futures import ThreadPoolExecutor

    ramp = np.arange(200 * 200, dtype=np.uint16).reshape(1, 200, 200)
    source = open_source(make_tif(ramp))

    def first(i):
        return source.read(TileSpec(source.ref(), window=(i, i, 16, 16))).pixels[0, 0, 0]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(first, range(100))) == [i * 201 for i in range(100)]
