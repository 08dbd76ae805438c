"""Filters: what the grammar allows and refuses, and limits on time and memory."""

import time
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from core.atlas import FilterError
from core.atlas.store.conditions import matching_rows

COLUMNS = pa.table(
    {
        "name": ["alpha", "Beta", None, "it's", "a%b"],
        "size": pa.array([1, 2, 3, None, 5], pa.int16()),
        "share": pa.array([0.1, 0.9, None, 0.5, 0.9], pa.float32()),
        "lat": [-10.0, 0.0, 10.0, 70.0, None],
        "seed": pa.array([2**53, 2**53 + 1, 0, 0, 0], pa.int64()),
        "when": pa.array(
            [datetime(2024, month, 1, tzinfo=UTC) for month in range(1, 6)], pa.timestamp("us", tz="UTC")
        ),
        "box": pa.array([{"west": float(i), "east": i + 1.0} for i in range(5)]),
        "window": pa.array(
            [[0, 0, 64, 64], [64, 0, 128, 64], None, [0, 64, 64, 128], [5, 5, 6, 6]], pa.list_(pa.int32(), 4)
        ),
        "parts": pa.array([[1], [], None, [3, 4], [None, 5]], pa.list_(pa.int64())),
        "outline": pa.array([b"x", None, b"y", b"z", b"w"], pa.binary()),
    }
)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("size > 1", [1, 2, 4]),
        ("1 < size", [1, 2, 4]),
        ("SIZE >= 2 and LAT < 5", [1]),
        ("not size > 1", [0]),
        ("size > 1 OR lat > 60", [1, 2, 3, 4]),
        ("NOT (size > 1 OR lat > 60)", [0]),
        ("size BETWEEN 2 AND 3", [1, 2]),
        ("size NOT BETWEEN 2 AND 3", [0, 4]),
        ("size IN (1, 5.0, -3)", [0, 4]),
        ("size NOT IN (1)", [1, 2, 4]),
        ("name IN ('alpha', 'it''s')", [0, 3]),
        ("name <> 'alpha'", [1, 3, 4]),
        ("name LIKE 'a%'", [0, 4]),
        ("name NOT LIKE 'a%'", [1, 3]),
        ("name ILIKE 'b_ta'", [1]),
        ("name IS NULL", [2]),
        ("outline IS NOT NULL", [0, 2, 3, 4]),
        ("share = 0.9", [1, 4]),
        ("share IN (0.9)", [1, 4]),
        ("seed = 9007199254740993", [1]),
        ("-lat > 5", [0]),
        ("lat * lat - 100 = 0", [0, 2]),
        ("size % 2 = 1", [0, 2, 4]),
        ("lat / 0 > 1", [2, 3]),
        ("2 + 3 * 2 = 8", [0, 1, 2, 3, 4]),
        ("(2 + 3) * 2 = 8", []),
        ("when >= '2024-04-01'", [3, 4]),
        ("when < '2024-02-01T00:00:00Z'", [0]),
        ('box.west > 2 AND "box"."east" <= 4 -- a comment', [3]),
        ("lat = (SELECT max(lat) FROM places)", [3]),
        ("size > (SELECT avg(size) FROM places)", [2, 4]),
        (
            "lat <= (SELECT quantile_cont(lat, 0.5) FROM places) "
            "AND lat >= (SELECT median(lat) FROM places) - 5",
            [1],
        ),
        ("window[1] >= 64", [1]),
        ("window[3] - window[1] = 64 AND WINDOW[2] > 0", [3]),
        ('"window"[ 4 ] = 64', [0, 1]),
        ("window[5] IS NULL", [0, 1, 2, 3, 4]),
        ("window[9999] > 0", []),
        ("window[2] IS NULL", [2]),
        ("parts[1] > 0", [0, 3]),
        ("parts[2] IN (4, 5)", [3, 4]),
        ("window[1] = (SELECT max(window[1]) FROM places)", [1]),
        ("-window[1] < -4 OR parts[1] IS NOT NULL", [0, 1, 3, 4]),
        ("TRUE", [0, 1, 2, 3, 4]),
        ("size = 99999999999", []),
    ],
)
def test_a_condition_selects_rows_as_sql_does(condition, rows):
    assert matching_rows(COLUMNS, condition).tolist() == rows


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("len(format('{:>400000000}', name)) > 0", "may not call functions"),
        ("levenshtein(repeat('a', 99999999), name) > 1", "may not call functions"),
        ("length(replace(replace(name, 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa')) > 1", "may not call functions"),
        ("error(name)", "may not call functions"),
        ("abs(lat) < 3", "may not call functions"),
        ("lat = (SELECT error(name) FROM places)", "sum up one column"),
        ("lat = (SELECT max(lat) FROM other)", "needs PLACES"),
        ("lat IN (SELECT lat FROM places)", "not a condition"),
        ("lat = (SELECT max(lat) FROM places, places)", r"needs \)"),
        ("name::int > 1", "cannot be read"),
        ("CAST(name AS int) > 1", "may not call functions"),
        ("name = 1", "types that cannot be compared"),
        ("lat > 'x'", "types that cannot be compared"),
        ("outline = 'x'", "types that cannot be compared"),
        ("box = box", "types that cannot be compared"),
        ("lat LIKE '1%'", "needs text"),
        ("name + 1 > 2", "needs numbers"),
        ("lat", "not a condition"),
        ("lat AND TRUE", "not a condition"),
        ("lat >", "at its end"),
        ("lat > 1 2", "“2”"),
        ("lat = NULL", "not a condition"),
        ("nothing = 1", r"does not have \(nothing\)"),
        ("box.north > 1", "has west, east"),
        ("name.west = 'x'", "it has none"),
        ("when > 'yesterday'", "point in time"),
        ("name = 'open", "cannot be read"),
        ("lat > 1; DROP TABLE places", "cannot be read"),
        ("/* */ lat > 1", "not a condition"),
        ("--", "is empty"),
        ("(" * 30 + "lat > 1" + ")" * 30, "levels deep"),
        ("+".join(["lat"] * 101) + " > 1", "more than 100 terms"),
        ("lat > 1 " * 400, "the limit is 2,000"),
        (f"name LIKE '{'%_' * 60}'", "at most 100 characters"),
        ("lat > 1\x00", "cannot be read"),
        ("window[0] > 1", r"\[0\] is not"),
        ("window[-1] > 1", "whole number from 1 to 9,999"),
        ("window[1.5] > 1", "whole number from 1 to 9,999"),
        ("window[1e3] > 1", "whole number from 1 to 9,999"),
        ("window['1'] > 1", "whole number from 1 to 9,999"),
        ("window[lat] > 1", "whole number from 1 to 9,999"),
        ("window[] > 1", "whole number from 1 to 9,999"),
        ("window[10000] > 1", r"\[10000\] is not"),
        (f"window[{'9' * 1900}] > 1", "is not"),
        ("window[1:2] > 1", "cannot be read"),
        ("window[1, 2] > 1", r"needs \]"),
        ("window[1][1] > 1", "not a condition"),
        ("window[1", r"needs \]"),
        ("[1] > 1", "not a condition"),
        ("window > 1", "types that cannot be compared"),
        ("window[window[1]] > 1", "whole number from 1 to 9,999"),
        ("lat[1] > 1", "holds no lists"),
        ("box[1] > 1", "holds no lists"),
        ("name[1] = 'a'", "holds no lists"),
    ],
)
def test_what_is_not_in_the_grammar_is_refused_with_a_sentence(condition, reason):
    with pytest.raises(FilterError, match=reason) as refused:
        matching_rows(COLUMNS, condition)
    assert "alpha" not in str(refused.value), "a message must not contain values of the table"
    assert len(str(refused.value)) < 400


