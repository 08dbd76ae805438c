"""Where the rows of a sweep lie: without a place, across the antimeridian, over the poles, around the globe."""

import numpy as np
from rasterio.transform import from_origin

from core.atlas import open_table
from core.engine.sweep import SweepSpec
from tests.engine.sweeping import MODEL, SIDE, finish, picture, write


def test_no_crs_is_embedded_flagged_and_kept_off_the_map(tmp_path):
    path = write(tmp_path / "scene.tif", picture(), transform=None, crs=None)
    steps = finish(SweepSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    assert "does not say how much ground" in steps[0].note
    table = open_table(tmp_path / "out")
    assert np.isnan(table.lonlat).all()
    assert table.columns["geometry"].null_count == len(table)
    assert table.columns["gsd_m"].null_count == len(table)
    assert table.stored.usable.all()
    steps = finish(SweepSpec((path,), str(tmp_path / "stated"), MODEL, tile_px=SIDE, stated_gsd_m=0.5))
    assert "kept off the map" in steps[0].note
    assert set(open_table(tmp_path / "stated").columns["gsd_m"].to_pylist()) == {0.5}


def test_across_the_antimeridian(tmp_path):
    path = write(tmp_path / "fiji.tif", picture(64, 256), from_origin(795_000, 8_000_000, 500, 500), "EPSG:32760")
    finish(SweepSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    import geopandas as gpd

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert set(frame.geometry.geom_type) == {"Polygon", "MultiPolygon"}
    assert frame.geometry.is_valid.all()
    areas = frame.to_crs("+proj=laea +lat_0=-18 +lon_0=180").area / 16_000**2
    np.testing.assert_allclose(areas, 1, atol=0.03)
    assert frame["centre_lon"].abs().min() > 178


def test_over_the_pole(tmp_path):
    path = write(tmp_path / "pole.tif", picture(96, 96), from_origin(-480_000, 480_000, 10_000, 10_000), "EPSG:3413")
    finish(SweepSpec((path,), str(tmp_path / "out"), MODEL, tile_px=SIDE))
    import geopandas as gpd
    import shapely

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert frame.geometry.is_valid.all()
    with_pole = frame[shapely.contains_xy(frame.geometry.to_numpy(), 12.3, 89.99)]
    assert len(with_pole) == 1
    assert with_pole.geometry.iloc[0].bounds[3] == 90
    areas = shapely.area(frame.to_crs("EPSG:6931").geometry.to_numpy())[frame.geometry.geom_type == "Polygon"]
    assert len(areas) >= 6


def test_the_globe_in_its_own_frames(tmp_path):
    finish(SweepSpec(("globe",), str(tmp_path / "out"), MODEL, gsd_m=(30_000,), tile_px=SIDE, most=30))
    import geopandas as gpd

    frame = gpd.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert len(frame) == 30
    assert frame["centre_lat"].max() == 90
    assert frame["centre_lat"].min() == -90
    assert frame.geometry.is_valid.all()
    areas = frame.to_crs("+proj=cea +lat_ts=0").area / (SIDE * 30_000) ** 2
    np.testing.assert_allclose(areas[frame.centre_lat.abs() < 70], 1, atol=0.06)
