"""What a filter is parsed into: a tree of a few kinds of nodes, all of plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """Name a column, a field of one (with a dot), or an element of a list (in brackets, counted from 1)."""

    name: str
    field: str | None = None
    element: int | None = None


@dataclass(frozen=True)
class Value:
    """Hold a literal."""

    value: str | float | int | bool


@dataclass(frozen=True)
class Summary:
    """Name one number that sums up a column; `share` is the quantile that quantile_cont takes."""

    name: str
    column: Column
    share: float | None = None


@dataclass(frozen=True)
class Arithmetic:
    """Join two numbers by one of + - * / %."""

    sign: str
    left: Node
    right: Node


@dataclass(frozen=True)
class BinaryComparison:
    """Compare two operands."""

    sign: str
    left: Node
    right: Node


@dataclass(frozen=True)
class OneOf:
    """Test an operand against a list of literals."""

    operand: Node
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Like:
    """Match text with a pattern in which % stands for any text and _ for one character."""

    operand: Node
    pattern: str
    ignore_case: bool


@dataclass(frozen=True)
class IsNull:
    """Test whether an operand has no value."""

    operand: Node


@dataclass(frozen=True)
class Not:
    """Negate a condition."""

    operand: Node


@dataclass(frozen=True)
class Joined:
    """Join conditions by `and` or `or`."""

    word: str
    terms: tuple[Node, ...]


Node = Column | Value | Summary | Arithmetic | BinaryComparison | OneOf | Like | IsNull | Not | Joined
