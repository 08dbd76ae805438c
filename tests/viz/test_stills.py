"""Pictures of the points for browsers without WebGL."""

import numpy as np

from core.viz.stills import EARTH, bounds_of, still

GROUND = np.full((180, 360, 3), 40, np.uint8)
RED = (255, 0, 0)


def test_a_point_lies_where_its_place_is() -> None:
    xy = np.array([[10.5, 20.5], [np.nan, 0], [500, 0]], np.float32)
    picture = still(GROUND, EARTH, xy, np.array([RED] * 3, np.uint8), radius_px=0)
    assert np.argwhere((picture != GROUND).any(axis=2)).tolist() == [[69, 190]]
    assert picture[69, 190].tolist() == list(RED)
    assert (GROUND == 40).all(), "the shared background is not modified"


def test_what_is_not_selected_fades_and_what_is_lies_on_top() -> None:
    xy = np.array([[0.5, 0.5], [0.5, 0.5], [50.5, 0.5]], np.float32)
    rgb = np.array([(0, 255, 0), RED, RED], np.uint8)
    picture = still(GROUND, EARTH, xy, rgb, selected=np.array([0]), radius_px=0)
    assert picture[89, 180].tolist() == [0, 255, 0]
    assert 40 < picture[89, 230, 0] < 120


def test_rings_surround_their_rows_at_the_edge_too() -> None:
    xy = np.array([[-180, 90], [0, 0], [np.nan, 0]], np.float32)
    bare, ringed = (
        still(GROUND, EARTH, xy, np.zeros((3, 3), np.uint8), ringed=rows)
        for rows in (None, np.array([0, 1, 2]))
    )
    assert (ringed[84:97, 174:187] != bare[84:97, 174:187]).any()
    assert (ringed[:8, :8] != bare[:8, :8]).any()


def test_bounds_hold_all_finite_points_and_exist_without_any() -> None:
    bounds = bounds_of(np.array([[0, 1], [4, 3], [np.nan, 100]], np.float32))
    assert bounds.left < 0 < 4 < bounds.right and bounds.bottom < 1 < 3 < bounds.top < 4
    empty = bounds_of(np.full((2, 2), np.nan, np.float32))
    assert empty.right > empty.left
    same = bounds_of(np.zeros((3, 2), np.float32))
    assert same.right > same.left
