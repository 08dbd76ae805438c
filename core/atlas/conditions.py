"""SQL conditions on a table: what stands after WHERE, checked as a syntax tree and run by DuckDB without access to anything else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.atlas.errors import FilterError

RELATION = "places"
LIMIT_S = 30.0
ENDLESS = {"range", "generate_series", "repeat", "list_resize", "array_resize", "rpad", "lpad"}
"""Functions that make much out of nothing inside one step, where DuckDB cannot be stopped."""

_LOCKED = (
    "SET enable_external_access=false",
    "SET python_enable_replacements=false",
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
    "SET memory_limit='2GB'",
    "SET lock_configuration=true",
)


def matching_rows(columns: pa.Table, condition: str) -> NDArray[np.int64]:
    """Give the row numbers, ascending, for which a SQL condition holds.

    The condition may use the table's columns, DuckDB's scalar functions, and subqueries over `places` (this table), so
    `recon_loss_high > (SELECT quantile_cont(recon_loss_high, 0.99) FROM places)` works. Raises FilterError for anything
    else, for a condition that DuckDB refuses, and for one that takes more than LIMIT_S seconds.
    """
    with duckdb.connect(":memory:") as connection:
        connection.register(RELATION, columns.append_column("row", pa.array(np.arange(columns.num_rows))))
        for setting in _LOCKED:
            connection.execute(setting)
        _require_condition(connection, condition)
        watch = threading.Timer(LIMIT_S, connection.interrupt)
        watch.start()
        try:
            found = connection.execute(f"SELECT row FROM {RELATION} WHERE (\n{condition}\n) ORDER BY row").fetchnumpy()["row"]
        except duckdb.InterruptException as error:
            raise FilterError(f"The filter took more than {LIMIT_S:.0f} s and was stopped: make it simpler.") from error
        except duckdb.Error as error:
            known = f" Columns are {', '.join(columns.column_names)}." if isinstance(error, duckdb.BinderException) else ""
            raise FilterError(f"The filter cannot be used: {_first_line(error)}{known}") from error
        finally:
            watch.cancel()
    return np.asarray(found, np.int64)


def _require_condition(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Raise FilterError unless the text is one condition that reads `places` alone."""
    if not condition.strip():
        raise FilterError("The filter is empty: write a condition such as gsd_m < 1, or leave it out.")
    query = f"SELECT row FROM {RELATION} WHERE (\n{condition}\n)"
    answer = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    tree: dict[str, Any] = json.loads(answer[0]) if answer else {"error": True}
    if tree.get("error"):
        why = str(tree.get("error_message", "")).splitlines()[:1]
        raise FilterError(f"The filter is not a condition ({why[0] if why else 'no answer'}): write what would follow WHERE in SQL.")
    if len(tree["statements"]) != 1 or tree["statements"][0]["node"]["type"] != "SELECT_NODE":
        raise FilterError("The filter must be one condition, not a statement: write only what would follow WHERE in SQL.")
    for node in _objects(tree["statements"][0]["node"]):
        kind = node.get("type")
        reads = {"BASE_TABLE": node.get("table_name")}.get(str(kind), RELATION)
        if reads != RELATION or kind in ("TABLE_FUNCTION", "JOIN", "RECURSIVE_CTE_NODE", "CTE_NODE", "SHOW_REF"):
            raise FilterError("The filter may only read this table's own columns (subqueries: FROM places); it cannot open files or other tables.")
        if node.get("class") == "LAMBDA" or str(node.get("function_name")).lower() in ENDLESS:
            raise FilterError(f"The filter may not use lambdas or {', '.join(sorted(ENDLESS))}: compare columns with values instead.")
        if (node.get("cte_map") or {}).get("map"):
            raise FilterError("The filter may not use WITH: write the subquery in place.")


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _objects(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _objects(value)


def _first_line(error: Exception) -> str:
    line = str(error).strip().splitlines()[0].split("Error: ", 1)[-1]
    return line if line.endswith((".", "!", "?")) else f"{line}."
