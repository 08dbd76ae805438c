"""The regional map: colours in the right place, tiles that fit together, no requests to other hosts."""

import re

import cv2
import numpy as np
import pytest
import shapely

from core.atlas import EmbeddingTable, make_rows
from core.geo.ground import METRES_PER_DEGREE
from core.viz.regional import Cells, MapLayer, footprints, overlay, png, regional_map, stacked, tile_bounds

RED, GREEN = (255, 0, 0), (0, 255, 0)


def squares(count=4, side=0.02, apart=0.02, lon=10.0, lat=45.0):
    return [shapely.box(lon + i * apart, lat, lon + i * apart + side, lat + side) for i in range(count)]


def at(layer_or_cells, lon, lat, z=14):
    n = 2**z
    x, y = (lon + 180) / 360 * n, (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * n
    tile = layer_or_cells.draw(z, int(x), int(y))
    return None if tile is None else tuple(tile[int(y % 1 * 256), int(x % 1 * 256)].tolist())


def test_a_footprint_has_its_colour_where_it_lies():
    cells = Cells([*squares(2), None], np.array([RED, GREEN, (1, 1, 1)], np.uint8))
    assert at(cells, 10.01, 45.01) == (*RED, 255)
    assert at(cells, 10.03, 45.01) == (*GREEN, 255)
    assert at(cells, 10.035, 45.05) is None or at(cells, 10.035, 45.05)[3] == 0
    assert cells.bounds == pytest.approx((10, 45, 10.04, 45.02))


def test_overlapping_footprints_shrink_until_all_are_seen():
    colours = np.array([RED, GREEN] * 4, np.uint8)
    cells = Cells(squares(8, apart=0.005), colours)
    seen = [at(cells, 10.01 + i * 0.005, 45.01, 16) for i in range(8)]
    assert seen == [(*colours[i].tolist(), 255) for i in range(8)]


def test_small_footprints_lie_above_large_ones():
    cells = Cells(
        [shapely.box(10.009, 45.009, 10.011, 45.011), shapely.box(10, 45, 10.02, 45.02)],
        np.array([RED, GREEN], np.uint8),
    )
    cells._share = 1.0
    assert at(cells, 10.01, 45.01) == (*RED, 255)


def test_many_footprints_in_a_tile_are_dots_of_their_colours():
    places = [shapely.box(x / 10, y / 10, x / 10 + 0.1, y / 10 + 0.1) for y in range(60) for x in range(60)]
    colours = np.array([RED if i % 60 < 30 else GREEN for i in range(3600)], np.uint8)
    cells = Cells(places, colours)
    tile = cells.draw(5, 16, 15)
    left, right = at(cells, 1.0, 3.0, 5), at(cells, 5.0, 3.0, 5)
    assert (tile[..., 3] == 255).mean() > 0.2
    assert (left, right) == ((*RED, 255), (*GREEN, 255))
    assert Cells(places).draw(5, 16, 15) is None, "outlines too dense to tell apart are left out"


def test_the_same_footprints_in_other_colours_leave_the_first_as_they_were():
    outlines = Cells(squares(2))
    red = outlines.coloured(np.array([RED, RED], np.uint8))
    green = red.coloured(np.array([GREEN, GREEN], np.uint8))
    assert (at(red, 10.01, 45.01), at(green, 10.01, 45.01)) == ((*RED, 255), (*GREEN, 255))
    assert at(outlines, 10.01, 45.01) == (0, 0, 0, 0), "outlines are hollow"


@pytest.mark.parametrize("others", [0, 4000])
def test_a_footprint_across_the_antimeridian_is_drawn_on_either_side_of_it_and_nowhere_else(others):
    split = shapely.MultiPolygon([shapely.box(176, -2, 180, 2), shapely.box(-180, -2, -177, 2)])
    far = [
        shapely.box(x, 60, x + 1, 61) for x in np.linspace(-170, 170, others)
    ]  # so many that dots are drawn
    cells = Cells([split, *far], np.array([RED] + [GREEN] * others, np.uint8))
    cells._share = 1.0
    assert at(cells, 178, 0.5, 2) == at(cells, -178.5, 0.5, 2) == (*RED, 255)
    middle = at(cells, 0.0, 0.5, 2)
    assert middle is None or middle[3] == 0


def test_overlay_is_the_tiles_put_together():
    cells = Cells(squares(3), np.array([RED, GREEN, RED], np.uint8))
    pixels, (west, south, east, north) = overlay(MapLayer("a", cells.draw, cells.bounds, 14))
    assert west <= 10 < 10.06 <= east
    assert south <= 45 < 45.02 <= north
    col = int((10.03 - west) / (east - west) * pixels.shape[1])
    column = pixels[:, col]
    assert {tuple(c) for c in column[column[:, 3] > 0].tolist()} == {(*GREEN, 255)}


def test_stacked_shows_the_upper_where_it_is():
    lower, upper = (
        Cells(squares(2), np.array([RED, RED], np.uint8)),
        Cells(squares(1), np.array([GREEN], np.uint8)),
    )
    both = MapLayer("both", stacked([lower.draw, upper.draw]), lower.bounds, 14)
    assert (at(both, 10.01, 45.01), at(both, 10.03, 45.01)) == ((*GREEN, 255), (*RED, 255))
    assert stacked([])(3, 1, 1) is None


def test_tile_bounds_of_the_whole_world():
    assert tile_bounds(0, 0, 0) == pytest.approx((-180, -85.0511, 180, 85.0511), abs=1e-3)


def test_png_keeps_the_order_of_colours():
    tile = np.zeros((4, 4, 4), np.uint8)
    tile[..., 0] = tile[..., 3] = 255
    back = cv2.imdecode(np.frombuffer(png(tile), np.uint8), cv2.IMREAD_UNCHANGED)
    assert back[0, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("addressed", [True, False])
def test_the_page_requests_nothing_from_other_hosts(addressed):
    cells = Cells(squares(3), np.array([RED, GREEN, RED], np.uint8))
    layers = [
        MapLayer("Colours", cells.draw, cells.bounds, 14, 0.5),
        MapLayer("Outlines", Cells(squares(3)).draw, cells.bounds, 16, shown=False),
    ]
    addresses = (
        {layer.name: f"http://127.0.0.1:1/tiles/x{n}/{{z}}/{{x}}/{{y}}.png" for n, layer in enumerate(layers)}
        if addressed
        else {}
    )
    html = regional_map(layers, addresses=addresses, marker=(10.01, 45.01)).to_html(remove_port=False)
    live = re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?://", live)
    assert '"addLayer"' in live, "without the message queue every layer is lost"
    assert live.count("127.0.0.1:1/tiles/") == (2 if addressed else 0)
    assert live.count("data:image/png;base64,") >= (0 if addressed else 2)


def test_rows_that_give_only_a_point_get_the_square_of_their_tile():
    columns = {
        "centre_lon": [10.0, 11.0, None],
        "centre_lat": [45.0, 60.0, None],
        "gsd_m": [10.0, None, 10.0],
        "image_size": [64, None, 64],
    }
    table = EmbeddingTable.from_rows(make_rows(np.ones((3, 4), np.float32), columns))
    one, unsized, nowhere = footprints(table)
    west, south, east, north = one.bounds
    assert (north - south) * METRES_PER_DEGREE == pytest.approx(640)
    assert (east - west) * METRES_PER_DEGREE * np.cos(np.radians(45)) == pytest.approx(640)
    assert unsized.area > 0
    assert unsized.contains(shapely.Point(11, 60))
    assert nowhere is None
    cells = Cells([one, unsized, nowhere], np.array([RED, GREEN, RED], np.uint8))
    assert at(cells, 10, 45, 16) == (*RED, 255)
