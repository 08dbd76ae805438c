"""Tables larger than memory: writes one of ten million rows, and measures opening, search and drawing.

    python benchmarks/large_table.py --write DIR [--rows 10000000] [--dim 192]
    python benchmarks/large_table.py --measure DIR [--libraries] [--page] [--anyway]

--write makes a table in the format of `core embed`, int8, shard by shard, with about 150 MB of memory: tiles
of 2,240 m on land, in spatial order, whose vectors form 4,000 clusters of low intrinsic dimension, each of
them local.

--measure opens it in a new process (the first time it is decoded, which takes a minute), then times the exact
search for the 100 best rows beside reading the same bytes in memory and from disk, projection, groups and
labels, and prints resident memory. --libraries searches the same vectors with usearch, faiss and LanceDB,
where they are installed. --page opens the Globe in headless Chromium, which draws in software. The benchmark
refuses to measure if the load average is above 0.3, unless --anyway is given. The last line printed is a JSON
object.
"""

import argparse
import contextlib
import gc
import hashlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import shapely
from _quiet import load_or_leave
from _read_rate import K, search_and_read_ms
from _timing import median_ms
from numpy.typing import NDArray

from core.atlas import EmbeddingTable, TableInfo, make_rows, open_table
from core.atlas.schema import BBOX
from core.atlas.search.neighbors import nearest
from core.atlas.store.shards import shard_name, write_manifest, write_shard
from core.geo.land import land_mask

SHARD_ROWS, TILE_M, GSD_M = 65_536, 2_240.0, 10.0
CLUSTERS, AXES = 4_000, 32
MODEL = "benchmark"


