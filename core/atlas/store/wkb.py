"""A check of shapes before they are parsed: GEOS recurses into nested shapes and would exhaust the stack."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

pc: Any = pyarrow.compute

POINT, LINE, POLYGON = 1, 2, 3
MULTI = {4: POINT, 5: LINE, 6: POLYGON}
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000


def without_nested(column: pa.ChunkedArray) -> pa.Array:
    """Give a column of WKB with null in place of shapes that may be nested: collections and curves.

    Points, lines, polygons and flat multi-shapes of them are kept, also if they are damaged.
    """
    shapes = pc.cast(column, pa.binary())
    shapes = pa.concat_arrays(shapes.chunks) if shapes.num_chunks else pa.array([], pa.binary())
    codes = _codes(shapes)
    flat = np.isin(codes, (0, POINT, LINE, POLYGON))
    for row in np.flatnonzero(np.isin(codes, list(MULTI))):
        flat[row] = _is_flat(shapes[int(row)].as_py())
    return shapes if flat.all() else pc.if_else(pa.array(flat), shapes, None)


def _codes(shapes: pa.BinaryArray) -> NDArray[np.int64]:
    """Give the type of each shape, without its dimensions; 0 for null and for less than a header."""
    _, offsets, data = shapes.buffers()
    codes = np.zeros(len(shapes), np.int64)
    if data is None or not len(shapes):
        return codes
    at = np.frombuffer(offsets, np.int32, len(shapes) + 1, 4 * shapes.offset).astype(np.int64)
    rows = np.flatnonzero(np.diff(at) >= 5)
    header = np.frombuffer(data, np.uint8)[at[rows, None] + np.arange(5)].astype(np.int64)
    little = header[:, 1] + 256 * header[:, 2]
    big = header[:, 4] + 256 * header[:, 3]
    codes[rows] = np.where(header[:, 0] == 1, little, big) % 1000
    return codes


def _is_flat(shape: bytes) -> bool:
    """Tell whether every part of a multi-shape is a simple shape of its kind."""
    try:
        at, order, code, size = _header(shape, 0)
        simple = MULTI[code]
        (count,) = struct.unpack_from(f"{order}I", shape, at)
        at += 4
        for _ in range(count):
            at, order, code, size = _header(shape, at)
            if code != simple:
                return False
            at = _end(shape, at, order, code, size)
    except struct.error:  # the parts seen so far were simple, and there are no more
        pass
    return True


def _header(shape: bytes, at: int) -> tuple[int, str, int, int]:
    """Read a header: where the content starts, byte order, type, bytes of a point."""
    order = "<" if shape[at : at + 1] == b"\x01" else ">"
    (kind,) = struct.unpack_from(f"{order}I", shape, at + 1)
    dimensions = (kind & 0xFFFF) // 1000
    has_z, has_m = bool(kind & _Z) or dimensions in (1, 3), bool(kind & _M) or dimensions in (2, 3)
    return at + (9 if kind & _SRID else 5), order, (kind & 0xFFFF) % 1000, 8 * (2 + has_z + has_m)


def _end(shape: bytes, at: int, order: str, code: int, size: int) -> int:
    """Give where a simple shape ends."""
    if code == POINT:
        return at + size
    rings = 1
    if code == POLYGON:
        (rings,) = struct.unpack_from(f"{order}I", shape, at)
        at += 4
    for _ in range(rings):
        (count,) = struct.unpack_from(f"{order}I", shape, at)
        at += 4 + count * size
    return at
