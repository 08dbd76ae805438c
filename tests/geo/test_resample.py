"""Area averaging is the mean over the ground, bicubic does not overshoot, and masks are resampled too."""

from dataclasses import replace

import numpy as np
import pytest

from core.geo import GeoError, TileSpec, open_source, resample
from core.geo.resample import Cut, plan, resize

ALL = np.ones((24, 36), bool)


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(100, 30, (2, 24, 36)).astype(np.float32)


@pytest.mark.parametrize("factor", [2, 3, 4, 6, 12])
def test_area_averaging_is_the_plain_mean(values, factor):
    out, valid = resize(values, ALL, Cut((0, 0, 36, 24), 36 // factor, 24 // factor))
    blocks = (
        values.astype(np.float64).reshape(2, 24 // factor, factor, 36 // factor, factor).mean(axis=(2, 4))
    )
    np.testing.assert_allclose(out, blocks, rtol=2e-6)
    assert valid.all()


def test_area_averaging_over_fractional_pixels_is_the_mean_of_the_finely_repeated_picture(values):
    fine = (
        values.astype(np.float64).repeat(7, axis=1).repeat(7, axis=2)
    )  # 7 parts per pixel: 36 * 7 / 21 = 12 columns
    expected = fine[:, : 24 * 7 // 12 * 12, :].reshape(2, 12, 14, 12, 21).mean(axis=(2, 4))
    out, _ = resize(values, ALL, Cut((0, 0, 36, 24), 12, 12))
    np.testing.assert_allclose(out, expected, rtol=2e-6)
    out, _ = resize(
        values, ALL, Cut((1 + 3 / 7, 0, 30, 24), 14, 24)
    )  # 30 columns from 10/7: steps of 15 parts
    np.testing.assert_allclose(
        out, fine[:, :, 10 : 10 + 210].reshape(2, 24, 7, 14, 15).mean(axis=(2, 4)), rtol=2e-6
    )


def test_the_mean_is_kept_over_any_factor(values):
    out, _ = resize(values, ALL, Cut((0, 0, 36, 24), 17, 11))
    assert out.mean(axis=(1, 2)) == pytest.approx(values.mean(axis=(1, 2)), rel=1e-5)


def test_bicubic_keeps_a_ramp_and_invents_no_values(values):
    ramp = np.tile(np.arange(36, dtype=np.float32), (1, 24, 1))
    out, _ = resize(ramp, ALL, Cut((0, 0, 36, 24), 144, 96))
    expected = (np.arange(144) + 0.5) / 4 - 0.5
    np.testing.assert_allclose(out[0, 50, 12:-12], expected[12:-12], atol=1e-4)
    out, _ = resize(values, ALL, Cut((0, 0, 36, 24), 90, 61))
    assert out.min() >= values.min()
    assert out.max() <= values.max()


def test_a_mean_takes_valid_pixels_only(values):
    valid = ALL.copy()
    valid[:, :3] = False
    values[:, ~valid] = -9999
    out, new_valid = resize(values, valid, Cut((0, 0, 36, 24), 9, 6))  # the first column holds 3 invalid of 4
    assert not new_valid[:, 0].any()
    assert new_valid[:, 1:].all()
    valid[:, 2] = True
    values[:, :, 2] = 50
    out, new_valid = resize(values, valid, Cut((0, 0, 36, 24), 9, 6))
    np.testing.assert_allclose(
        out[:, :, 0], values[:, :, 2:4].reshape(2, 6, 4, 2).mean(axis=(2, 3)), rtol=1e-5
    )
    assert new_valid.all()
    out, _ = resize(values, valid, Cut((0, 0, 36, 24), 72, 48))
    assert out.min() > -9999


def test_a_tile_is_resampled_to_a_gsd_a_size_or_both(make_tif, noise):
    source = open_source(make_tif(noise))  # 60 x 40 px of 10 m
    tile = source.read(TileSpec(source.ref(), window=(0, 0, 60, 40)))
    assert resample(tile) is tile
    coarse = resample(tile, gsd_m=25)
    assert coarse.gsd_m == pytest.approx((25, 25))
    assert (coarse.width, coarse.height) == (24, 16)
    assert coarse.transform == pytest.approx((25, 0, 500_000, 0, -25, 5_760_000))
    assert coarse.footprint == tile.footprint
    sized = resample(tile, size_px=30)
    assert (sized.width, sized.height, sized.gsd) == (30, 20, pytest.approx(20))
    both = resample(tile, gsd_m=5, size_px=32)
    assert (both.width, both.height, both.gsd) == (32, 32, pytest.approx(5))
    assert both.transform == pytest.approx((5, 0, 500_220, 0, -5, 5_759_880))
    assert both.native_gsd_m == 10
    lost = replace(tile, transform=None, crs=None, footprint=None)
    assert resample(lost, gsd_m=25).transform is None


def test_more_ground_than_the_source_has_is_refused_with_the_size_that_fits():
    with pytest.raises(GeoError, match=r"covers 400 m.*at most 4 m"):
        plan((60, 40), (0, 0, 60, 40), (10.0, 10.0), 20.0, 100)
    with pytest.raises(GeoError, match="at most 400 m"):
        plan((60, 40), (0, 0, 60, 40), (10.0, 10.0), 5000.0, None)
    with pytest.raises(GeoError, match="px per side"):
        plan((60, 40), (0, 0, 60, 40), (10.0, 10.0), 0.001, None)


def test_a_square_near_the_edge_moves_inward():
    cut = plan((60, 40), (58, 1, 0, 0), (10.0, 10.0), 10.0, 20)
    assert cut.box == (40, 0, 20, 20)
