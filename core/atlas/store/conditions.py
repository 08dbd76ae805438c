"""Filters on a table: a condition in the notation of SQL's WHERE clause, evaluated column by column.

`core.atlas.store.condition_syntax` parses the text into a tree of a few kinds of nodes. Each node is one pass
over the rows, with a result of at most 8 bytes a row, and no node runs text from the filter as a program, so
time and memory are bounded by the length of the filter times that of the table. A deadline between passes
bounds the whole. What a row lacks (NULL) follows SQL: a comparison with it is neither true nor false.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from ..errors import FilterError
from .condition_syntax import parse
from .condition_tree import (
    Arithmetic,
    BinaryComparison,
    Column,
    IsNull,
    Joined,
    Like,
    Node,
    Not,
    OneOf,
    Summary,
    Value,
)

pc: Any = pyarrow.compute

LIMIT_S = 5.0
PATTERN_ROWS = 4096
"""Rows that are matched with a pattern between two looks at the deadline: matching takes time in proportion
to text times pattern."""

NOT_ALIKE = (
    "The filter compares values of types that cannot be compared: "
    "compare numbers with numbers and text with text."
)

_COMPARE = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_ARITHMETIC = {"+": pc.add, "-": pc.subtract, "*": pc.multiply, "/": pc.divide}
_SWAPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def matching_rows(columns: pa.Table, condition: str) -> NDArray[np.int64]:
    """Give the row numbers, ascending, for which a condition holds.

    The condition compares the table's columns with values and with summaries of a column, for example
    `recon_loss_high > (SELECT quantile_cont(recon_loss_high, 0.99) FROM places) AND centre_lat BETWEEN -23
    AND 23`. Raises FilterError for anything that is not in the grammar of
    `core.atlas.store.condition_syntax`, for unknown columns, for types that cannot be compared, and for a
    condition that takes more than LIMIT_S seconds.
    """
    evaluation = _Evaluation(columns)
    try:
        found = evaluation.truth(parse(condition))
    except pa.ArrowException as error:
        raise FilterError(NOT_ALIKE) from error
    if isinstance(found, pa.Scalar):
        return np.arange(columns.num_rows if found.as_py() else 0)
    return np.flatnonzero(pc.fill_null(found, False).to_numpy(zero_copy_only=False)).astype(np.int64)


class _Evaluation:
    """One evaluation of a condition on the columns of a table, with a deadline checked before every pass."""

    def __init__(self, columns: pa.Table) -> None:
        self._columns, self._deadline = columns, time.monotonic() + LIMIT_S

    def truth(self, node: Node) -> Any:
        """Evaluate a node that must be true or false."""
        found = self._of(node)
        if not pa.types.is_boolean(found.type):
            raise FilterError(
                "The filter is not a condition: compare the value with another one, for example gsd_m < 1."
            )
        return found

    def _of(self, node: Node) -> Any:
        self._require_time()
        match node:
            case Value(value):
                return pa.scalar(value)
            case Column():
                return self._column(node)
            case Summary():
                return self._summary(node)
            case Arithmetic():
                return self._arithmetic(node)
            case BinaryComparison(sign, left, right):
                return _compare(sign, self._of(left), self._of(right))
            case OneOf():
                return self._one_of(node)
            case Like():
                return self._like(node)
            case IsNull(operand):
                return pc.is_null(self._of(operand))
            case Not(operand):
                return pc.invert(self.truth(operand))
            case Joined(word, terms):
                join = pc.and_kleene if word == "and" else pc.or_kleene
                found = self.truth(terms[0])
                for term in terms[1:]:
                    found = join(found, self.truth(term))
                return found

    def _column(self, column: Column) -> Any:
        names = self._columns.column_names
        name = _same_word(column.name, names)
        if name is None:
            raise FilterError(
                f"The filter names a column that the table does not have ({column.name[:60]}). Columns are "
                f"{', '.join(names)}."
            )
        values = self._columns[name]
        if column.field is not None:
            fields = [field.name for field in values.type] if pa.types.is_struct(values.type) else []
            field = _same_word(column.field, fields)
            if field is None:
                known = f"it has {', '.join(fields)}" if fields else "it has none"
                raise FilterError(f"The column {name} has no field {column.field[:60]}: {known}.")
            values = pc.struct_field(values, field)
        return values if column.element is None else _element(values, column.element, name)

    def _summary(self, summary: Summary) -> Any:
        values = _as_number(self._column(summary.column), summary.name)
        if summary.name in ("min", "max"):
            return pc.min_max(values)[summary.name]
        if summary.name == "avg":
            return pc.mean(values)
        share = 0.5 if summary.share is None else summary.share
        return pc.quantile(values, q=share, interpolation="linear")[0]

    def _arithmetic(self, node: Arithmetic) -> Any:
        left, right = (
            pc.cast(_as_number(self._of(side), node.sign), pa.float64(), safe=False)
            for side in (node.left, node.right)
        )
        if node.sign == "%":
            return pc.subtract(left, pc.multiply(pc.trunc(pc.divide(left, right)), right))
        return _ARITHMETIC[node.sign](left, right)

    def _one_of(self, node: OneOf) -> Any:
        operand = self._of(node.operand)
        values = [_alike(pa.scalar(value.value), operand.type) for value in node.values]
        if any(_kind(value.type) != _kind(operand.type) for value in values) or not _kind(operand.type):
            raise FilterError(NOT_ALIKE)
        if _is_number(operand.type):
            operand = pc.cast(operand, pa.float64(), safe=False)
        found = pc.is_in(operand, value_set=pa.array([value.as_py() for value in values], operand.type))
        return pc.if_else(pc.is_null(operand), None, found)

    def _like(self, node: Like) -> Any:
        operand = self._of(node.operand)
        if _kind(operand.type) != "text":
            raise FilterError(
                "LIKE needs text in the filter: name a column of text, or compare numbers with <, = and >."
            )
        if isinstance(operand, pa.Scalar):
            return pc.match_like(operand, node.pattern, ignore_case=node.ignore_case)
        found: list[Any] = []
        for at in range(0, len(operand), PATTERN_ROWS):
            self._require_time()
            found.append(
                pc.match_like(operand.slice(at, PATTERN_ROWS), node.pattern, ignore_case=node.ignore_case)
            )
        return pa.chunked_array([chunk for piece in found for chunk in piece.chunks], pa.bool_())

    def _require_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise FilterError(f"The filter took more than {LIMIT_S:g} s and was stopped: make it simpler.")


def _element(lists: Any, number: int, name: str) -> Any:
    """Give one element of every list, counted from 1 as in SQL; null where a list is shorter or missing."""
    kind = lists.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise FilterError(f"The column {name} holds no lists: write it without brackets.")
    return pc.list_element(pc.list_slice(lists, number - 1, number, return_fixed_size_list=True), 0)


def _compare(sign: str, left: Any, right: Any) -> Any:
    if isinstance(left, pa.Scalar) and not isinstance(right, pa.Scalar):
        sign, left, right = _SWAPPED[sign], right, left
    if isinstance(right, pa.Scalar):
        right = _alike(right, left.type)
    kinds = [_kind(side.type) for side in (left, right)]
    if kinds[0] != kinds[1] or not kinds[0]:
        raise FilterError(NOT_ALIKE)
    if _is_number(left.type) and pa.types.is_floating(left.type) != pa.types.is_floating(right.type):
        left, right = (pc.cast(side, pa.float64(), safe=False) for side in (left, right))
    return _COMPARE[sign](left, right)


def _alike(value: Any, kind: pa.DataType) -> Any:
    """Bring a literal to the type of the column it is compared with: a decimal fraction to its precision,
    text to a point in time."""
    if pa.types.is_float32(kind) and _is_number(value.type):
        return pc.cast(value, kind, safe=False)
    if pa.types.is_timestamp(kind) and pa.types.is_string(value.type):
        try:
            moment = np.datetime64(value.as_py().strip().removesuffix("Z"), kind.unit)
        except ValueError as error:
            raise FilterError(
                "A point in time must be written as in '2024-06-30' or '2024-06-30 12:00:00'."
            ) from error
        return pa.scalar(int(moment.astype(np.int64)), pa.int64()).cast(kind)
    return value


def _kind(kind: pa.DataType) -> str:
    if _is_number(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    return "time" if pa.types.is_timestamp(kind) else "truth" if pa.types.is_boolean(kind) else ""


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _as_number(values: Any, what: str) -> Any:
    if not _is_number(values.type):
        raise FilterError(f"{what} needs numbers in the filter: name a column of numbers.")
    return values


def _same_word(name: str, among: list[str]) -> str | None:
    return name if name in among else next((other for other in among if other.lower() == name.lower()), None)