def test_the_longest_filter_on_a_million_rows_is_bounded_in_time_and_memory():
    count = 1_000_000
    columns = pa.table(
        {
            "lat": np.linspace(-90, 90, count),
            "window": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4 * count, np.int32)), 4),
            "name": pa.array(["a" * 20] * 1000).take(pa.array(np.arange(count) % 1000)),
        }
    )
    hostile = [
        "+".join(["lat"] * 98) + " > 1",
        " OR ".join(["(lat > 1 AND NOT lat < 2)"] * 20),
        " OR ".join(["lat > (SELECT quantile_cont(lat, 0.3) FROM places)"] * 33),
        f"lat IN ({', '.join(str(n) for n in range(400))})",
        " OR ".join([f"name LIKE '{'%a_' * 20}b'"] * 20),
        " OR ".join(["window[9999] > window[1]"] * 45),
    ]
    for condition in hostile:
        tracemalloc.start()
        held, began = pa.total_allocated_bytes(), time.monotonic()
        try:
            matching_rows(columns, condition)
        except FilterError as stopped:
            assert "was stopped" in str(stopped)
        assert time.monotonic() - began < 15
        assert pa.total_allocated_bytes() - held < 2**24
        assert tracemalloc.get_traced_memory()[1] < 2**27
        tracemalloc.stop()


def test_a_slow_filter_is_stopped_within_a_pass(monkeypatch):
    monkeypatch.setattr("core.atlas.store.conditions.LIMIT_S", 0.05)
    columns = pa.table({"name": ["a" * 400] * 200_000})
    began = time.monotonic()
    with pytest.raises(FilterError, match="took more than"):
        matching_rows(columns, f"name LIKE '{'%a_' * 30}b'")
    assert time.monotonic() - began < 5
