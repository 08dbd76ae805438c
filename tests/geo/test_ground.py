"""Metres per pixel in any CRS and rotation; footprints across the antimeridian and the poles."""

import math

import numpy as np
import pytest
from rasterio.transform import Affine

from core.geo import TileSpec, ground, open_source
from core.geo.ground import box_footprint, ground_gsd, ring_footprint, to_pixel, usable_crs

A_WGS84, E2_WGS84 = 6378137.0, 0.00669437999014


def degree_lengths_m(lat: float) -> tuple[float, float]:
    """Metres of a degree of longitude and latitude on the ellipsoid (Snyder 1987, eq. 4-20, 4-21)."""
    w = 1 - E2_WGS84 * math.sin(math.radians(lat)) ** 2
    return math.radians(A_WGS84 * math.cos(math.radians(lat)) / math.sqrt(w)), math.radians(
        A_WGS84 * (1 - E2_WGS84) / w**1.5
    )


@pytest.mark.parametrize("lat", [0.0, 35.0, -52.0, 80.0, 89.0])
def test_degrees_become_metres_at_their_latitude(lat):
    pixel = 0.001
    found = ground_gsd("EPSG:4326", (pixel, 0, 10, 0, -pixel, lat), 0, 0)
    east_west, north_south = degree_lengths_m(lat)
    assert found == pytest.approx((east_west * pixel, north_south * pixel), rel=1e-6)


def test_a_projected_pixel_is_measured_in_the_unit_of_the_crs():
    assert ground_gsd("EPSG:32631", (0.3, 0, 500_000, 0, -0.3, 5_760_000), 5, 5) == (0.3, 0.3)
    feet = ground_gsd(
        "EPSG:2264", (1.0, 0, 2_000_000, 0, -1.0, 700_000), 5, 5
    )  # North Carolina, US survey feet
    assert feet == pytest.approx((0.3048006, 0.3048006), rel=1e-6)


def test_web_mercator_is_measured_on_the_ground_and_not_in_its_own_metres():
    x, y = 1_113_194.9, 8_399_737.9  # 10 E 60 N
    assert ground_gsd("EPSG:3857", (10, 0, x, 0, -10, y), 0, 0)[0] == pytest.approx(
        10 * math.cos(math.radians(60)), rel=0.01
    )


@pytest.mark.parametrize("angle", [0, 30, 90, 137])
@pytest.mark.parametrize("flip", [1, -1])
def test_rotated_and_south_up_transforms_keep_their_scale(angle, flip):
    turned = Affine.translation(500_000, 5_760_000) @ Affine.rotation(angle) @ Affine.scale(2, -3 * flip)
    assert ground_gsd("EPSG:32631", turned[:6], 10, 10) == pytest.approx((2, 3), rel=1e-9)


def test_a_raster_in_degrees_at_80_north_is_read_with_the_right_gsd(make_tif, noise):
    path = make_tif(noise, crs="EPSG:4326", transform=Affine(0.01, 0, 20, 0, -0.002, 80.04))
    source = open_source(path)
    tile = source.read(TileSpec(source.ref()))
    east_west, north_south = degree_lengths_m(80.0)
    assert tile.gsd_m == pytest.approx((0.01 * east_west, 0.002 * north_south), rel=1e-4)
    assert tile.gsd == pytest.approx(math.sqrt(tile.gsd_m[0] * tile.gsd_m[1]))


def test_the_same_pixel_is_measured_once(monkeypatch):
    """Every run of a page asks for it."""
    first = ground_gsd("EPSG:32610", (10.0, 0.0, 5e5, 0.0, -10.0, 4e6), 7.0, 7.0)
    monkeypatch.setattr(ground, "to_lonlat", lambda *_: pytest.fail("measured again"))
    assert ground_gsd("EPSG:32610", (10.0, 0.0, 5e5, 0.0, -10.0, 4e6), 7.0, 7.0) == first


def test_a_footprint_crosses_the_antimeridian():
    box = box_footprint("EPSG:32601", (100, 0, 150_000, 0, -100, 100_000), (0, 0, 1000, 1000))
    assert box is not None
    assert box.west > 170
    assert box.east < 0
    assert box.south < box.north


def test_a_footprint_around_a_pole_goes_all_the_way_round():
    box = box_footprint("EPSG:3413", (10_000, 0, -500_000, 0, -10_000, 500_000), (0, 0, 100, 100))
    assert box is not None
    assert (box.west, box.east, box.north) == (-180, 180, 90)
    assert 80 < box.south < 85


def test_the_footprint_of_the_whole_globe_and_of_invalid_coordinates():
    globe = box_footprint("EPSG:4326", (1, 0, -180, 0, -1, 90), (0, 0, 360, 180))
    assert globe is not None
    assert (globe.west, globe.south, globe.east, globe.north) == (-180, -90, 180, 90)
    assert ring_footprint(np.array([0.0, np.inf]), np.array([0.0, 1.0])) is None


def test_places_become_pixels_and_longitudes_may_count_from_zero():
    assert to_pixel("EPSG:4326", (0.5, 0, 10, 0, -0.5, 60), (12, 59)) == pytest.approx((4, 2))
    assert to_pixel("EPSG:4326", (0.5, 0, 0, 0, -0.5, 90), (-90, 0)) == pytest.approx((540, 180))


@pytest.mark.parametrize("crs", [None, "", "EPSG:999999", 'LOCAL_CS["x"]', "EPSG:4978", "no crs at all"])
def test_a_crs_that_does_not_lead_to_earth_is_unusable(crs):
    assert not usable_crs(crs)
