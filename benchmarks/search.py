"""Exact search over a million vectors, and the approximate index, beside the read bandwidth.

    python benchmarks/search.py [--rows 1000000] [--dim 192] [--anyway]
    python benchmarks/search.py --index [--rows 250000]
    python benchmarks/search.py --libraries [--rows 200000]

The read bandwidth is that of the same array, read in one stream by as many threads as the search uses, or by
one where that is faster. The index takes minutes to build for a million rows, so it has an option of its own;
its results are compared with exact ones. --libraries compares usearch with hnswlib and faiss, where they are
installed, over vectors of the bundled table with noise: one thread, the lowest effort for a recall of 0.98.
The benchmark refuses to start if the load average is above 0.3, unless --anyway is given. The last line
printed is a JSON object.
"""

import argparse
import json
import sys
import time

import numba
import numpy as np
from _quiet import load_or_leave
from _read_rate import K, search_and_read_ms
from _timing import median_ms
from threadpoolctl import threadpool_limits

from core.atlas import EmbeddingTable
from core.atlas.analysis.label import Marks, fit
from core.atlas.schema import SCALE, make_rows, vector_column
from core.atlas.search.index import build_index
from core.atlas.search.neighbors import nearest, nearest_many

BARS = {"float32 ms": 40, "int8 ms": 18, "share_of_read": 0.6}


def tables(rows: int, dim: int) -> tuple[EmbeddingTable, EmbeddingTable]:
    """Return the same vectors as float32 and int8: a few thousand clusters of low intrinsic dimension."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((32, dim), dtype=np.float32)
    clusters = generator.standard_normal((4000, 32), dtype=np.float32)
    vectors = np.empty((rows, dim), np.float32)
    for at in range(0, rows, 100_000):
        part = slice(at, min(at + 100_000, rows))
        count = part.stop - at
        inside = clusters[generator.integers(0, 4000, count)] + 0.5 * generator.standard_normal(
            (count, 32), dtype=np.float32
        )
        vectors[part] = inside @ basis + 0.2 * generator.standard_normal((count, dim), dtype=np.float32)
    whole = EmbeddingTable.from_rows(make_rows(vectors, {}), "float32")
    scale = np.float32(np.abs(vectors).max() / 127)
    codes = np.rint(vectors / scale).astype(np.int8)
    small = make_rows(codes[:1], {}).drop_columns(["embedding"])
    columns = {name: whole.columns[name] for name in small.column_names}
    import pyarrow as pa

    rows_int8 = pa.table(
        {**columns, "embedding": vector_column(codes), SCALE: pa.array(np.full(rows, scale, np.float32))}
    )
    return whole, EmbeddingTable.from_rows(rows_int8, "int8")


def scan(table: EmbeddingTable, rows: list[int]) -> dict[str, float]:
    """Measure one query beside reading the same vectors in one stream, and a hundred queries."""
    values, many = table.stored.values, table.vectors_of(rows)
    search, read = search_and_read_ms(table)
    return {
        "ms": search,
        "gb_per_s": values.nbytes / search / 1e6,
        "read_gb_per_s": values.nbytes / read / 1e6,
        "share_of_read": read / search,
        "batch_of_100_ms": median_ms(lambda: nearest_many(table, many, K), 3),
    }


def recall(table: EmbeddingTable, queries: np.ndarray) -> dict[str, float]:
    """Build the index, and compare its ten best rows and its speed with those of the exact scan."""
    start = time.perf_counter()
    index = build_index(table)
    build_s = time.perf_counter() - start
    exact = nearest_many(table, queries, 10)
    found = [index.nearest(query, 10) for query in queries]
    hits = np.mean(
        [len(set(a.rows.tolist()) & set(b.rows.tolist())) / 10 for a, b in zip(exact, found, strict=True)]
    )
    turn = iter(range(10**9))
    slow, fast = (
        median_ms(lambda w=way: w(queries[next(turn) % len(queries)], 10), 50)
        for way in (lambda q, k: nearest(table, q, k), index.nearest)
    )
    return {
        "build_s": build_s,
        "recall_at_10": float(hits),
        "bar": 0.98,
        "ms": fast,
        "exact_ms": slow,
        "speed_up": slow / fast,
    }


def libraries(rows: int, load: float) -> int:
    """Compare libraries, and print the figures of each as soon as they are known."""
    from _vector_libraries import compare, world_with_noise

    from core.cli.verbs.atlas import WORLD

    numba.set_num_threads(1)
    units, queries = world_with_noise(WORLD, rows, 300)
    found: dict[str, object] = {"load": load, "threads": 1, "rows": rows, "dim": units.shape[1]}
    with threadpool_limits(1):
        for name, measured in compare(units, queries):
            print(name, measured, file=sys.stderr)
            found[name] = measured
    print(json.dumps(found, indent=1))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, help="default: 1,000,000, of --libraries 200,000")
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument(
        "--index", action="store_true", help="measure the approximate index instead of the scan"
    )
    parser.add_argument(
        "--libraries", action="store_true", help="compare the library of the index with others"
    )
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    if args.libraries:
        return libraries(args.rows or 200_000, load)
    args.rows = args.rows or 1_000_000
    whole, small = tables(args.rows, args.dim)
    found: dict[str, object] = {
        "load": load,
        "threads": numba.get_num_threads(),
        "rows": args.rows,
        "dim": args.dim,
    }
    queries = [int(row) for row in np.linspace(0, args.rows - 1, 100)]
    if args.index:
        found["index"] = recall(small, small.vectors_of(queries))
    else:
        found |= {"k": K, "float32": scan(whole, queries), "int8": scan(small, queries), "bars": BARS}
        marks = Marks(tuple(range(5)), tuple(range(args.rows - 5, args.rows)))
        found["ten_marks_to_scores_ms"] = median_ms(lambda: fit(whole, marks).scores(whole), 7)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
