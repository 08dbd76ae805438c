"""Attacks on a server that is open to strangers, one function each; each returns a line about its outcome."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import zipfile
from collections.abc import Callable
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _visitor import Visitor, VisitorError, click, select
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg

PATIENCE_S = 90.0
FILTERS = (
    "format('%1000000000s', 'x') = ''",
    "levenshtein(repeat('a', 100000), repeat('b', 100000)) > 1",
    "replace(replace(repeat('a', 1000000), 'a', repeat('b', 1000)), 'b', repeat('c', 1000)) = ''",
    "error(gsd_m::text) = 1",
    "(" * 4000 + "gsd_m > 1" + ")" * 4000,
)
LINKS = (
    "gsd=1e-300",
    "size=9999999",
    "win=0,0,999999999,999999999",
    "mask=cells-9999x9999-AAAA",
    "mask=random-75-s0-z99999",
    "at=nan,inf",
    "tile=upload/" + "A" * 22,
)


class MissedError(Exception):
    """An attack that missed its target, because a page has changed."""


def hostile_links(port: int) -> str:
    """Link parameters that are invalid or ask for too much work."""
    messages = [_open(port, "Mask_Lab", link) for link in LINKS]
    return f"{sum(bool(text) for text in messages)} of {len(messages)} answered with a message"


def hostile_filters(port: int) -> str:
    """Filters on the Globe that call database functions."""
    messages = [_open(port, "Globe", "rows=" + quote(text)) for text in FILTERS]
    return f"{sum(bool(text) for text in messages)} of {len(messages)} answered with a message"


def long_numbers(port: int) -> str:
    """Numbers of 5,000 digits in the paths of our HTTP routes."""
    with _visitor(port) as visitor:
        digits = "9" * 5000
        paths = (
            f"/pictures/x/{digits}.jpg",
            f"/tiles/x/{digits}/1/1.png",
            f"/tiles/x/1/-{digits}/1.png",
            f"/points/{digits}",
        )
        return "status " + ", ".join(str(visitor.request("GET", path)[0]) for path in paths)


def rebinding(port: int) -> str:
    """Requests with another host name or origin."""
    with _visitor(port) as visitor:
        asked = [
            visitor.request("GET", "/", host="evil.example")[0],
            visitor.request("GET", "/_stcore/health", headers={"Origin": "http://evil.example"})[0],
            visitor.request("GET", "/_stcore/health", headers={"Host": "x" * 60_000}, host="x" * 60_000)[0],
        ]
        return "status " + ", ".join(map(str, asked))


def memory_by_upload(port: int) -> str:
    """Files of 300 MB for a page without an upload field."""
    with _visitor(port) as visitor:
        visitor.run()
        data = bytes(300 * 2**20)
        return "status " + ", ".join(str(visitor.put(f"file-{n}", "x.bin", data)) for n in range(4))


def hostile_weights(port: int) -> str:
    """Weights with pickles that hash forever, deep nesting, or headers of terabytes."""
    return _upload_each(port, "Mask_Lab", "", "Weights file", "Load", weights_files())


def hostile_imagery(port: int) -> str:
    """Rasters and pictures of a few kilobytes that decompress to gigabytes."""
    door = ("Globe", "tab=My+imagery", "GeoTIFF, PNG or JPEG", "Start embedding")
    return _upload_each(port, *door, imagery_files(), choose=("Imagery", "Upload"))


def filling_the_queue(port: int) -> str:
    """One visitor who starts ten embedding jobs, and then leaves."""
    refused = 0
    with _visitor(port, "Globe", "tab=My+imagery") as visitor:
        visitor.run()
        try:
            visitor.run(select(visitor.find("button_group", "Imagery"), "Upload"))
            uploader = visitor.find("file_uploader", "GeoTIFF, PNG or JPEG")
            status, state = visitor.upload(uploader, "field.tif", _field())
            visitor.run(state)
            for _ in range(10):
                visitor.run(click(visitor.find("button", "Start embedding")))
                refused += "jobs waiting, the maximum" in visitor.said()
        except VisitorError as problem:
            raise MissedError(f"The Globe has changed: {problem}") from problem
    if not refused:
        raise MissedError(f"None of ten jobs was refused (upload: {status}).")
    return f"{refused} of 10 jobs were refused"


def starting_training(port: int) -> str:
    """Training on a server whose owner does not allow it; `soak.py` starts one."""
    with _visitor(port, "Train") as visitor:
        visitor.run()
        offered = [one for one in visitor.all("button") if one.label == "Start training" and not one.disabled]
        return f"{len(offered)} buttons to start it, {visitor.said()[:90] or 'no message'}"


def hostile_recipes(port: int) -> str:
    """Recipes of many megabytes, with deep nesting, dotted keys, and long numbers."""
    return _upload_each(port, "Evaluate", "", "Recipe", "Run it again", recipe_files())


def hostile_tables(port: int) -> str:
    """Tables that are bombs, truncated or invalid, opened on the Globe. `soak.py` serves them."""
    messages = [
        _open(port, "Globe", "table=" + quote(name.removesuffix(".parquet"))) for name in table_files()
    ]
    return f"{sum(bool(text) for text in messages)} of {len(messages)} answered with a message"


def clearing_caches(port: int) -> str:
    """Ask repeatedly for all caches to be cleared."""
    with _visitor(port, "Mask_Lab") as visitor:
        visitor.run()
        for _ in range(20):
            visitor.tell(BackMsg(clear_cache=True))
        return f"the next run took {visitor.run():.1f} s"


def nonsense_frames(port: int) -> str:
    """Invalid websocket frames, and one of 60 MB."""
    closed = 0
    for data in (os.urandom(1000), b"\xff" * 100, bytes(60 * 2**20)):
        try:
            with _visitor(port) as visitor:
                visitor.run()
                visitor._socket.send(data)
                visitor.run()
        except (VisitorError, OSError, RuntimeError, EOFError):
            closed += 1
    return f"{closed} of 3 connections were closed"


def many_tabs(port: int) -> str:
    """Thirty sessions that open a page and leave before it has loaded."""
    for _ in range(30):
        with _visitor(port, "Mask_Lab") as visitor:
            visitor.send()
    return "30 opened and left"


def slow_requests(port: int) -> str:
    """Fifty connections that send a header and then nothing."""
    held = []
    for _ in range(50):
        link = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        link.sendall(
            b"PUT /_stcore/upload_file/a/b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\n"
        )
        held.append(link)
    with _visitor(port) as visitor:
        took = visitor.run()
    for link in held:
        link.close()
    return f"a page beside them took {took:.1f} s"


ATTACKS: tuple[Callable[[int], str], ...] = (
    hostile_links,
    hostile_filters,
    long_numbers,
    rebinding,
    memory_by_upload,
    hostile_weights,
    hostile_imagery,
    filling_the_queue,
    starting_training,
    hostile_recipes,
    hostile_tables,
    clearing_caches,
    nonsense_frames,
    many_tabs,
    slow_requests,
)


def weights_files() -> dict[str, bytes]:
    """By name: pickles whose key hashes for ever, in both layouts; a safetensors header of a terabyte."""
    twice = b"\x80\x02})" + b"2\x86" * 64 + b"Ns."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", twice)
        archive.writestr("archive/version", "3\n")
    header = json.dumps(
        {"pos_embed": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    ).encode()
    return {
        "legacy.pth": twice,
        "zip.pth": out.getvalue(),
        "nested.pth": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
        "long.safetensors": struct.pack("<Q", 1 << 40) + b"{}",
        "large.safetensors": struct.pack("<Q", len(header)) + header,
    }


def imagery_files() -> dict[str, bytes]:
    """By name: an empty GeoTIFF of 900 Mpx, a JPEG of thousands of scans, a PNG of 20,000 x 3,000 px."""
    from rasterio import MemoryFile
    from rasterio.transform import from_origin

    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=30_000,
            height=30_000,
            count=3,
            dtype="uint8",
            tiled=True,
            blockxsize=512,
            blockysize=512,
            compress="deflate",
            sparse_ok=True,
            crs="EPSG:32610",
            transform=from_origin(5e5, 4e6, 1, 1),
        ):
            pass
        raster = bytes(memory.read())
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8))
    out = io.BytesIO()
    noise.save(out, "JPEG", progressive=True)
    whole = out.getvalue()
    last = whole.rindex(b"\xff\xda")
    scan = whole[last:-2]
    flat = io.BytesIO()
    Image.new("L", (20_000, 3_000)).save(flat, "PNG")
    return {
        "empty.tif": raster,
        "scans.jpg": whole[:-2] + scan * (500_000 // len(scan)) + whole[-2:],
        "flat.png": flat.getvalue(),
    }


def _field() -> bytes:
    """A valid GeoTIFF of 2 x 2 km."""
    from rasterio import MemoryFile
    from rasterio.transform import from_origin

    pixels = np.random.default_rng(0).integers(0, 255, (3, 1024, 1024), np.uint8)
    with MemoryFile() as memory:
        place = from_origin(5e5, 4e6, 2, 2)
        with memory.open(
            driver="GTiff", width=1024, height=1024, count=3, dtype="uint8", crs="EPSG:32610", transform=place
        ) as file:
            file.write(pixels)
        return bytes(memory.read())


def recipe_files() -> dict[str, bytes]:
    """By name: JSON of 60 MB, 100,000 levels, and a number of 5,000 digits; TOML whose dotted keys expand to
    gigabytes, within the limit of size and beyond it."""
    return {
        "long.json": b"[" + b"0," * (30 * 2**20) + b"0]",
        "deep.json": b"[" * 100_000 + b"]" * 100_000,
        "number.json": b'{"seed": ' + b"9" * 5000 + b"}",
        "dotted.toml": b".".join([b"a"] * 19_500) + b" = 1",
        "more dotted.toml": b".".join([b"a"] * 97_500) + b" = 1",
    }


def table_files() -> dict[str, bytes]:
    """By name: tables that decode to gigabytes, are truncated, or hold endlessly nested shapes."""
    rows = 20_000
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(rows * 8, np.float32)), 8)
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * 1_000_000])
    shapes = struct.pack("<BII", 1, 7, 1) * 100_000 + struct.pack("<BIdd", 1, 1, 0.0, 0.0)
    whole = _parquet(pa.table({"embedding": vectors}))
    return {
        "words.parquet": _parquet(pa.table({"embedding": vectors, "id": words}), store_schema=False),
        "runs.parquet": _parquet(pa.table({f"e{n}": np.zeros(20_000_000, np.float32) for n in range(8)})),
        "shapes.parquet": _parquet(pa.table({"embedding": vectors[:8], "geometry": pa.array([shapes] * 8)})),
        "cut.parquet": whole[: len(whole) // 2],
        "footer.parquet": whole[:-8] + b"\xff\xff\xff\xffPAR1",
        "model.parquet": _parquet(pa.table({"embedding": vectors, "model": [f"{n}" for n in range(rows)]})),
    }


def _parquet(table: pa.Table, store_schema: bool = True) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", store_schema=store_schema)
    return out.getvalue()


def _visitor(port: int, page: str = "", query: str = "") -> Visitor:
    return Visitor(port, page, query, wait_s=PATIENCE_S)


def _open(port: int, page: str, query: str) -> str:
    with _visitor(port, page, query) as visitor:
        visitor.run()
        return visitor.said()


def _upload_each(
    port: int,
    page: str,
    query: str,
    field: str,
    button: str,
    files: dict[str, bytes],
    choose: tuple[str, str] | None = None,
) -> str:
    """Upload each file to a field, press the button where there is one, and return what the page says.

    `choose` selects an option first. Raises MissedError if the page has no such field.
    """
    outcomes: list[str] = []
    for name, data in files.items():
        with _visitor(port, page, query) as visitor:
            visitor.run()
            try:
                if choose:
                    visitor.run(select(visitor.find("button_group", choose[0]), choose[1]))
                uploader = visitor.find("file_uploader", field)
            except VisitorError as problem:
                raise MissedError(f"{page} has changed: {problem}") from problem
            status, state = visitor.upload(uploader, name, data)
            took = visitor.run(state) if status == 204 else 0.0
            buttons = [one for one in visitor.all("button") if one.label == button and not one.disabled]
            if status == 204 and buttons:
                took += visitor.run(click(buttons[0]))
            outcomes.append(f"{name}: {status}, {took:.1f} s, {visitor.said()[:90] or 'no message'}")
    return "; ".join(outcomes)
