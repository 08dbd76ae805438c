"""Specs refuse invalid values and are hashable."""

import math

import pytest

from core.geo import Footprint, GeoError, TileRef, TileSpec

REF = TileRef("samples", "landsat")


@pytest.mark.parametrize(
    "wrong",
    [
        {"gsd_m": -1.0},
        {"gsd_m": 0.0},
        {"gsd_m": math.nan},
        {"gsd_m": math.inf},
        {"stated_gsd_m": -1.0},
        {"size_px": 0},
        {"size_px": 10**6},
        {"window": (0, 0, 0, 5)},
        {"window": (0, 0, 5, 5), "lonlat": (1.0, 2.0)},
        {"lonlat": (0.0, 95.0)},
        {"lonlat": (math.nan, 5.0)},
        {"rgb": (0, 1, -1)},
    ],
)
def test_an_invalid_spec_is_refused(wrong):
    with pytest.raises(GeoError, match=r"[a-z].*\.$"):
        TileSpec(REF, **wrong)


def test_a_spec_is_hashable():
    assert {TileSpec(REF, gsd_m=10.0): 1}[TileSpec(TileRef("samples", "landsat"), gsd_m=10.0)] == 1


def test_a_footprint_across_the_antimeridian_has_its_centre_there():
    assert Footprint(170, 0, -170, 10).centre == (-180.0, 5.0)
    assert Footprint(10, 0, 30, 10).centre == (20.0, 5.0)
    assert Footprint(-180, 60, 180, 90).centre[1] == 75.0
