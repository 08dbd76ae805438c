"""Exact search over a million vectors, and the index for more: medians beside the read bandwidth measured in the same run.

    python benchmarks/search.py [--rows 1000000] [--dim 192] [--anyway]

Refuses to measure while the machine is busy (load average above 0.3) unless told --anyway. Prints one JSON object last.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numba
import numpy as np
from _quiet import load_or_leave

from core.atlas import EmbeddingTable
from core.atlas.index import build_index
from core.atlas.label import Marks, fit
from core.atlas.neighbors import nearest, nearest_many
from core.atlas.schema import SCALE, make_rows, vector_column

K = 100


@numba.njit(parallel=True, fastmath=True)
def _sum(values: np.ndarray) -> np.float32:
    total = np.float32(0)
    for i in numba.prange(values.size):
        total += values[i]
    return total


def median_ms(work: Callable[[], object], times: int = 15) -> float:
    """The median of `times` runs in milliseconds, after one that warms up."""
    work()
    taken: list[float] = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def tables(rows: int, dim: int) -> tuple[EmbeddingTable, EmbeddingTable]:
    """The same vectors as float32 and int8: a few thousand bunches in a space of low dimension, as embeddings are."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((32, dim), dtype=np.float32)
    bunch = generator.standard_normal((4000, 32), dtype=np.float32)
    vectors = np.empty((rows, dim), np.float32)
    for at in range(0, rows, 100_000):
        part = slice(at, min(at + 100_000, rows))
        count = part.stop - at
        inside = bunch[generator.integers(0, 4000, count)] + 0.5 * generator.standard_normal((count, 32), dtype=np.float32)
        vectors[part] = inside @ basis + 0.2 * generator.standard_normal((count, dim), dtype=np.float32)
    whole = EmbeddingTable.from_rows(make_rows(vectors, {}), "float32")
    scale = np.float32(np.abs(vectors).max() / 127)
    codes = np.rint(vectors / scale).astype(np.int8)
    small = make_rows(codes[:1], {}).drop_columns(["embedding"])
    columns = {name: whole.columns[name] for name in small.column_names}
    import pyarrow as pa

    rows_int8 = pa.table({**columns, "embedding": vector_column(codes), SCALE: pa.array(np.full(rows, scale, np.float32))})
    return whole, EmbeddingTable.from_rows(rows_int8, "int8")


def recall(table: EmbeddingTable, queries: np.ndarray) -> dict[str, float]:
    """Build the index, and compare its ten best with the exact ones; its speed-up is against the exact scan of the same table."""
    start = time.perf_counter()
    index = build_index(table)
    build_s = time.perf_counter() - start
    exact = nearest_many(table, queries, 10)
    found = [index.nearest(query, 10) for query in queries]
    hits = np.mean([len(set(a.rows.tolist()) & set(b.rows.tolist())) / 10 for a, b in zip(exact, found, strict=True)])
    slow, fast = median_ms(lambda: nearest(table, queries[0], 10)), median_ms(lambda: index.nearest(queries[0], 10))
    return {"build_s": build_s, "recall_at_10": float(hits), "ms": fast, "speed_up": slow / fast}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--no-index", action="store_true", help="leave the approximate index out, which takes minutes to build")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    found: dict[str, object] = {"load": load, "rows": args.rows, "dim": args.dim, "k": K}
    for table in tables(args.rows, args.dim):
        values = table.stored.values
        flat = values.view(np.float32).reshape(-1) if values.dtype == np.int8 else values.reshape(-1)
        bandwidth = max(values.nbytes / median_ms(lambda f=flat: _sum(f), 7) / 1e6, values.nbytes / median_ms(lambda f=flat: f.max(), 7) / 1e6)
        query = table.vectors_of([args.rows // 2])[0]
        ms = median_ms(lambda t=table, q=query: nearest(t, q, K))
        queries = table.vectors_of(np.arange(0, args.rows, args.rows // 100)[:100])
        found[table.name] = {
            "ms": ms, "gb_per_s": values.nbytes / ms / 1e6, "read_gb_per_s": bandwidth, "share_of_read": values.nbytes / ms / 1e6 / bandwidth,
            "batch_of_100_ms": median_ms(lambda t=table, q=queries: nearest_many(t, q, K), 3),
        }  # fmt: skip
        if table.name == "float32":
            marks = Marks(tuple(range(5)), tuple(range(args.rows - 5, args.rows)))
            found["ten_marks_to_scores_ms"] = median_ms(lambda t=table, m=marks: fit(t, m).scores(t), 7)
        elif not args.no_index:
            found["index"] = recall(table, queries)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
