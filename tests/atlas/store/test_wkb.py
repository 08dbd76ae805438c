"""Shapes that GEOS would parse by recursion are left out; all others stay as they are."""

import struct

import numpy as np
import pyarrow as pa
import pytest
import shapely

from core.atlas.store.wkb import without_nested

SQUARE = shapely.box(0, 0, 1, 1)
HOLED = SQUARE.buffer(1, quad_segs=4).difference(SQUARE.buffer(-0.2))
SHAPES = [
    shapely.Point(1, 2),
    shapely.Point(1, 2, 3),
    shapely.LineString([(0, 0), (1, 1)]),
    SQUARE,
    HOLED,
    shapely.Point(),
    shapely.Polygon(),
    shapely.MultiPoint([(0, 0), (1, 1)]),
    shapely.MultiPoint([(0, 0, 1), (1, 1, 1)]),
    shapely.MultiLineString([[(0, 0), (1, 1)]] * 3),
    shapely.MultiPolygon([SQUARE, shapely.affinity.translate(HOLED, 9)]),
    shapely.MultiPolygon([shapely.force_3d(SQUARE)] * 2),
]


def column(shapes):
    return pa.chunked_array([pa.array(shapes, pa.binary())])


@pytest.mark.parametrize("options", [{}, {"byte_order": 0}, {"flavor": "iso"}, {"include_srid": True}])
def test_flat_shapes_are_kept(options):
    shapes = [bytes(one) for one in shapely.to_wkb(shapely.set_srid(SHAPES, 4326), **options)]
    assert without_nested(column([*shapes, None, b"", b"\x01"])).to_pylist() == [*shapes, None, b"", b"\x01"]


def test_every_chunk_and_slice_is_checked():
    collection = shapely.to_wkb(shapely.GeometryCollection([SQUARE]))
    square = shapely.to_wkb(SQUARE)
    chunks = [
        pa.array([collection, square, collection]).slice(1),
        pa.array([None, collection]),
        pa.array([square]),
    ]
    assert without_nested(pa.chunked_array(chunks)).to_pylist() == [square, None, None, None, square]
    assert without_nested(pa.chunked_array([], pa.binary())).to_pylist() == []
    assert without_nested(pa.chunked_array([pa.array([square], pa.large_binary())])).to_pylist() == [square]


def header(kind, count, order="<"):
    return struct.pack(f"{order}BII", order == "<", kind, count)


@pytest.mark.parametrize(
    "shape",
    [
        header(7, 1) * 1000,
        header(7, 1, ">") * 1000,
        header(1007, 1) * 3,
        header(0x80000007, 1) * 3,
        struct.pack("<BIII", 1, 0x20000007, 4326, 1) + header(7, 1) * 3,
        header(6, 1) * 1000,
        header(6, 1) + header(7, 1) * 1000,
        header(6, 2) + header(3, 0) + header(7, 1) * 1000,
        header(6, 2, ">") + header(3, 0) + header(6, 1) * 1000,
        header(5, 2) + header(2, 1) + struct.pack("<dd", 0, 0) + header(5, 1) * 9,
        header(4, 2) + struct.pack("<BIdd", 1, 1, 0, 0) + header(7, 1) * 9,
        header(9, 1) * 9,
        header(12, 1) * 9,
        header(10, 1) * 9,
    ],
)
def test_nested_shapes_are_left_out(shape):
    assert without_nested(column([shape, shape, None])).to_pylist() == [None, None, None]


def test_random_bytes_behind_a_header_raise_nothing():
    generator = np.random.default_rng(0)
    shapes = [
        header(int(kind), int(count)) + generator.bytes(40)
        for kind, count in generator.integers(0, 9, (500, 2))
    ]
    assert len(without_nested(column(shapes))) == 500
