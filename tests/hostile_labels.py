"""Malicious and broken label files: GeoJSON, CSV, GeoPackage and Parquet for the Globe."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from tests.hostile_files import VRT, grey, png, zipped
from tests.hostile_tables import tables

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": {"class": "a", **properties}}


def collection(*features: Any, **more: Any) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features, **more}).encode()


def point(x: Any, y: Any = 0.0) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y]}


def package(*statements: str) -> bytes:
    """A GeoPackage made by these statements of SQL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.gpkg")
        file = sqlite3.connect(path)
        file.execute("PRAGMA application_id = 1196444487")
        for statement in statements:
            file.execute(statement)
        file.commit()
        file.close()
        return path.read_bytes()


def labels() -> dict[str, bytes]:
    """Label files that cannot be read."""
    deep: Any = {"type": "GeometryCollection", "geometries": []}
    for _ in range(150):
        deep = {"type": "GeometryCollection", "geometries": [deep]}
    contents = "CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT, srs_id INTEGER)"
    return {
        "brackets": b'{"type": "FeatureCollection", "features": ' + b"[" * 100_000,
        "coordinates without end": b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":'
        b'{"type":"Polygon","coordinates":' + b"[" * 50_000 + b"]" * 50_000 + b"}}]}",
        "collections of collections": collection(feature(deep)),
        "no features": collection(),
        "features that are none": b'{"type": "FeatureCollection", "features": 7}',
        "a feature that is none": collection(7, None),
        "a geometry that is none": collection(feature("everywhere"), feature([1, 2])),
        "an unknown shape": collection(feature({"type": "Sphere", "coordinates": [0, 0]})),
        "words for coordinates": collection(feature(point("here", "there"))),
        "a number of 5,000 digits": collection(feature(point(0.5))).replace(b"0.5", b"9" * 5000),
        "places that are no numbers": collection(feature(point(float("nan"), float("inf")))),
        "places of 1e308": collection(feature(point(1e308, -1e308))),
        "a ring of one point": collection(feature({"type": "Polygon", "coordinates": [[[0.0, 0.0]]]})),
        "a cut GeoJSON": collection(feature(point(1.0)))[:-20],
        "a CSV of one line of 3 MB": b"lon,lat,class\n" + b"1" * 3_000_000,
        "a CSV of quotes": b'lon,lat,class\n"' + b"a,\n" * 100_000,
        "a CSV of 100,000 columns": b",".join([b"lon", b"lat"] * 50_000) + b"\n",
        "a CSV of words": b"lon,lat,class\n" + b"here,there,a\n" * 1000,
        "a CSV beyond the poles": b"lon,lat,class\n" + b"1e300,-1e300,a\n" * 10,
        "a CSV of zeros": b"lon,lat,class\n" + bytes(10_000),
        "a CSV of no rows": b"lon,lat,class\n",
        "a GeoPackage of nothing": package(),
        "a GeoPackage of an absent table": package(contents, "INSERT INTO gpkg_contents VALUES ('x', "
                                                   "'features', 4326)"),
        "a GeoPackage whose view never ends": package(
            contents,
            "INSERT INTO gpkg_contents VALUES ('x', 'features', 4326)",
            "CREATE VIEW x AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS "
            "class FROM n",
        ),
        "a GeoPackage that is cut": package(contents)[:5000],
        "a GeoPackage of ones": package(contents)[:100] + b"\xff" * 20_000,
        "SQLite": b"SQLite format 3\0" + bytes(200),
        "a virtual raster": VRT.format("/etc/passwd").encode(),
        "a virtual table": b"<OGRVRTDataSource><OGRVRTLayer name='passwd'><SrcDataSource>/etc/passwd"
        b"</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
        "a picture": png(), "a raster": grey(), "a zip": zipped({"a.csv": b"lon,lat,class\n1,2,a\n"}),
        "a shapefile": b"\x00\x00\x27\x0a" + bytes(96), "a pickle": b"\x80\x04\x95" + bytes(60),
        "nothing": b"", "one byte": b"{",
        **{f"Parquet, {name}": tables()[name] for name in (
            "only magic", "a footer of 4 GB", "2 to the 62 rows", "a footer of zeros", "no rows"
        )},
    }  # fmt: skip
