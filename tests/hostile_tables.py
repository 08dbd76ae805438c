"""Malicious and broken tables: Parquet with a false footer, bombs, invalid places.

`tables` are refused when their columns and vectors are read; `odd_tables` may also be shown.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.parquet_lies import (
    BINARY,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    changed,
    chunk,
    column,
    element,
    with_page,
)

ROWS, WIDTH = 40, 8
HUGE, BACKWARDS = 2**62, -(2**40)


def plain(**columns: Any) -> pa.Table:
    """A table of vectors with places and names; columns may be replaced or added."""
    generator = np.random.default_rng(0)
    return pa.table(
        {
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(generator.normal(size=ROWS * WIDTH).astype(np.float32)), WIDTH
            ),
            "lon": generator.uniform(-180, 180, ROWS),
            "lat": generator.uniform(-80, 80, ROWS),
            "id": [f"place {n % 7}" for n in range(ROWS)],
            **columns,
        }
    )


def written(table: pa.Table | None = None, **options: Any) -> bytes:
    """Write a table as Parquet."""
    out = io.BytesIO()
    pq.write_table(plain() if table is None else table, out, **options)
    return out.getvalue()


@cache
def whole() -> bytes:
    """A valid table."""
    return written()


def footer(change: Callable[[Struct], object]) -> bytes:
    return changed(whole(), change)


def claim(name: str, number: int, value: Any) -> bytes:
    """A footer that gives a column's metadata another value."""
    return footer(lambda found: column(found, name)[number].__setitem__(1, value))


def page(name: str, number: int, value: Any, **which: Any) -> bytes:
    """A page header with another value."""
    return with_page(whole(), name, lambda header: header[number].__setitem__(1, value), **which)


def inner(name: str, field: int, number: int, value: Any, **which: Any) -> bytes:
    """A data page header, or dictionary page header, with another value."""
    return with_page(whole(), name, lambda header: header[field][1][number].__setitem__(1, value), **which)


def collection(depth: int) -> bytes:
    """WKB of geometry collections, one inside the other."""
    return struct.pack("<BII", 1, 7, 1) * depth + struct.pack("<BIdd", 1, 1, 0.0, 0.0)


def nested_in_a_part(depth: int) -> bytes:
    """WKB of a multipolygon of an empty polygon and of multipolygons, one inside the other."""
    return struct.pack("<BIIBII", 1, 6, 2, 1, 3, 0) + struct.pack("<BII", 1, 6, 1) * depth


def nested(depth: int) -> bytes:
    """A schema of groups, one inside the other."""

    def change(found: Struct) -> None:
        group = {3: [I32, 0], 4: [BINARY, b"g"], 5: [I32, 1]}
        found[2][1][1][1:1] = [dict(group) for _ in range(depth)]
        for one in found[4][1][1][0][1][1][1][:1]:
            one[3][1][3][1][1][0:0] = [b"g"] * depth

    return footer(change)


def swollen(found: Struct) -> None:
    """Two thousand row groups of the same data."""
    groups = found[4][1][1]
    groups *= 2_000
    found[3][1] = ROWS * 2_000


def elsewhere(path: bytes) -> bytes:
    return footer(lambda found: chunk(found, "lat").__setitem__(1, [BINARY, path]))


def statistics(number: int, kind: int, value: Any) -> bytes:
    return footer(lambda found: column(found, "lat")[12][1].__setitem__(number, [kind, value]))


def metadata(key: bytes, value: bytes) -> bytes:
    """A key of the file's own metadata with another value."""

    def change(found: Struct) -> None:
        pair = {1: [BINARY, key], 2: [BINARY, value]}
        others = [one for one in found.get(5, [LIST, [STRUCT, []]])[1][1] if one[1][1] != key]
        found[5] = [LIST, [STRUCT, [*others, pair]]]

    return footer(change)


def claimed_schema(width: int) -> bytes:
    """An Arrow schema in the footer that claims other vectors than the file holds."""
    import base64

    schema = pa.schema(
        [("embedding", pa.list_(pa.float32(), width)), ("lon", pa.float64()), ("lat", pa.float64())]
    )
    return metadata(b"ARROW:schema", base64.b64encode(schema.serialize().to_pybytes()))


