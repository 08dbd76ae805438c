"""Search equals a brute-force sort in float64, for both kinds of storage; invalid queries are reported."""

import numpy as np
import pytest

from core.atlas import EmbeddingTable, SearchError, TableError, TableInfo, open_table
from core.atlas.analysis.outliers import outliers_by_density
from core.atlas.search.index import build_index, open_index
from core.atlas.search.kernels import cosine_int8
from core.atlas.search.neighbors import (
    example_query,
    more_like,
    nearest,
    nearest_many,
    rows_within,
    similarities,
    top,
)
from core.atlas.store.shards import write_table


@pytest.fixture(params=["float32", "int8"])
def table(request, rows, tmp_path):
    write_table(
        tmp_path / "t", rows(n=3000, d=48, groups=30), TableInfo("test", None, "cls", 48, request.param)
    )
    return open_table(tmp_path / "t")


def brute(table, query, k):
    units = table.vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return np.argsort(-(units @ (query / np.linalg.norm(query))), kind="stable")[:k]


def test_nearest_equals_brute_force(table):
    for row in (0, 17, 2999):
        query = table.vectors_of([row])[0].astype(np.float64)
        found = nearest(table, query, 50)
        assert found.rows.tolist() == brute(table, query, 50).tolist()
        assert found.rows[0] == row
        assert found.similarity[0] == pytest.approx(1, abs=1e-5)
        assert (np.diff(found.similarity) <= 0).all()


def test_many_queries_equal_one_by_one(table, monkeypatch):
    monkeypatch.setattr("core.atlas.search.neighbors.BLOCK_ROWS", 700)
    queries = table.vectors_of(range(20))
    for one, query in zip(nearest_many(table, queries, 5), queries, strict=True):
        assert one.rows.tolist() == nearest(table, query, 5).rows.tolist()


