"""The input of the network does not depend on the contrast of the tile; the displayed picture does."""

import numpy as np
import pytest

from core.geo import TileSpec, for_eye, open_source, thumbnail, to_unit


def read(path, **spec):
    source = open_source(path)
    return source.read(TileSpec(source.ref(), **spec))


def test_eight_bits_are_divided_by_255(make_tif, noise):
    tile = read(make_tif(noise), window=(0, 0, 60, 40))
    np.testing.assert_allclose(to_unit(tile), noise / 255, atol=1e-7)
    assert to_unit(tile).dtype == np.float32


def test_sixteen_bits_take_the_range_of_the_source_not_of_the_tile(make_tif):
    ramp = np.linspace(1000, 9000, 100 * 100).reshape(1, 100, 100).astype(np.uint16)
    tile = read(make_tif(ramp), window=(0, 0, 100, 20))
    low, high = np.percentile(ramp, (1, 99))
    assert tile.value_range[0] == pytest.approx((low, high), rel=1e-3)
    unit = to_unit(tile)
    assert unit.shape == (3, 20, 100)
    assert unit.max() < 0.21
    assert for_eye(tile).max() == 255


def test_invalid_pixels_are_black_for_both(make_tif):
    values = np.full((1, 20, 20), 500, np.float32)
    values[0, :, 10:] = 900
    values[0, :5] = np.nan
    tile = read(make_tif(values))
    assert not to_unit(tile)[:, :5].any()
    assert not for_eye(tile)[:5].any()
    assert for_eye(tile)[10, 15, 0] > 200


def test_a_nodata_colour_of_eight_bits_stays_as_drawn(make_tif):
    pixels = np.full((3, 20, 20), 100, np.uint8)
    pixels[:, 5, 5] = 255
    tile = read(make_tif(pixels, nodata=255))
    assert not tile.valid[5, 5]
    assert to_unit(tile)[:, 5, 5].tolist() == [1, 1, 1]


def test_a_uniform_sea_is_not_stretched_into_noise(make_tif):
    sea = np.random.default_rng(0).integers(30, 33, (3, 64, 64), dtype=np.uint8)
    assert np.ptp(for_eye(read(make_tif(sea)))) < 30


def test_eight_bit_colours_share_one_stretch(make_tif, noise):
    pixels = (noise * np.array([0.2, 0.5, 1.0]).reshape(3, 1, 1)).astype(np.uint8)
    seen = for_eye(read(make_tif(pixels)))
    assert seen[..., 0].max() < 80 < 200 < seen[..., 2].max()


def test_a_thumbnail_reads_the_bands_shown_only(make_tif):
    pixels = np.random.default_rng(0).integers(0, 255, (13, 50, 80), dtype=np.uint8)
    small = thumbnail(read(make_tif(pixels), window=(0, 0, 80, 50)), 40)
    assert small.shape == (25, 40, 3)
    assert small.dtype == np.uint8


@pytest.mark.parametrize("value", [0, 2**63, 255])
def test_a_constant_source_gives_a_uniform_picture(make_tif, value):
    tile = read(make_tif(np.full((1, 9, 9), value, np.uint64)))
    for picture in (to_unit(tile), for_eye(tile)):
        assert np.isfinite(picture).all()
        assert np.ptp(picture) == 0
