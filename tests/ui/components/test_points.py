"""The binary files that the globe fetches."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from earth_mae_components import PointsError, encode_colours, encode_points, encode_surface


def test_a_point_takes_seventeen_bytes() -> None:
    lonlat, xy = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([[7, 8], [9, 10], [11, 12]])
    data = encode_points(lonlat=lonlat, xy=xy, classes=[1, 2, 255])
    assert len(data) == 16 + 17 * 3
    assert struct.unpack("<4sIII", data[:16]) == (b"EMP1", 3, 7, 0)
    assert np.array_equal(np.frombuffer(data[16:40], "<f4").reshape(3, 2), lonlat)
    assert np.array_equal(np.frombuffer(data[40:64], "<f4").reshape(3, 2), xy)
    assert list(data[64:]) == [1, 2, 255]


def test_points_without_locations_or_rows() -> None:
    assert struct.unpack("<4sIII", encode_points(xy=np.zeros((2, 2)))[:16]) == (b"EMP1", 2, 2, 0)
    assert len(encode_points(lonlat=np.zeros((0, 2)), xy=np.zeros((0, 2)))) == 16


def test_colours_as_palette_positions_or_rgb() -> None:
    assert encode_colours([3, 4]) == struct.pack("<4sIII", b"EMC1", 2, 0, 0) + bytes([3, 4])
    assert encode_colours([[1, 2, 3]]) == struct.pack("<4sIII", b"EMC1", 1, 1, 0) + bytes([1, 2, 3])


def test_inconsistent_arrays_are_refused() -> None:
    for make in (
        lambda: encode_points(),
        lambda: encode_points(lonlat=np.zeros((2, 2)), xy=np.zeros((3, 2))),
        lambda: encode_points(lonlat=np.zeros(4)),
        lambda: encode_points(xy=np.zeros((2, 2)), classes=[1]),
        lambda: encode_colours(np.zeros((2, 4))),
    ):
        with pytest.raises(PointsError):
            make()


def test_a_surface_holds_width_height_and_rows() -> None:
    rows = np.array([[0, -1, 7], [300_000, 2, -1]])
    data = gzip.decompress(encode_surface(rows))
    assert struct.unpack("<4sIII", data[:16]) == (b"EMS1", 3, 2, 0)
    assert np.frombuffer(data, "<i4", offset=16).reshape(2, 3).tolist() == rows.tolist()
    assert encode_surface(rows) == encode_surface(rows)  # equal bytes have the same address
    with pytest.raises(PointsError, match="height, width"):
        encode_surface(np.zeros(4))