@pytest.mark.parametrize(("n", "k"), [(10, 3), (64, 64), (5000, 1), (5000, 100), (64_001, 7)])
def test_top_is_a_sort(n, k):
    scores = np.random.default_rng(n).standard_normal(n).astype(np.float32).round(2)
    assert top(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()


def test_exclude_among_and_large_k(table):
    query = table.vectors_of([5])[0]
    assert 5 not in nearest(table, query, 10, exclude=[5]).rows
    among = np.arange(3000) % 2 == 0
    assert (nearest(table, query, 10, among=among).rows % 2 == 0).all()
    found = nearest(table, query, 10_000)
    assert len(found.rows) == 3000
    assert "only 3,000 rows" in found.note


def test_unusable_rows_are_never_found(rows):
    original = rows(n=50)
    vectors = np.stack(original["embedding"].to_pylist()).astype(np.float32)
    vectors[3], vectors[7, 2], vectors[9, 0] = 0, np.nan, np.inf
    table = EmbeddingTable.from_rows(_with(original, vectors))
    for found in (
        nearest(table, vectors[4], 50),
        nearest_many(table, vectors[4:5], 50)[0],
        build_index(table).nearest(vectors[4], 50),
    ):
        assert sorted(found.rows.tolist()) == [row for row in range(50) if row not in (3, 7, 9)]
        assert np.isfinite(found.similarity).all()
    assert (similarities(table, vectors[4])[[3, 7, 9]] == 0).all()
    assert "NaN or infinity" in " ".join(table.stored.problems)


def test_invalid_queries_are_reported(table):
    for query, sentence in (
        (np.full(48, np.nan), "NaN"),
        (np.full(48, np.inf), "infinity"),
        (np.zeros(48), "length zero"),
        (np.ones(5), "5 values"),
    ):
        with pytest.raises(SearchError, match=sentence):
            nearest(table, query, 3)
    with pytest.raises(SearchError, match="1 or more"):
        nearest(table, np.ones(48), 0)
    with pytest.raises(SearchError, match="diversity"):
        nearest(table, np.ones(48), 3, diversity=1.5)
    with pytest.raises(SearchError, match="No row is left"):
        nearest(table, np.ones(48), 3, among=np.zeros(3000, bool))


def test_invalid_rows_and_counts_are_refused_everywhere(rows):
    table = EmbeddingTable.from_rows(rows(n=20))
    query = table.vectors[0]
    for ask in (
        lambda row: nearest(table, query, 3, exclude=[row]),
        lambda row: example_query(table, [row]),
        lambda row: example_query(table, [1], [row]),
        lambda row: build_index(table).nearest(query, 3, exclude=[row]),
    ):
        for row in (-1, 20):
            with pytest.raises(SearchError, match=f"There is no row {row} "):
                ask(row)
    for ask in (
        lambda: nearest_many(table, table.vectors[:2], 0),
        lambda: outliers_by_density(table, 0),
        lambda: outliers_by_density(table, -1),
    ):
        with pytest.raises(SearchError, match="must be 1 or more"):
            ask()
    assert nearest_many(table, table.vectors[:0], 3) == ()


def test_mixed_models_are_refused(rows):
    table = EmbeddingTable.from_rows(rows(n=10, model=["a"] * 5 + ["b"] * 5))
    with pytest.raises(TableError, match="cannot be compared"):
        nearest(table, np.ones(16), 3)


def test_duplicates_are_flagged(rows):
    original = rows(n=60)
    vectors = np.stack(original["embedding"].to_pylist()).astype(np.float32)
    vectors[10] = vectors[20] = vectors[30] * 2
    found = nearest(EmbeddingTable.from_rows(_with(original, vectors)), vectors[30], 5)
    assert sorted(found.rows[:3].tolist()) == [10, 20, 30]
    assert found.duplicate.tolist() == [True, True, True, False, False]


def test_rows_that_repeat_a_better_row_are_flagged(rows):
    original = rows(n=60)
    vectors = np.stack(original["embedding"].to_pylist()).astype(np.float32)
    vectors[20] = vectors[10]
    found = nearest(EmbeddingTable.from_rows(_with(original, vectors)), vectors[10] + 0.05 * vectors[11], 60)
    assert found.rows[found.duplicate].tolist() == [20]  # ties are sorted by row, so row 10 comes first


@pytest.mark.parametrize("width", [1, 16, 63, 192, 1024])
def test_int8_rows_at_their_limits_are_summed_exactly(width):
    codes = np.full((3, width), 127, np.int8)
    codes[1] = -127
    codes[2, ::2] = -127
    query = np.full(width, 1 / np.sqrt(width), np.float32)
    inverse = (1 / np.sqrt((codes.astype(np.float64) ** 2).sum(axis=1))).astype(np.float32)
    truth = codes.astype(np.float64) @ query.astype(np.float64) * inverse
    np.testing.assert_allclose(cosine_int8(codes, inverse, query), truth, atol=1e-4)


def test_diversity_spreads_the_answers(table):
    query = table.vectors_of([0])[0]
    plain, spread = nearest(table, query, 12), nearest(table, query, 12, diversity=0.6)
    assert spread.rows[0] == plain.rows[0]
    likeness = [np.corrcoef(table.vectors_of(found.rows)).mean() for found in (plain, spread)]
    assert likeness[1] < likeness[0] - 0.1


def test_more_like_these_minus_those(rows):
    table = EmbeddingTable.from_rows(rows(n=400, groups=4))
    found = more_like(table, [0, 4, 8], [1, 5], 20)
    assert (found.rows % 4 == 0).all()
    assert not set(found.rows) & {0, 1, 4, 5, 8}
    np.testing.assert_allclose(
        example_query(table, [0]),
        table.vectors_of([0])[0] / np.linalg.norm(table.vectors_of([0])[0]),
        rtol=1e-5,
    )
    with pytest.raises(SearchError, match="at least one"):
        more_like(table, [])


def test_rows_within_a_drawn_area(rows):
    table = EmbeddingTable.from_rows(rows(n=400))
    found = rows_within(table, [(170, -40), (-170, -40), (-170, 40), (170, 40)])
    lon, lat = table.lonlat.T
    assert found.tolist() == np.flatnonzero((abs(lon) > 170) & (abs(lat) < 40)).tolist()
    with pytest.raises(SearchError, match="must be a polygon"):
        rows_within(table, [(0, 0), (1, 1)])


def test_index_finds_nearly_all_and_is_kept(table, tmp_path):
    index = open_index(table)
    queries = table.vectors_of(range(0, 3000, 60))
    hits = [len(set(index.nearest(q, 10).rows) & set(nearest(table, q, 10).rows)) for q in queries]
    assert np.mean(hits) / 10 >= 0.98
    kept = list((tmp_path / "t" / ".derived").glob("index-*.usearch"))
    assert len(kept) == 1
    again = open_index(open_table(tmp_path / "t"))
    assert again.nearest(queries[0], 5).rows.tolist() == index.nearest(queries[0], 5).rows.tolist()
    kept[0].write_bytes(b"damaged")
    assert len(open_index(open_table(tmp_path / "t")).graph) == 3000


def test_index_of_a_table_in_memory(rows):
    table = EmbeddingTable.from_rows(rows(n=300))
    assert build_index(table).nearest(table.vectors_of([9])[0], 3).rows[0] == 9


def _with(original, vectors):
    import pyarrow as pa

    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return original.set_column(original.schema.get_field_index("embedding"), "embedding", column)
