"""Rasters as map tiles: colours, positions, transparent holes; rasters without georeference are refused."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from core.geo import GeoError, known_sources, open_source
from core.geo.web_tiles import WebTiles


def tile_at(tiles, lon, lat, z):
    n = 2**z
    x, y = (lon + 180) / 360 * n, (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * n
    pixels = tiles.draw(z, int(x), int(y))
    return None if pixels is None else pixels[int(y % 1 * 256), int(x % 1 * 256)]


@pytest.fixture
def halves(tmp_path):
    pixels = np.zeros((3, 256, 256), np.uint8)
    pixels[0, :, :128], pixels[2, :, 128:] = 250, 250
    pixels[:, 200:] = 0
    path = tmp_path / "halves.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=256,
        height=256,
        count=3,
        dtype="uint8",
        crs="EPSG:4326",
        transform=from_origin(10, 46, 1 / 256, 1 / 256),
    ) as file:
        file.write(pixels)
        file.write_mask(np.where(np.arange(256)[:, None] < 200, 255, 0).astype("uint8").repeat(256, 1))
    source = open_source(path)
    return WebTiles(source, source.keys()[0])


def test_colours_lie_where_the_ground_does(halves):
    assert halves.bounds == pytest.approx((10, 45, 11, 46))
    west, east = tile_at(halves, 10.2, 45.8, 9), tile_at(halves, 10.8, 45.8, 9)
    assert west[0] > 200 > west[2]
    assert east[2] > 200 > east[0]
    assert (west[3], east[3]) == (255, 255)


def test_nodata_is_transparent_and_other_places_have_no_tile(halves):
    hole = tile_at(halves, 10.5, 45.05, 9)
    assert hole is None or hole[3] == 0
    assert tile_at(halves, -70, 10, 9) is None
    assert halves.draw(31, 0, 0) is None


def test_a_picture_without_a_place_is_refused(tmp_path):
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "plain.png")
    source = open_source(tmp_path / "plain.png", gsd_m=1.0)
    with pytest.raises(GeoError, match="has no georeference"):
        WebTiles(source, source.keys()[0])


@pytest.mark.parametrize(
    ("source", "key"), [("samples", "landsat"), ("samples", "bahamas_rgb"), ("globe", "blue_marble")]
)
def test_real_scenes_fill_their_tiles(source, key):
    known = known_sources()
    if source not in known.names():
        pytest.skip("the sample rasters are not installed")
    tiles = WebTiles(known.source(source), key)
    west, south, east, north = tiles.bounds
    z = min(tiles.finest, 10)
    n = 2**z
    x = int(((west + east) / 2 + 180) / 360 * n)
    y = int((1 - np.arcsinh(np.tan(np.radians((south + north) / 2))) / np.pi) / 2 * n)
    tile = tiles.draw(z, x, y)
    assert tile.shape == (256, 256, 4)
    assert (tile[..., 3] > 0).mean() > 0.3
    assert tile[tile[..., 3] > 0][:, :3].std() > 15