def tables() -> dict[str, bytes]:
    """Tables that cannot be read."""
    data = whole()
    length = struct.unpack("<I", data[-8:-4])[0]
    return {
        **{
            f"cut after {n} bytes": data[:n]
            for n in (0, 3, 4, 12, len(data) // 2, len(data) - 9, len(data) - 1)
        },
        "only magic": b"PAR1PAR1",
        "a footer of 4 GB": data[:-8] + b"\xff\xff\xff\xffPAR1",
        "a footer longer than the file": data[:-8] + struct.pack("<I", len(data)) + b"PAR1",
        "a footer of nothing": data[:-8] + bytes(4) + b"PAR1",
        "an encrypted footer": data[:-4] + b"PARE",
        "a footer of zeros": data[: -8 - length] + bytes(length) + data[-8:],
        "a footer of ones": data[: -8 - length] + b"\xff" * length + data[-8:],
        "text": b"PAR1" + b"rows, honestly " * 40 + b"PAR1",
        "a zip": b"PK\x03\x04" + bytes(100),
        "Feather": b"ARROW1\0\0" + bytes(60),
        "2 to the 62 rows": footer(lambda found: found[3].__setitem__(1, HUGE)),
        "fewer rows than none": footer(lambda found: found[3].__setitem__(1, -1)),
        "no rows": footer(lambda found: found[3].__setitem__(1, 0)),
        "a row group of 2 to the 62 rows": footer(lambda found: found[4][1][1][0][3].__setitem__(1, HUGE)),
        "a row group of fewer rows than none": footer(lambda found: found[4][1][1][0][3].__setitem__(1, -5)),
        "no row groups": footer(lambda found: found[4].__setitem__(1, [STRUCT, []])),
        "a root of 2 to the 31 children": footer(
            lambda found: found[2][1][1][0][5].__setitem__(1, 2**31 - 1)
        ),
        "a root of fewer children than none": footer(lambda found: found[2][1][1][0][5].__setitem__(1, -1)),
        "no schema": footer(lambda found: found[2].__setitem__(1, [STRUCT, []])),
        "a schema of 100,000 groups": nested(100_000),
        "a schema of 300 groups": nested(300),
        "2 to the 40 vectors": claim("embedding", 5, 2**40),
        "fewer vectors than none": claim("embedding", 5, -1),
        "an unknown compression": claim("embedding", 4, 99),
        "another compression": claim("embedding", 4, 6),
        "another type": claim("embedding", 1, 6),
        "pages before the file": claim("embedding", 9, BACKWARDS),
        "pages of 2 to the 62 bytes": claim("embedding", 7, HUGE),
        "pages of fewer bytes than none": claim("embedding", 7, -1),
        "a page of 2 GB": page("embedding", 2, 2**31 - 1),
        "a page of fewer bytes than none": page("embedding", 2, -1),
        "a packed page of 2 GB": page("embedding", 3, 2**31 - 1),
        "a packed page of fewer bytes than none": page("embedding", 3, -7),
        "an unknown kind of page": page("embedding", 1, 77),
        "a page of 2 to the 31 values": inner("embedding", 5, 1, 2**31 - 1),
        "a page of fewer values than none": inner("embedding", 5, 1, -1),
        "an unknown encoding": inner("embedding", 5, 2, 55),
        "a page of words where numbers are": inner("embedding", 5, 2, 8),
        "a dictionary of 2 to the 31 words": inner("id", 7, 1, 2**31 - 1, dictionary=True),
        "a dictionary of one word": inner("id", 7, 1, 1, dictionary=True),
        "a dictionary of fewer words than none": inner("id", 7, 1, -1, dictionary=True),
        "a vector of text": written(plain(embedding=pa.array(["x"] * ROWS))),
        "vectors of vectors": written(plain(embedding=pa.array([[[1.0] * 8]] * ROWS))),
        "vectors of different lengths": written(
            plain(embedding=pa.array([[1.0] * (1 + n % 3) for n in range(ROWS)]))
        ),
        "vectors of nothing": written(plain(embedding=pa.array([[]] * ROWS, pa.list_(pa.float32())))),
        "no vectors at all": written(plain().drop_columns(["embedding"])),
        "vectors that are all missing": written(plain(embedding=pa.nulls(ROWS, pa.list_(pa.float32(), 8)))),
        "vectors of NaN": written(
            plain(
                embedding=pa.FixedSizeListArray.from_arrays(
                    pa.array(np.full(ROWS * 8, np.nan, np.float32)), 8
                )
            )
        ),
        "a word of a megabyte in every row": bomb_of_words(),
        "equal rows without end": bomb_of_rows(),
    }


def bomb_of_words() -> bytes:
    """A word of a megabyte, named by each of 20,000 rows: 20 GB once decoded."""
    rows = 20_000
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(rows * 8, np.float32)), 8)
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * 1_000_000])
    return written(pa.table({"embedding": vectors, "id": words}), compression="zstd", store_schema=False)


def bomb_of_rows() -> bytes:
    """Twenty million equal rows."""
    return written(
        pa.table({f"e{n}": pa.array(np.zeros(20_000_000, np.float32)) for n in range(8)}), compression="zstd"
    )


