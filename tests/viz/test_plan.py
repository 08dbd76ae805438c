"""The plan drawn on the picture: outlines of tiles, and faded ground that no tile covers."""

import numpy as np

from core.viz.plan import colour_of, plan_picture

GREY = np.full((100, 200, 3), 40, np.uint8)


def test_outlines_and_what_is_left_out():
    picture = plan_picture(GREY, [np.array([[0, 0, 0.5, 1.0]])])
    assert tuple(picture[0, 50]) == colour_of(0)
    assert tuple(picture[50, 50]) == (40, 40, 40)
    assert picture[50, 150].min() > 60, "ground without a tile fades"
    assert (GREY == 40).all(), "the input is not modified"


def test_tiny_tiles_are_a_tint_and_places_are_dots():
    tiny = np.stack([np.arange(100) / 100, np.full(100, 0.5), np.full(100, 0.01), np.full(100, 0.02)], axis=1)
    picture = plan_picture(GREY, [tiny])
    assert 40 < picture[51, 100, 1] < colour_of(0)[1]
    dots = plan_picture(GREY, [np.array([[0.5, 0.5, 0, 0]])])
    assert tuple(dots[50, 100]) == colour_of(0)
    assert tuple(dots[10, 10]) == (40, 40, 40), "places cover nothing, so nothing fades"


def test_two_scales_have_two_colours():
    picture = plan_picture(GREY, [np.array([[0, 0, 1.0, 1.0]]), np.array([[0.25, 0.25, 0.5, 0.5]])])
    assert tuple(picture[0, 100]) == colour_of(0)
    assert tuple(picture[25, 100]) == colour_of(1)
