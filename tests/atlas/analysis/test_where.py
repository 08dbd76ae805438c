"""Groups are named after the countries in which they lie."""

import numpy as np

from core.atlas.analysis.where import group_names


def test_names_state_one_country_or_two():
    cairo, lagos, abuja = (31.2, 30.0), (3.4, 6.5), (7.5, 9.1)
    lonlat = np.array([cairo] * 3 + [lagos, abuja, cairo, (np.nan, np.nan)])
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    assert group_names(labels, 2, lonlat) == ("1: Egypt", "2: Nigeria")
    assert group_names(np.array([0, 0, 0, 0, 0, 0, -1]), 1, lonlat) == ("1: Egypt",)
    half = group_names(np.array([-1, -1, 0, 0, -1, -1, -1]), 1, lonlat)
    assert half in {("1: Egypt, Nigeria",), ("1: Nigeria, Egypt",)}


def test_rows_far_from_towns_are_sea_or_antarctica():
    lonlat = np.array([(-140.0, -40.0), (20.0, -85.0)])
    assert group_names(np.array([0, 1]), 2, lonlat) == ("1: open sea", "2: Antarctica")


def test_groups_without_places_keep_their_numbers():
    assert group_names(np.array([0, 1]), 3, np.full((2, 2), np.nan)) == ("1", "2", "3")