def odd_tables() -> dict[str, bytes]:
    """Tables that lie about something that need not matter: each may be shown or refused."""
    outlines = {
        "collections of collections": collection(100_000),
        "a polygon of 2 to the 32 rings": struct.pack("<BII", 1, 3, 2**32 - 1),
        "a ring of 2 to the 32 points": struct.pack("<BIII", 1, 3, 1, 2**32 - 1),
        "an unknown shape": struct.pack("<BI", 1, 77),
        "nothing": b"",
        "a point without numbers": struct.pack("<BI", 1, 1),
        "a point nowhere": struct.pack("<BIdd", 1, 1, np.nan, np.inf),
    }
    found = {
        f"outlines: {name}": written(
            plain(geometry=pa.array([shape] * ROWS, pa.binary())).drop_columns(["lon", "lat"])
        )
        for name, shape in outlines.items()
    }
    strings = pa.StringArray.from_buffers(
        ROWS, pa.py_buffer(np.arange(0, 2 * ROWS + 1, 2, dtype=np.int32)), pa.py_buffer(b"\xff\xfe" * ROWS)
    )
    return found | {
        "pages behind the file": claim("embedding", 9, 2**40),
        "pages in the footer": claim("embedding", 9, len(whole()) - 100),
        "a file elsewhere": elsewhere(b"/etc/passwd"),
        "a file in another folder": elsewhere(b"../../secret.parquet"),
        "vectors of 2 billion claimed values": claimed_schema(2_000_000_000),
        "outlines: a shape nested in the second part of another": written(
            plain(geometry=pa.array([nested_in_a_part(100_000)] * ROWS, pa.binary())).drop_columns(
                ["lon", "lat"]
            )
        ),
        "statistics that lie": statistics(5, BINARY, struct.pack("<d", -1e308)),
        "statistics of no double": statistics(6, BINARY, b"x"),
        "fewer missing values than none": statistics(3, I64, -9),
        "2 to the 62 missing values": statistics(3, I64, HUGE),
        "unpacked pages of 2 to the 62 bytes": claim("lat", 6, HUGE),
        "unpacked pages of fewer bytes than none": claim("lat", 6, -1),
        "another schema in its metadata": metadata(b"ARROW:schema", b"AAAA"),
        "a schema that is no base64": metadata(b"ARROW:schema", b"\xff" * 999),
        "vectors of another claimed width": claimed_schema(7),
        "two thousand row groups": footer(swollen),
        "a place that is none": metadata(b"geo", b"{" * 100_000),
        "a table that is none": metadata(b"emb", b"[" * 100_000),
        "scales that are none": metadata(b"emb", b'{"quantization": {"scale": NaN}, "dimensions": 1e400}'),
        "metadata of 20 MB": metadata(b"emb", b" " * 20_000_000),
        "two columns of a name": footer(lambda f: element(f, "lon")[4].__setitem__(1, b"lat")),
        "a name of 10 MB": footer(lambda f: element(f, "id")[4].__setitem__(1, b"i" * 10_000_000)),
        "a name that is no text": footer(lambda f: element(f, "id")[4].__setitem__(1, b"\xff\xfe")),
        "a writer that is no text": footer(lambda f: f[6].__setitem__(1, b"\xff" * 70_000)),
        "words that are no text": written(
            plain(id=strings, unique_id=strings, model=strings, source=strings)
        ),
        "places beyond the poles": written(plain(lat=np.full(ROWS, 1e308), lon=np.full(ROWS, -1e308))),
        "places that are no numbers": written(plain(lat=np.full(ROWS, np.nan), lon=np.full(ROWS, np.inf))),
        "places that are words": written(plain(lat=["here"] * ROWS, lon=["there"] * ROWS)),
        "a bbox without sides": written(
            plain(bbox=pa.array([{"a": 1.0}] * ROWS)).drop_columns(["lon", "lat"])
        ),
        "a bbox of words": written(
            plain(bbox=pa.array([{"xmin": "a", "ymin": "b", "xmax": "c", "ymax": "d"}] * ROWS)).drop_columns(
                ["lon", "lat"]
            )
        ),
        "times beyond time": written(
            plain(timestamp=pa.array([2**62, -(2**62)] * (ROWS // 2), pa.timestamp("us")))
        ),
        "times without a zone": written(
            plain(
                timestamp=pa.array(
                    [datetime(1, 1, 1), datetime(9999, 12, 31)] * (ROWS // 2), pa.timestamp("us")
                )
            )
        ),
        "scales beyond Earth": written(plain(gsd_m=[-1.0, 0.0, 1e308, float("nan")] * (ROWS // 4))),
        "windows beyond pictures": written(
            plain(pixel_bbox=pa.array([[2**31 - 1, -(2**31), 0, 0]] * ROWS, pa.list_(pa.int32(), 4)))
        ),
        "sizes beyond reason": written(
            plain(image_size=pa.array([2**31 - 1, -1, 0, 1] * (ROWS // 4), pa.int32()))
        ),
        "values that overflow": written(
            plain(
                embedding=pa.FixedSizeListArray.from_arrays(pa.array(np.full(ROWS * 8, 3e38, np.float32)), 8)
            )
        ),
        "a model in every row": written(plain(model=[f"model {n}" for n in range(ROWS)])),
        "a model of a megabyte": written(plain(model=["x" * 1_000_000] * ROWS)),
        "a model that is Markdown": written(plain(model=["![x](http://127.0.0.1:9/p.png)"] * ROWS)),
        "equal names": written(plain(unique_id=["x"] * ROWS)),
        "a name of nothing": written(plain(unique_id=[""] * ROWS)),
    }
