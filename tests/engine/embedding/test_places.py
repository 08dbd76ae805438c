"""A place read from a server, as a row of a table."""

import numpy as np
import pytest
import rasterio

from core.atlas.store.append import append_rows
from core.atlas.store.table import open_table
from core.engine.embed import embed
from core.engine.embedding.places import default_recipe, embed_place
from core.engine.inputs import InputError, feed
from core.engine.loaded import load
from core.geo import TileSpec, open_source
from core.geo.catalogue import known_sources
from tests.engine.embedding.runs import picture, write

PLACE = (-112.7, 40.8)


@pytest.fixture
def read(server):
    source = open_source(f"stac:{server.base}/items/clear.json")
    key = source.keys()[0]
    tile = source.read(TileSpec(source.ref(), lonlat=PLACE, gsd_m=30, size_px=64))
    return tile, source.header(key), source.entry(key)


def test_a_place_becomes_a_complete_row(read, tmp_path, server):
    like = {**default_recipe(), "image_size": 64}
    made = embed_place(like, *read)
    tile = read[0]
    network = load(like["model"])
    expected = embed(network, feed(tile, 64).unit[None], gsd_m=tile.gsd, native_gsd_m=tile.native_gsd_m)[0]
    np.testing.assert_allclose(made.vector, expected, rtol=1e-5)
    assert append_rows(tmp_path, made.row, made.info) == 1
    table = open_table(tmp_path)
    assert table.lonlat[0] == pytest.approx(PLACE, abs=3e-4)
    record = table.columns.to_pylist()[0]
    assert record["source"] == "online"
    assert record["product_id"] == f"{server.base}/cog/visual.tif"
    assert record["gsd_m"] == pytest.approx(30)
    assert record["timestamp"].year == 2024
    assert record["input_res_m"] > 0
    assert record["status"] == "ok"
    left, top, right, bottom = record["pixel_bbox"]
    header = read[1]
    lon = header.transform[2] + (left + right) / 2 * header.transform[0]
    assert lon == pytest.approx(PLACE[0], abs=3e-4)
    assert right - left == pytest.approx(84, abs=3)  # 1,920 m in pixels of 22.8 m across
    assert bottom - top == pytest.approx(64, abs=3)
    assert append_rows(tmp_path, embed_place(like, *read).row, made.info) == 0


def test_other_weights_are_refused(read):
    with pytest.raises(InputError, match="same weights"):
        embed_place({**default_recipe(), "checkpoint_sha256": "0" * 64}, *read)


def test_two_places_of_the_globe_are_two_rows(tmp_path):
    source = known_sources().source("globe")
    key = source.keys()[0]
    for lon in (10.0, 20.0):
        tile = source.read(TileSpec(source.ref(), lonlat=(lon, 45.0), gsd_m=10_000, size_px=64))
        made = embed_place(
            {**default_recipe(), "image_size": 64}, tile, source.header(key), source.entry(key)
        )
        assert append_rows(tmp_path, made.row, made.info) == 1


def test_a_row_of_a_place_holds_the_acquisition_date(tmp_path):
    with rasterio.open(write(tmp_path / "a.tif", picture(80, 80)), "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2015:07:14 10:20:30")
    source = open_source(tmp_path / "a.tif")
    tile = source.read(TileSpec(source.ref(), window=(0, 0, 64, 64)))
    made = embed_place(
        {**default_recipe(), "image_size": 64}, tile, source.header("a.tif"), source.entry("a.tif")
    )
    assert made.row["timestamp"][0].as_py().isoformat() == "2015-07-14T10:20:30+00:00"
