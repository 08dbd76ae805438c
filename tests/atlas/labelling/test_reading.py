"""Label files of each format, and the errors for invalid files."""

import json
import sqlite3

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from core.atlas.errors import LabelError
from core.atlas.labelling import parsing
from core.atlas.labelling.reading import LabelColumns, read_labels

SQUARE = shapely.box(10, 45, 10.1, 45.1)
BOWTIE = shapely.Polygon([(10, 45), (10.1, 45.1), (10.1, 45), (10, 45.1)])


def parse(data: bytes, name: str = "labels", **columns: str) -> dict:
    """Parse in this process, which is what the child process does."""
    return parsing.parse(data, name, *(columns.get(key, "") for key in ("column", "kind", "region", "crs")))


def geojson(*pairs: tuple[object, object]) -> bytes:
    features = [
        {"type": "Feature", "properties": {"class": label}, "geometry": shapely.geometry.mapping(shape)}
        for shape, label in pairs
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


@pytest.mark.parametrize("name", ["labels.geojson", "labels.gpkg", "labels.parquet", "labels.csv"])
def test_every_format_gives_the_same_labels(label_files, name):
    found = read_labels(label_files / name, "", LabelColumns(region="county"))
    assert (len(found), found.kind, found.column, found.problems) == (300, "class", "class", ())
    assert found.classes == ("forest", "urban", "water") and found.region_names == ("east", "west")
    want = gpd.read_parquet(label_files / "labels.parquet")
    assert [found.classes[int(v)] for v in found.values] == want["class"].tolist()
    centres, expected = (
        shapely.get_coordinates(shapely.centroid(np.asarray(shapes)))
        for shapes in (found.shapes, want.geometry)
    )
    np.testing.assert_allclose(centres, expected, atol=1e-6)


def test_numbers_and_bytes(label_files):
    found = read_labels((label_files / "labels.gpkg").read_bytes(), "x.gpkg", LabelColumns(column="height"))
    assert found.kind == "number" and found.classes == ()
    assert found.values.dtype == np.float64 and np.ptp(found.values) > 1


def test_a_file_without_crs_asks_for_one(tmp_path):
    gpd.GeoDataFrame({"class": ["a", "b"]}, geometry=[SQUARE, SQUARE]).to_parquet(tmp_path / "l.parquet")
    data = (tmp_path / "l.parquet").read_bytes()
    with pytest.raises(LabelError, match="does not state its coordinate system"):
        parse(data)
    assert len(parse(data, crs="EPSG:4326")["values"]) == 2
    with pytest.raises(LabelError, match="is not a coordinate system"):
        parse(data, crs="EPSG:nonsense")
    text = pd.DataFrame({"x": [5e5, 5e5], "y": [5e6, 5e6], "class": ["a", "b"]}).to_csv().encode()
    with pytest.raises(LabelError, match="does not state its coordinate system"):
        parse(text)
    found = shapely.from_wkb(parse(text, crs="EPSG:32632")["wkb"][:21])
    assert (found.x, found.y) == pytest.approx((9, 45.153), abs=0.01)


def test_metres_taken_for_degrees_are_noticed():
    text = pd.DataFrame({"lon": [5e5, 5e5], "lat": [5e6, 5e6], "class": ["a", "b"]}).to_csv().encode()
    with pytest.raises(LabelError, match="not degrees: name"):
        parse(text)


def test_a_given_crs_replaces_a_missing_or_wrong_one():
    """GeoJSON states no CRS and then means degrees, but Python and R also write it in metres."""
    metres = geojson((shapely.box(5e5, 5e6, 5.1e5, 5.01e6), "a"), (shapely.Point(5e5, 5e6), "b"))
    with pytest.raises(LabelError, match="name their coordinate system"):
        parse(metres)
    found = parse(metres, crs="EPSG:32632")
    assert found["problems"][0] == "Coordinates are read as EPSG:32632; the file itself says WGS 84."
    centre = shapely.from_wkb(found["wkb"][: found["lengths"][0]]).centroid
    assert (centre.x, centre.y) == pytest.approx((9.064, 45.198), abs=0.01)
    assert not parse(geojson((SQUARE, "a"), (SQUARE, "b")), crs="EPSG:4326")["problems"]


def test_invalid_polygons_are_repaired_and_reported():
    found = parse(geojson((BOWTIE, "a"), (SQUARE, "b")))
    assert found["problems"] == ["1 polygon was invalid and repaired."]
    repaired = shapely.from_wkb(found["wkb"][: found["lengths"][0]])
    assert repaired.is_valid and repaired.area == pytest.approx(0.005)


def test_mixed_shapes_and_missing_labels_are_reported():
    line = shapely.LineString([(10, 45), (11, 46)])
    pairs = [(SQUARE, "a"), (shapely.Point(10, 45), "b"), (line, "a"), (SQUARE, None)]
    found = parse(geojson(*pairs))
    problems = " ".join(found["problems"])
    assert len(found["values"]) == 2 and "mixes 1 points and 1 polygons" in problems
    assert "neither a point nor a polygon" in problems and "without a label" in problems


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "is not a label file"),
        (b'{"type": "FeatureCollection", "features": [', "cannot be read"),
        (b'{"type": "FeatureCollection", "features": []}', "holds no features"),
        (b"PAR1nonsense", "cannot be read"),
        (b"a,b\n1,2\n", "does not say where"),
        (b"lon,lat\n1,2\n", "no column with a class"),
        (geojson((SQUARE, None), (SQUARE, None)), "is empty"),
    ],
)
def test_files_without_labels_are_reported(data, says):
    with pytest.raises(LabelError, match=says):
        parse(data)


def test_an_sqlite_file_that_is_not_a_geopackage_is_not_opened(tmp_path):
    with sqlite3.connect(tmp_path / "x.gpkg") as file:
        file.execute("create table t(a)")
    with pytest.raises(LabelError, match="is not a label file"):
        parse((tmp_path / "x.gpkg").read_bytes())


def test_a_missing_column_is_named():
    with pytest.raises(LabelError, match=r"no column 'crop'.*class"):
        parse(geojson((SQUARE, "a"), (SQUARE, "b")), column="crop")


def test_a_crash_of_the_child_process_is_reported(tmp_path):
    with pytest.raises(LabelError, match="no file"):
        read_labels(tmp_path / "absent.csv")
    with pytest.raises(LabelError, match="is not a label file"):
        read_labels(b"\0\1\2", "odd.bin")
