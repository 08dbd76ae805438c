"""Compare approximate indexes of several libraries at the same recall.

Each is measured with the lowest search effort that reaches the recall.

Every index returns four times as many candidates as needed, which are then compared exactly, as in
`core.atlas.search.index`. Libraries that are not installed are skipped; only usearch is a dependency.
"""

import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.atlas import EmbeddingTable, make_rows, open_table
from core.atlas.search.neighbors import nearest

K, CANDIDATES, CONNECTIONS, EFFORT = 10, 40, 24, 128
EFFORTS = (40, 64, 96, 128, 192, 256, 384, 512)
RECALL = 0.98
PAIRS = 5

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Built:
    """An index: `search` finds candidates for a unit vector (d,) with an effort, `save` writes it to a file.

    The size of the file is about that of the index in memory.
    """

    search: Callable[[Vectors, int], Rows]
    save: Callable[[str], object]


def world_with_noise(path: Path, rows: int, queries: int) -> tuple[Vectors, Vectors]:
    """Return unit vectors (rows, d) and (queries, d): repeated vectors of the bundled table with noise.

    The standard deviation of the noise is half that of each value.
    """
    units = open_table(path).vectors
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    generator = np.random.default_rng(0)
    found = units[generator.integers(0, len(units), rows + queries)]
    found = found + 0.5 * units.std(axis=0) * generator.standard_normal(found.shape, dtype=np.float32)
    found = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return found[:rows], found[rows:]


def usearch_int8(units: Vectors) -> Built:
    """The library that this program uses."""
    from usearch.index import Index

    graph = Index(
        ndim=units.shape[1], metric="cos", dtype="i8", connectivity=CONNECTIONS, expansion_add=EFFORT
    )
    graph.add(np.arange(len(units), dtype=np.uint64), units, threads=1)

    def search(unit: Vectors, effort: int) -> Rows:
        graph.expansion_search = effort
        return graph.search(unit, CANDIDATES, threads=1).keys.astype(np.int64)

    return Built(search, graph.save)


def hnswlib_float32(units: Vectors) -> Built:
    """The implementation by the authors of HNSW."""
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=units.shape[1])
    graph.init_index(max_elements=len(units), ef_construction=EFFORT, M=CONNECTIONS)
    graph.set_num_threads(1)
    graph.add_items(units, num_threads=1)

    def search(unit: Vectors, effort: int) -> Rows:
        graph.set_ef(effort)
        return graph.knn_query(unit, CANDIDATES, num_threads=1)[0][0].astype(np.int64)

    return Built(search, graph.save_index)


def faiss_graph(units: Vectors, *, int8: bool) -> Built:
    """HNSW in Faiss, over float32 or 8-bit scalar codes."""
    import faiss

    faiss.omp_set_num_threads(1)
    inner, bits = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
    graph: Any = (
        faiss.IndexHNSWSQ(units.shape[1], bits, CONNECTIONS, inner)
        if int8
        else faiss.IndexHNSWFlat(units.shape[1], CONNECTIONS, inner)
    )
    graph.hnsw.efConstruction = EFFORT
    graph.train(units)
    graph.add(units)

    def search(unit: Vectors, effort: int) -> Rows:
        graph.hnsw.efSearch = effort
        return graph.search(unit[None], CANDIDATES)[1][0]

    return Built(search, lambda path: faiss.write_index(graph, path))


def faiss_lists(units: Vectors) -> Built:
    """Inverted lists of Faiss, 2 sqrt(rows) of them; effort / 8 of them are read."""
    import faiss

    faiss.omp_set_num_threads(1)
    inner = faiss.METRIC_INNER_PRODUCT
    lists: Any = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(units.shape[1]), units.shape[1], 2 * int(len(units) ** 0.5), inner
    )
    lists.train(units[:: max(len(units) // 50_000, 1)])
    lists.add(units)

    def search(unit: Vectors, effort: int) -> Rows:
        lists.nprobe = effort // 8
        return lists.search(unit[None], CANDIDATES)[1][0]

    return Built(search, lambda path: faiss.write_index(lists, path))


WAYS: dict[str, tuple[str, Callable[[Vectors], Built]]] = {
    "usearch HNSW int8": ("usearch", usearch_int8),
    "hnswlib HNSW float32": ("hnswlib", hnswlib_float32),
    "faiss HNSW float32": ("faiss", lambda units: faiss_graph(units, int8=False)),
    "faiss HNSW 8 bit": ("faiss", lambda units: faiss_graph(units, int8=True)),
    "faiss IVF float32": ("faiss", faiss_lists),
}


def compare(units: Vectors, queries: Vectors) -> Iterator[tuple[str, dict[str, float] | str]]:
    """Measure the libraries and the exact scan with one thread and one query at a time."""
    table = EmbeddingTable.from_rows(make_rows(units, {}), "float32")
    exact = np.argsort(-(queries @ units.T), axis=1, kind="stable")[:, :K]
    for name, (module, build) in WAYS.items():
        try:
            importlib.import_module(module)
        except ImportError:
            yield name, "not installed"
            continue
        print(f"building {name}", file=sys.stderr)
        began = time.perf_counter()
        built = build(units)
        yield name, {"build_s": time.perf_counter() - began, **_measured(built, table, units, queries, exact)}


def _measured(
    built: Built, table: EmbeddingTable, units: Vectors, queries: Vectors, exact: Rows
) -> dict[str, float]:
    effort, reached = EFFORTS[0], 0.0
    for effort in EFFORTS:
        reached = float(
            np.mean(
                [
                    np.isin(_best(built, units, query, effort), truth).mean()
                    for query, truth in zip(queries, exact, strict=True)
                ]
            )
        )
        if reached >= RECALL:
            break
    ratios, rates = [], []
    for _ in range(PAIRS):  # in turns, so that both are affected by a busy moment
        fast = _per_s(lambda query: _best(built, units, query, effort), queries)
        slow = _per_s(lambda query: nearest(table, query, K), queries[:25])
        rates.append(fast)
        ratios.append(fast / slow)
    with tempfile.TemporaryDirectory() as folder:
        built.save(f"{folder}/index")
        size = (Path(folder) / "index").stat().st_size / 1e6
    return {
        "recall_at_10": reached,
        "effort": effort,
        "per_s": statistics.median(rates),
        "of_exact": statistics.median(ratios),
        "mb": size,
    }


def _best(built: Built, units: Vectors, query: Vectors, effort: int) -> Rows:
    """Return the ten best candidates by exact comparison."""
    found = built.search(query, effort)
    found = found[found >= 0]
    return found[np.argsort(-(units[found] @ query), kind="stable")[:K]]


def _per_s(work: Callable[[Vectors], object], queries: Vectors) -> float:
    start = time.perf_counter()
    for query in queries:
        work(query)
    return len(queries) / (time.perf_counter() - start)
