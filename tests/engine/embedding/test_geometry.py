"""Positions of rows: without georeference, across the antimeridian, over the poles, around the globe."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

from core.atlas import open_table
from core.engine.embedding.spec import EmbeddingSpec
from tests.engine.embedding.runs import MODEL, SIDE, finish, picture, write
from tests.thorough import a_few


def test_a_raster_without_crs_is_embedded_but_has_no_place(tmp_path):
    path = write(tmp_path / "scene.tif", picture(), transform=None, crs=None)
    steps = finish(EmbeddingSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    assert "does not state its GSD" in steps[0].note
    assert steps[0].ground == "an unknown area"
    table = open_table(tmp_path / "out")
    assert np.isnan(table.lonlat).all()
    assert table.columns["geometry"].null_count == len(table)
    assert table.columns["gsd_m"].null_count == len(table)
    assert table.stored.usable.all()
    steps = finish(EmbeddingSpec((path,), str(tmp_path / "stated"), MODEL, tile_px=SIDE, stated_gsd_m=0.5))
    assert "cannot be shown on the map" in steps[0].note
    assert set(open_table(tmp_path / "stated").columns["gsd_m"].to_pylist()) == {0.5}


@pytest.mark.parametrize(
    ("crs", "x", "y", "gsd_m"), [("EPSG:32633", 5e8, 5e9, 10.0), ("EPSG:4326", 10, 500, None)]
)
def test_a_raster_not_on_earth_is_embedded_but_has_no_place(tmp_path, crs, x, y, gsd_m):
    step = 10 if gsd_m else 0.001
    path = write(tmp_path / "far.tif", picture(64, 64), from_origin(x, y, step, step), crs)
    steps = finish(EmbeddingSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    assert "far.tif has coordinates that are not on Earth" in steps[0].note
    assert steps[-1].embedded > 0
    table = open_table(tmp_path / "out")
    for name in ("geometry", "crs", "centre_lon", "grid_cell"):
        assert table.columns[name].null_count == len(table)
    assert table.stored.usable.all()


def test_tiles_near_a_pole_of_a_raster_in_degrees_are_square_or_left_out(tmp_path):
    path = write(tmp_path / "pole.tif", picture(300, 600), from_origin(0, 90, 0.01, 0.01), "EPSG:4326")
    steps = finish(EmbeddingSpec((path,), str(tmp_path / "out"), MODEL, tile_px=64))
    assert "9 tiles of pole.tif near a pole were left out" in steps[0].note
    frame = gpd.read_parquet(tmp_path / "out")
    assert len(frame) > 0
    np.testing.assert_allclose(frame.to_crs("EPSG:6931").area / (64 * frame.gsd_m) ** 2, 1, atol=0.05)


def test_outlines_across_the_antimeridian(tmp_path):
    path = write(
        tmp_path / "fiji.tif", picture(64, 256), from_origin(795_000, 8_000_000, 500, 500), "EPSG:32760"
    )
    finish(EmbeddingSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    import geopandas as gpd

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert set(frame.geometry.geom_type) == {"Polygon", "MultiPolygon"}
    assert frame.geometry.is_valid.all()
    areas = frame.to_crs("+proj=laea +lat_0=-18 +lon_0=180").area / 16_000**2
    np.testing.assert_allclose(areas, 1, atol=0.03)
    assert frame["centre_lon"].abs().min() > 178


def test_outlines_over_the_pole(tmp_path):
    path = write(
        tmp_path / "pole.tif", picture(96, 96), from_origin(-480_000, 480_000, 10_000, 10_000), "EPSG:3413"
    )
    finish(EmbeddingSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    import geopandas as gpd
    import shapely

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert frame.geometry.is_valid.all()
    with_pole = frame[shapely.contains_xy(frame.geometry.to_numpy(), 12.3, 89.99)]
    assert len(with_pole) == 1
    assert with_pole.geometry.iloc[0].bounds[3] == 90
    areas = shapely.area(frame.to_crs("EPSG:6931").geometry.to_numpy())[frame.geometry.geom_type == "Polygon"]
    assert len(areas) >= 6


@pytest.mark.parametrize(
    ("crs", "left", "top"),
    a_few([
        ("EPSG:3413", -3200, 3200),  # on corners of four tiles
        ("EPSG:3031", -1600, 3200), ("EPSG:3413", -1100, 3200),  # on an edge, at and between outline points
        ("EPSG:3413", -1100, 3200.5), ("EPSG:3413", -1100, 3199.5),  # beside an edge
        ("EPSG:3995", -1100, 3200.00001),
        ("EPSG:3413", -1500, 1700), ("EPSG:3031", -1100, 2900), ("EPSG:3995", -10, 1590),  # inside
    ], 2),
)  # fmt: skip
def test_a_pole_on_the_edge_of_a_tile(tmp_path, crs, left, top):
    path = write(tmp_path / "pole.tif", picture(64, 64), from_origin(left, top, 100, 100), crs)
    finish(EmbeddingSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert frame.geometry.is_valid.all()
    for outline, (x0, y0, x1, y1) in zip(frame.geometry, frame["pixel_bbox"], strict=True):
        truth = shapely.box(left + x0 * 100, top - y1 * 100, left + x1 * 100, top - y0 * 100)
        found = gpd.GeoSeries([shapely.segmentize(outline, 0.1)], crs=4326).to_crs(crs).iloc[0].buffer(0)
        wrong = found.symmetric_difference(truth).area / truth.area
        assert wrong < 0.003, f"{wrong:.4f} of the tile"


def test_places_of_the_globe_in_their_own_projections(tmp_path):
    finish(EmbeddingSpec(("globe",), str(tmp_path / "out"), MODEL, gsd_m=(30_000,), tile_px=SIDE, most=30))
    import geopandas as gpd

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert len(frame) == 30
    assert frame["centre_lat"].max() == 90
    assert frame["centre_lat"].min() == -90
    assert frame.geometry.is_valid.all()
    areas = frame.to_crs("+proj=cea +lat_ts=0").area / (SIDE * 30_000) ** 2
    np.testing.assert_allclose(areas[frame.centre_lat.abs() < 70], 1, atol=0.06)
