"""Opening tables: many as one, lazily, with an error for each invalid one."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.atlas import EmbeddingTable, FilterError, TableError, TableInfo, open_table
from core.atlas.store.shards import write_table


def info(model="test", precision="float32", dim=16):
    return TableInfo(model, None, "cls", dim, precision)


def test_many_folders_read_as_one_and_lazily(rows, tmp_path, monkeypatch):
    write_table(tmp_path / "a", rows(n=50), info())
    write_table(tmp_path / "b", rows(n=70, seed=1), info(precision="int8"))
    table = open_table(tmp_path / "a", tmp_path / "b" / "part-00000.parquet")
    assert len(table) == 120
    assert "columns" not in vars(table)
    assert "stored" not in vars(table)
    assert table.columns.num_rows == 120
    assert "stored" not in vars(table)
    assert table.vectors.shape == (120, 16)


def test_filters_are_conditions_with_subqueries(rows):
    table = EmbeddingTable.from_rows(rows(recon_loss_high=np.arange(200, dtype=np.float32)))
    found = table.rows_where("recon_loss_high > (SELECT quantile_cont(recon_loss_high, 0.99) FROM places)")
    assert found.tolist() == [198, 199]
    north = table.where("centre_lat > 0 AND bbox.xmin BETWEEN -90 AND 90 -- a comment")
    assert (north.lonlat[:, 1] > 0).all()
    np.testing.assert_array_equal(
        north.vectors[0], table.vectors[table.row_of(north.columns["unique_id"][0].as_py())]
    )


@pytest.mark.parametrize(
    "text",
    [
        "1=1) UNION SELECT 1 --",
        "1=1); DROP TABLE places; SELECT (1",
        "EXISTS (SELECT * FROM read_csv('x.csv'))",
        "EXISTS (SELECT * FROM 'x.csv')",
        "EXISTS (FROM duckdb_settings())",
        "getenv('HOME') = 'x'",
        "",
        "/* open",
        "EXISTS (WITH t AS (SELECT 1) SELECT * FROM t)",
        "1 IN (SELECT 1 FROM places a, places b)",
        "no_such_column = 1",
        "EXISTS (SELECT * FROM glob('*'))",
        "read_text('x') IS NULL",
        "EXISTS (SELECT * FROM information_schema.tables)",
        "len(range(100000000000)) > 1",
        "list_sum(list_transform([1], lambda x: x + 1)) > 0",
        "(SELECT content FROM read_blob('x')) IS NULL",
    ],
)
def test_anything_but_a_condition_is_refused(rows, text):
    with pytest.raises(FilterError, match=r"filter.*[.:]"):
        EmbeddingTable.from_rows(rows(n=5)).rows_where(text)


def test_a_filter_cannot_see_python_variables(rows):
    secret = pa.table({"a": [1]})
    with pytest.raises(FilterError):
        EmbeddingTable.from_rows(rows(n=5)).rows_where("EXISTS (SELECT * FROM secret)")
    assert secret.num_rows == 1


def test_a_filter_that_leaves_no_row_is_reported(rows):
    with pytest.raises(TableError, match="No row is left"):
        EmbeddingTable.from_rows(rows(n=5)).where("gsd_m > 1e9")


def test_nan_zero_and_missing_vectors_are_named(rows):
    original = rows(n=6)
    vectors = np.stack(original["embedding"].to_pylist()).astype(np.float32)
    vectors[1, 3], vectors[2] = np.inf, 0
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)), 16, mask=pa.array([False] * 5 + [True])
    )
    original = original.set_column(original.schema.get_field_index("embedding"), "embedding", column)
    original = original.set_column(
        original.schema.get_field_index("status"), "status", pa.array(["ok"] * 5 + ["unreadable"])
    )
    table = EmbeddingTable.from_rows(original)
    assert table.stored.usable.tolist() == [True, False, False, True, True, False]
    text = " ".join(table.stored.problems)
    assert "000000001" in text
    assert "length zero (000000002)" in text
    assert "could not be read there (000000005)" in text
    assert text.count("000000005") == 1, "a row is reported once"


def test_a_table_without_any_usable_vector_is_refused(rows):
    original = rows(n=3)
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.full(48, np.nan, np.float32)), 16)
    table = EmbeddingTable.from_rows(
        original.set_column(original.schema.get_field_index("embedding"), "embedding", column)
    )
    with pytest.raises(TableError, match="No row has a usable vector"):
        _ = table.stored


def test_mixed_models_are_refused_with_their_names(rows, tmp_path):
    write_table(tmp_path / "a", rows(n=20), info())
    write_table(tmp_path / "b", rows(n=20, model=["other"] * 20), info("other"))
    table = open_table(tmp_path / "a", tmp_path / "b")
    with pytest.raises(TableError, match="other and test"):
        table.require_one_model()
    table.where("model = 'other'").require_one_model()


@pytest.mark.parametrize(
    ("columns", "column"),
    [
        ({"image_size": [64, 112] * 10}, "image_size"),
        ({"res_policy": ["log_gsd", "native_gsd"] * 10, "input_res_m": [1.0, 2.0] * 10}, "res_policy"),
    ],
)
def test_rows_made_in_different_ways_are_refused(rows, columns, column):
    table = EmbeddingTable.from_rows(rows(n=20, **columns))
    with pytest.raises(TableError, match=f"filter on {column}"):
        table.require_one_model()
    table.require_one_model(np.arange(20) % 2 == 0)


def test_a_policy_that_changed_nothing_may_differ(rows):
    for columns in ({"input_res_m": [1.0] * 20}, {}):
        EmbeddingTable.from_rows(
            rows(n=20, res_policy=["log_gsd", "native_gsd"] * 10, **columns)
        ).require_one_model()
    EmbeddingTable.from_rows(
        rows(n=20, res_policy=["log_gsd"] * 20, input_res_m=[1.0, 2.0] * 10)
    ).require_one_model()


def test_mixed_widths_are_refused(rows, tmp_path):
    write_table(tmp_path / "a", rows(n=20), info())
    write_table(tmp_path / "b", rows(n=20, d=8), info(dim=8))
    with pytest.raises(TableError, match="different widths"):
        _ = open_table(tmp_path / "a", tmp_path / "b").stored


def test_invalid_files_are_reported(rows, tmp_path):
    (tmp_path / "text.parquet").write_text("no parquet")
    (tmp_path / "empty").mkdir()
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "plain.parquet")
    pq.write_table(rows(n=3).slice(0, 0), tmp_path / "none.parquet")
    write_table(tmp_path / "torn", rows(), info(), shard_rows=100)
    (tmp_path / "torn" / "part-00001.parquet").write_bytes(
        (tmp_path / "torn" / "part-00001.parquet").read_bytes()[:-200]
    )
    write_table(tmp_path / "lost", rows(), info(), shard_rows=100)
    (tmp_path / "lost" / "part-00001.parquet").unlink()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("[1]")
    for name, sentence in {
        "text.parquet": "not a whole parquet file",
        "empty": "holds no .parquet file",
        "plain.parquet": "holds no vectors",
        "none.parquet": "has 0 rows",
        "absent": "There is no table",
        "torn": "it is damaged, or belongs to another table",
        "lost": "is missing",
        "odd": "does not list any shards",
    }.items():
        with pytest.raises(TableError, match=sentence):
            open_table(tmp_path / name)
    with pytest.raises(TableError, match="No table is given"):
        open_table()


def test_places_and_identities_are_found(rows):
    table = EmbeddingTable.from_rows(
        rows(centre_lon=np.where(np.arange(200) == 7, 179.9, 20.0), centre_lat=np.zeros(200))
    )
    assert table.nearest_place(-179.9, 0.1) == 7
    assert table.row_of("000000003") == 3
    assert table.row_of("12") == 12
    with pytest.raises(TableError, match="There is no row"):
        table.row_of("nobody")
    with pytest.raises(TableError, match="is not a place on Earth"):
        table.nearest_place(0, 95)
    nowhere = EmbeddingTable.from_rows(rows(centre_lon=[None] * 200, centre_lat=[None] * 200))
    with pytest.raises(TableError, match="does not say where"):
        nowhere.nearest_place(0, 0)


def test_the_nearest_place_is_found_in_any_block_of_rows(rows, monkeypatch):
    table = EmbeddingTable.from_rows(rows(n=200))
    places = [(7.0, 46.0), (-120.0, -10.0), (179.9, 60.0)]
    expected = [table.nearest_place(*place) for place in places]
    monkeypatch.setattr("core.atlas.store.table.PLACE_ROWS", 30)
    assert [table.nearest_place(*place) for place in places] == expected


def test_a_selection_beyond_memory_is_refused(rows, monkeypatch):
    table = EmbeddingTable.from_rows(rows(n=200))
    _ = table.columns, table.stored
    monkeypatch.setattr("core.atlas.store.integrity.MEMORY_SHARE", 1e-9)
    with pytest.raises(TableError, match="select fewer rows"):
        table.take(np.arange(150))
