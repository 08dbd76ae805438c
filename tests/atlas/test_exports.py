"""A value for every row as GeoJSON, GeoParquet, PMTiles and COG, read back by other programs."""

import io
import json

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from pmtiles import reader as pmtiles_reader

from core.atlas import EmbeddingTable, TableError, make_rows
from core.atlas import exports as module
from core.atlas.exports import cog, geojson, geoparquet, pmtiles


@pytest.fixture
def table(rows):
    return EmbeddingTable.from_rows(rows(n=300), "bunches")


@pytest.fixture
def columns():
    probability = np.linspace(0, 1, 300, dtype=np.float32)
    probability[7] = np.nan
    return {"probability": probability, "mark": ["yes", None, "no"] * 100}


def test_geojson_holds_outlines_and_values(table, columns):
    collection = json.loads(geojson(table, columns, about={"title": "rivers"}))
    assert collection["about"] == {"title": "rivers"}
    assert len(collection["features"]) == 300
    first, eighth = collection["features"][0], collection["features"][7]
    assert first["properties"]["mark"] == "yes" and first["properties"]["probability"] == 0
    assert "probability" not in eighth["properties"]
    assert shapely.geometry.shape(first["geometry"]).contains(shapely.Point(table.lonlat[0]))


def test_geoparquet_is_read_back_with_its_places(table, columns):
    content = geoparquet(table, columns, about={"title": "rivers"})
    schema, found = pq.read_schema(io.BytesIO(content)), gpd.read_parquet(io.BytesIO(content))
    assert json.loads(schema.metadata[b"about"]) == {"title": "rivers"}
    assert json.loads(schema.metadata[b"geo"])["columns"]["geometry"]["covering"]["bbox"]["xmin"] == [
        "bbox",
        "xmin",
    ]
    assert found.crs.to_epsg() == 4326 and {"unique_id", "model", "probability", "mark"} <= set(found.columns)
    np.testing.assert_allclose(found.probability, columns["probability"])
    assert found.geometry[5].contains(shapely.Point(table.lonlat[5]))


def test_pmtiles_hold_every_outline_at_the_last_zoom(table, columns, tmp_path):
    path = tmp_path / "a.pmtiles"
    path.write_bytes(pmtiles(table, columns, about={"title": "rivers"}))
    with path.open("rb") as file:
        reader = pmtiles_reader.Reader(pmtiles_reader.MmapSource(file))
        header, about = reader.header(), reader.metadata()
        assert reader.get(0, 0, 0)
    assert json.loads(about["description"]) == {"title": "rivers"}
    assert header["min_zoom"] == 0 < header["max_zoom"] <= module.DEEPEST_ZOOM
    found = gpd.read_file(path, engine="pyogrio").to_crs(4326)
    shown = found.drop_duplicates("unique_id").set_index("unique_id")
    assert len(shown) == 300 and shown.colour.str.fullmatch("#[0-9a-f]{6}").all()
    sixth = shown.loc[table.columns["unique_id"][5].as_py()]
    assert sixth.probability == pytest.approx(columns["probability"][5])
    assert sixth.geometry.distance(shapely.Point(table.lonlat[5])) < 0.01


def test_a_crowded_tile_stays_small(table, columns, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TILE_FEATURES", 10)
    path = tmp_path / "a.pmtiles"
    path.write_bytes(pmtiles(table, columns))
    assert len(gpd.read_file(path, engine="pyogrio", ZOOM_LEVEL=0)) <= 10


def test_a_cog_fills_each_tile_with_its_value(table, columns):
    import rasterio
    from rasterio.io import MemoryFile

    content = cog(table, {"probability": columns["probability"]}, about={"title": "rivers"})
    with MemoryFile(content) as memory, memory.open() as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and raster.descriptions == (
            "probability",
        )
        assert json.loads(raster.tags()["ABOUT"]) == {"title": "rivers"}
        assert raster.crs == rasterio.CRS.from_epsg(4326) and max(raster.shape) <= module.WIDEST_PX
        seen = np.array([value[0] for value in raster.sample(table.lonlat.tolist())])
    alone = [
        n
        for n, outline in enumerate(shapely.from_wkb(table.columns["geometry"].to_numpy()))
        if n != 7 and _alone(table, outline)
    ]
    assert len(alone) > 200
    np.testing.assert_allclose(seen[alone], columns["probability"][alone], atol=1e-6)
    assert np.isnan(seen[7])


def _alone(table, outline):
    return (
        sum(outline.intersects(other) for other in shapely.from_wkb(table.columns["geometry"].to_numpy()))
        == 1
    )


def test_rows_with_a_centre_only_become_points():
    table = EmbeddingTable.from_rows(
        make_rows(
            np.eye(3, dtype=np.float32), {"centre_lon": [1.0, 2.0, np.nan], "centre_lat": [3.0, 4.0, np.nan]}
        )
    )
    collection = json.loads(geojson(table, {"probability": np.array([0.1, 0.2, 0.3], np.float32)}))
    assert [feature["geometry"] for feature in collection["features"]] == [
        {"type": "Point", "coordinates": [x, x + 2]} for x in (1, 2)
    ]
    assert cog(table, {"probability": np.array([0.1, 0.2, 0.3], np.float32)})[:2] == b"II"


def test_tables_that_cannot_be_mapped_are_reported(table, columns, monkeypatch):
    nowhere = EmbeddingTable.from_rows(make_rows(np.eye(3, dtype=np.float32), {}))
    for write in (geojson, geoparquet, cog):
        with pytest.raises(TableError, match="does not say where its rows are"):
            write(nowhere, {"probability": np.zeros(3, np.float32)})
    with pytest.raises(TableError, match="2 values for 300 rows"):
        geojson(table, {"probability": np.zeros(2, np.float32)})
    monkeypatch.setattr(module, "GEOJSON_ROWS", 10)
    with pytest.raises(TableError, match="use GeoParquet"):
        geojson(table, columns)