def land_points(rows: int, generator: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Yield longitudes and latitudes (m, 2) on land, even over the ground, along a Hilbert curve."""
    mask = land_mask()
    height, width = mask.shape
    row, col = np.nonzero(mask)
    lat, lon = 90 - (row + 0.5) * 180 / height, (col + 0.5) * 360 / width - 180
    row, col = row[np.abs(lat) < 82], col[np.abs(lat) < 82]
    lat, lon = 90 - (row + 0.5) * 180 / height, (col + 0.5) * 360 / width - 180
    order = np.argsort(gpd.GeoSeries(gpd.points_from_xy(lon, lat)).hilbert_distance().to_numpy())
    corner = np.stack([lon, lat], axis=1)[order]
    share = np.cos(np.radians(corner[:, 1]))
    pixels = np.repeat(np.arange(len(corner)), generator.multinomial(rows, share / share.sum()))
    for start in range(0, rows, SHARD_ROWS):
        at = corner[pixels[start : start + SHARD_ROWS]]
        yield at + generator.uniform(-0.5, 0.5, at.shape) * (360 / width, 180 / height)


def write_table(folder: Path, rows: int, dim: int) -> None:
    """Write the table; equal arguments give equal bytes."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((AXES, dim), dtype=np.float32)
    clusters = generator.standard_normal((CLUSTERS, AXES), dtype=np.float32)
    info = TableInfo(MODEL, "0" * 64, "vector", dim, "int8")
    folder.mkdir(parents=True)
    shards, start = [], 0
    for number, lonlat in enumerate(land_points(rows, generator)):
        count = len(lonlat)
        near = (start + np.arange(count)) * CLUSTERS // rows + generator.integers(-20, 21, count)
        inside = clusters[near % CLUSTERS] + 0.5 * generator.standard_normal((count, AXES), np.float32)
        vectors = inside @ basis + 0.2 * generator.standard_normal((count, dim), np.float32)
        table = make_rows(vectors, _columns(lonlat, start))
        shards.append(write_shard(folder / shard_name(number), table, info))
        start += count
        print(f"\r{start:,} of {rows:,} rows", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    write_manifest(folder, info, shards, {"complete": True})


def _columns(lonlat: NDArray[np.float64], start: int) -> dict[str, object]:
    count, (lon, lat) = len(lonlat), lonlat.T
    half_lat = np.full(count, TILE_M / 2 / 111_195)
    half_lon = half_lat / np.cos(np.radians(lat))
    sides = (lon - half_lon, lat - half_lat, lon + half_lon, lat + half_lat)
    left = (np.arange(start, start + count, dtype=np.int32) % 40 * 224)[:, None]
    box = np.concatenate([left, left, left + 224, left + 224], axis=1).astype(np.int32)
    names = [hashlib.sha256(b"%d" % row).hexdigest()[:20] for row in range(start, start + count)]
    return {
        "unique_id": names,
        "product_id": [f"S2_{row // 1600:06d}.tif" for row in range(start, start + count)],
        "source": ["a folder of scenes"] * count,
        "centre_lon": lon,
        "centre_lat": lat,
        "geometry": pa.array(shapely.to_wkb(shapely.box(*sides)), pa.binary()),
        "bbox": pa.StructArray.from_arrays([pa.array(side) for side in sides], fields=list(BBOX)),
        "crs": ["EPSG:32632"] * count,
        "pixel_bbox": pa.FixedSizeListArray.from_arrays(pa.array(box.reshape(-1)), 4),
        "gsd_m": np.full(count, GSD_M),
        "native_gsd_m": np.full(count, GSD_M),
        "image_size": np.full(count, 224, np.int32),
        "valid_fraction": np.ones(count, np.float32),
        "input_res_m": np.full(count, GSD_M, np.float32),
        "res_policy": ["metric"] * count,
        "pooling": ["vector"] * count,
        "model": [MODEL] * count,
        "checkpoint_sha256": ["0" * 64] * count,
    }


def memory_mb() -> dict[str, float]:
    """Return the resident memory of this process, and what of it is its own and not that of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if ":" in line and "kB" in line}
    names = {"resident": "VmRSS", "highest": "VmHWM", "own": "RssAnon"}
    return {name: int(found[field]) / 1024 for name, field in names.items()}


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds of wall and of CPU time, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def core_side(folder: Path) -> dict[str, Any]:
    """Measure opening, search and analysis, for a process of its own."""
    from core.atlas.analysis.cluster import cluster
    from core.atlas.analysis.label import Marks, fit
    from core.atlas.analysis.project import principal_axes, project

    found: dict[str, Any] = {"before_mb": memory_mb()["resident"]}
    found["open_s"], found["open_cpu_s"], table = timed(lambda: open_table(folder))
    found["rows"], found["dim"] = len(table), table.dim
    found["opened_mb"] = memory_mb()
    found["cold"] = _cold(folder, table)
    search, read = search_and_read_ms(table)
    found["warm"] = {"search_ms": search, "read_ms": read, "times": search / read}
    found["searched_mb"] = memory_mb()
    marks = Marks(tuple(range(5)), tuple(range(len(table) - 5, len(table))))
    works: dict[str, Callable[[], Any]] = {
        "axes": lambda: principal_axes(table),
        "projection": lambda: project(table),
        "groups": lambda: cluster(table),
        "labels": lambda: fit(table, marks).scores(table),
        "filter": lambda: table.rows_where("centre_lat > 60"),
        "place": lambda: table.nearest_place(8, 46),
    }
    for name, work in works.items():
        found[f"{name}_s"], found[f"{name}_cpu_s"], _ = timed(work)
    found["analysed_mb"] = memory_mb()
    return found


def _cold(folder: Path, table: EmbeddingTable) -> dict[str, float]:
    """Compare the first search after the vectors have left the memory with reading their file."""
    (file,) = folder.glob(".derived/mapped-*/values.npy")
    nearest(table.take(np.arange(1000)), table.vectors_of([0])[0], K)  # compiled before anything is timed
    query = table.vectors_of([len(table) // 2])[0]
    searched: list[float] = []
    read: list[float] = []
    for _ in range(4):  # the first of each may find the disk's own cache empty
        _forget(file)
        fresh = open_table(folder)
        fresh.require_one_model()
        searched.append(timed(lambda one=fresh: nearest(one, query, K))[0])
        del fresh  # pages that are mapped are not forgotten
        gc.collect()
        _forget(file)
        read.append(timed(lambda: _read(file))[0])
    search_s, read_s = statistics.median(searched[1:]), statistics.median(read[1:])
    return {"search_s": search_s, "read_file_s": read_s, "times": search_s / read_s}


def _forget(file: Path) -> None:
    """Let the system drop a file from its cache, as far as no process has it mapped and in use."""
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read(file: Path) -> None:
    buffer = bytearray(2**24)
    with file.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def libraries_side(folder: Path) -> dict[str, Any]:
    """Time exact searches of other libraries over the same vectors, for a process of its own."""
    table = open_table(folder)
    values, query = table.stored.values, table.vectors_of([len(table) // 2])[0]
    ours = nearest(table, query, K).rows
    found: dict[str, Any] = {"ours_ms": median_ms(lambda: nearest(table, query, K).rows, 9)}
    for name, prepare in (("usearch", _usearch), ("faiss", _faiss), ("lancedb", _lancedb)):
        try:
            built_s, _, search = timed(lambda p=prepare: p(values, query))
        except ImportError as problem:
            found[name] = f"not installed ({problem.name})"
            continue
        rows = search()
        found[name] = {
            "ms": median_ms(search, 3),
            "prepared_s": built_s,
            "of_our_100": len(set(rows.tolist()) & set(ours.tolist())),
            "resident_mb": memory_mb()["resident"],
        }
    return found


Search = Callable[[], NDArray[np.int64]]


def _usearch(values: NDArray[np.int8], query: NDArray[np.float32]) -> Search:
    from usearch.index import MetricKind, search

    codes = np.clip(np.rint(query / np.abs(query).max() * 127), -127, 127).astype(np.int8)
    return lambda: np.asarray(search(values, codes, K, MetricKind.Cos, exact=True).keys, np.int64)


def _faiss(values: NDArray[np.int8], query: NDArray[np.float32]) -> Search:
    """Its flat index of 8 bits a value, over unit vectors."""
    import faiss

    index = faiss.IndexScalarQuantizer(
        values.shape[1], faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
    )
    for start in range(0, len(values), 100_000):
        block = values[start : start + 100_000].astype(np.float32)
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-9)
        if not start:
            index.train(block)
        index.add(block)
    return lambda: index.search(query[None], K)[1][0]


def _lancedb(values: NDArray[np.int8], query: NDArray[np.float32]) -> Search:
    """A table of float16 on disk, because it has no vectors of int8; searched without an index."""
    import lancedb

    folder = tempfile.TemporaryDirectory(dir="/var/tmp")
    width = values.shape[1]

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(values), 100_000):
            block = values[start : start + 100_000].astype(np.float16)
            rows = pa.array(np.arange(start, start + len(block)))
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), width)
            yield pa.RecordBatch.from_arrays([rows, vectors], ["row", "vector"])

    kind = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float16(), width))])
    table = lancedb.connect(folder.name).create_table("t", pa.RecordBatchReader.from_batches(kind, batches()))
    asked = table.search(query).distance_type("cosine").limit(K).select(["row"])

    def search() -> NDArray[np.int64]:
        assert folder  # kept for as long as it is searched
        return np.array(asked.to_arrow()["row"])

    return search


def page_side(folder: Path, wait_s: float) -> dict[str, float]:
    """Time the Globe page to its first full picture in new browsers, and the memory of the server."""
    import globe
    from _app import chromium, serving
    from psutil import Process

    from core.geo.catalogue import DATA_VARIABLE

    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as data:
        (Path(data) / "large").symlink_to(folder.resolve())
        os.environ[DATA_VARIABLE] = data
        with serving() as (address, _), chromium() as browser:
            server = next(one for one in Process().children() if "streamlit" in one.cmdline())
            globe._wait_until_idle(server)
            for name in ("first", "new_browser"):
                context = globe._context(browser, wait_s)
                received: list[int] = []
                before = server.cpu_times()
                context.on("response", lambda answer, got=received: got.append(_size(answer)))
                page, figures[f"page_{name}_s"] = globe._open(context, f"{address}/Globe?table=large")
                after = server.cpu_times()
                figures[f"page_{name}_server_cpu_s"] = sum(after[:2]) - sum(before[:2])
                figures[f"page_{name}_points_and_colours_mb"] = sum(received) / 1e6
                page.close()
                context.close()
            figures["server_resident_mb"] = server.memory_info().rss / 2**20
    return figures


def _size(answer: Any) -> int:
    """Return the bytes of points or colours in an answer of the server."""
    if not any(kind in answer.url for kind in ("/points/", "/colours/")):
        return 0
    with contextlib.suppress(Exception):  # the page may have gone on
        return int(answer.headers.get("content-length", 0))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="DIR", help="write the table into a new folder")
    parser.add_argument("--measure", type=Path, metavar="DIR", help="measure a table that was written")
    parser.add_argument("--libraries", action="store_true", help="search with other libraries too")
    parser.add_argument("--page", action="store_true", help="measure the Globe page too")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--wait-s", type=float, default=180)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    if not args.write and not args.measure:
        parser.error("give --write DIR or --measure DIR")
    if args.write:
        seconds, _, _ = timed(lambda: write_table(args.write, args.rows, args.dim))
        print(f"written in {seconds:.0f} s")
    if args.measure:
        found: dict[str, Any] = {"load": load_or_leave(args.anyway)}
        sides: list[Callable[[Path], Any]] = [core_side, *([libraries_side] if args.libraries else [])]
        for side in sides:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[side.__name__] = pool.apply(side, (args.measure,))
        if args.page:
            found["page_side"] = page_side(args.measure, args.wait_s)
        print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
