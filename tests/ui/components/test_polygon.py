"""Points inside a lasso, and the lasso as text in a link."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from earth_mae_components import PolygonError, contains, decode_polygon, encode_polygon
from matplotlib.path import Path as Outline

SQUARE = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0))


def test_a_square() -> None:
    assert contains(SQUARE, [2, 5, -1, 2, np.nan], [2, 2, 2, 5, 2]).tolist() == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_loop_crossed_twice_has_a_hole() -> None:
    turns = [(np.cos(t), np.sin(t)) for t in np.linspace(0, 4 * np.pi, 21)[:-1]]  # a circle traced twice
    assert not contains(turns, [0.0], [0.0]).any()


def test_random_polygons_agree_with_matplotlib() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        angles = np.sort(rng.random(12)) * 2 * np.pi
        ring = np.float32(np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(0.4, 1, (12, 1)))
        points = np.float32(rng.uniform(-1, 1, (500, 2)))
        assert (contains(ring, *points.T) == Outline(ring).contains_points(points)).mean() > 0.999


def test_a_lasso_across_the_antimeridian() -> None:
    fiji = ((170.0, -30.0), (190.0, -30.0), (190.0, 0.0), (170.0, 0.0))
    lon, lat = [179, -179, 175, -175, 165, 0], [-17] * 6
    assert contains(fiji, lon, lat, wraps=True).tolist() == [True, True, True, True, False, False]
    assert contains(fiji, lon, lat).tolist() == [True, False, True, False, False, False]


def test_fewer_than_three_vertices_contain_nothing() -> None:
    assert not contains((), [0.0], [0.0]).any()
    assert not contains(((0.0, 0.0), (1.0, 1.0)), [0.5], [0.5]).any()


def test_polygons_round_trip_exactly() -> None:
    ring = tuple(
        (float(np.float32(x)), float(np.float32(y)))
        for x, y in np.random.default_rng(1).uniform(-180, 180, (60, 2))
    )
    assert decode_polygon(encode_polygon(ring)) == ring
    assert len(encode_polygon(ring)) == 640


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "not base64!",
        "AAAA",
        base64.urlsafe_b64encode(np.float32([np.nan, 1]).tobytes()).decode(),
        "A" * 30_000,
        "é",
    ],
)
def test_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(PolygonError, match="draw it again"):
        decode_polygon(text)


def test_empty_text_is_an_empty_polygon() -> None:
    assert decode_polygon("") == ()
