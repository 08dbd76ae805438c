"""What an evaluation yields: numbers with their intervals and recipes, as JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .recipes import EvaluationRecipe

COLUMNS = (
    "data",
    "model",
    "protocol",
    "scale",
    "policy",
    "metric",
    "value",
    "low",
    "high",
    "count",
    "skipped",
    "shots",
    "hidden",
    "limit",
)


@dataclass(frozen=True)
class Result:
    """One number: `metric` ("accuracy", "psnr" in dB ...) with its 95 % interval over `count` test images, and its recipe.

    `details` holds whatever else the protocol found, as plain values; `skipped` names images that could not be read.
    """

    recipe: EvaluationRecipe
    metric: str
    value: float
    low: float
    high: float
    count: int
    seconds: float = 0.0
    skipped: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give plain values: the fixed columns, the metric under its own name, the details, then the recipe."""
        recipe = self.recipe
        return {
            "data": recipe.data,
            "model": recipe.model,
            "protocol": recipe.protocol,
            "scale": recipe.scale,
            "policy": recipe.policy,
            "metric": self.metric,
            self.metric: self.value,
            "low": self.low,
            "high": self.high,
            "count": self.count,
            "seconds": self.seconds,
            "skipped": len(self.skipped),
            "skipped_files": list(self.skipped),
            **self.details,
            "recipe": recipe.plain(),
        }

    @staticmethod
    def from_json(plain: dict[str, Any]) -> Result:
        """Read what `to_json` gave; raises KeyError or TypeError for anything else."""
        fixed = {
            "data",
            "model",
            "protocol",
            "scale",
            "policy",
            "metric",
            "low",
            "high",
            "count",
            "seconds",
            "skipped",
        }
        details = {
            k: v for k, v in plain.items() if k not in fixed | {"skipped_files", "recipe", plain["metric"]}
        }
        return Result(
            EvaluationRecipe(**plain["recipe"]),
            plain["metric"],
            plain[plain["metric"]],
            plain["low"],
            plain["high"],
            plain["count"],
            plain["seconds"],
            tuple(plain["skipped_files"]),
            details,
        )

    def relabelled(self, protocol: str) -> Result:
        """Give the same number under the name of the protocol that asked for it (a sweep is a series of kNN)."""
        return replace(self, recipe=replace(self.recipe, protocol=protocol))

    def row(self) -> dict[str, Any]:
        """Give the columns of a table, as plain values: `hidden` the share of patches hidden, `shots`, `hidden` and `limit` None where not used."""
        recipe = self.recipe
        own = {"value": self.value, "shots": recipe.shots, "hidden": recipe.ratio, "limit": recipe.limit}
        plain = self.to_json() | own
        return {name: plain[name] for name in COLUMNS}


def in_order(results: Sequence[Result]) -> tuple[Result, ...]:
    """Sort results for reading: what compares stands together (set, protocol, metric, shots, hidden share, scale), the best first."""

    def place(result: Result) -> tuple[Any, ...]:
        recipe = result.recipe
        return (
            recipe.data.casefold(), recipe.protocol, result.metric, recipe.shots or 0, recipe.ratio or 0.0, -recipe.scale, recipe.limit or 0,
            -result.value, recipe.model, recipe.key,
        )  # fmt: skip

    return tuple(sorted(results, key=place))


def to_csv(results: Sequence[Result]) -> str:
    """Write results as CSV, one row each, with the recipe's key last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, "recipe"], lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerow({**result.row(), "recipe": result.recipe.key})
    return text.getvalue()


def to_latex(results: Sequence[Result]) -> str:
    """Write results as a LaTeX tabular (booktabs): models down, with policies as rows of their own; across, what was asked of them.

    A column is a set, scale, protocol, metric, shots, hidden share and limit; its head says the limit and the number of test images, a cell
    says its own number where the column's differ. Numbers that agree in all of it and differ by another setting
    (k, seed, weights ...) stand in rows of their own, told apart by the beginning of their recipe's key; none is left out.
    """
    cells: dict[tuple[_Row, _Column], Result] = {}
    for result in {(result.recipe.key, result.metric, result.value): result for result in results}.values():
        recipe = result.recipe
        column = (
            recipe.data,
            recipe.scale,
            recipe.protocol,
            result.metric,
            recipe.shots,
            recipe.ratio,
            recipe.limit,
        )
        key = recipe.key[:8]
        notes = ("", key, *(f"{key} ({number})" for number in range(2, len(results) + 1)))
        rows_of_its_own = ((recipe.model, recipe.policy or "-", note) for note in notes)
        cells[next(row for row in rows_of_its_own if (row, column) not in cells), column] = result
    rows, across = (
        list(dict.fromkeys(row for row, _ in cells)),
        list(dict.fromkeys(column for _, column in cells)),
    )
    counts = {
        column: {result.count for (_, at), result in cells.items() if at == column} for column in across
    }
    heads = [_escape(_head(column, across, counts[column])) for column in across]
    lines = [
        f"\\begin{{tabular}}{{ll{'r' * len(across)}}}",
        "\\toprule",
        " & ".join(["model", "policy", *heads]) + " \\\\",
        "\\midrule",
    ]
    for row in rows:
        values = [_cell(cells.get((row, column)), with_count=len(counts[column]) > 1) for column in across]
        policy = f"{row[1]}, recipe {row[2]}" if row[2] else row[1]
        lines.append(" & ".join([_escape(row[0]), _escape(policy), *values]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


_Row = tuple[str, str, str]  # model, policy, and a recipe's key where the first two do not tell numbers apart
_Column = tuple[
    str, float, str, str, int | None, float | None, int | None
]  # set, scale, protocol, metric, shots, hidden share, limit


def _head(column: _Column, across: Sequence[_Column], counts: set[int]) -> str:
    """A column's title: set and scale, what its protocol was asked for, whatever else differs among the columns, limit and images."""
    data, scale, protocol, metric, shots, ratio, limit = column
    protocols, metrics = ({other[place] for other in across} for place in (2, 3))
    parts = [f"{data} {100 * scale:.4g} %"]
    parts += [protocol] if len(protocols) > 1 else []
    parts += [metric] if len(metrics) > 1 else []
    parts += [f"{shots} shot{'s' * (shots > 1)}"] if shots is not None else []
    parts += [f"mask {ratio:.3g}"] if ratio is not None else []
    parts += [f"limit {limit}" if limit is not None else "no limit"]
    parts += [f"n = {next(iter(counts))}"] if len(counts) == 1 else []
    return ", ".join(parts)


def _cell(result: Result | None, *, with_count: bool) -> str:
    if result is None:
        return "--"
    digits = 2 if result.metric == "psnr" else 3
    said = f"{result.value:.{digits}f} [{result.low:.{digits}f}, {result.high:.{digits}f}]"
    return f"{said}, n = {result.count}" if with_count else said


def _escape(text: str) -> str:
    own = {c: f"\\{c}" for c in "_%&#${}"} | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return text.replace("\\", "/").translate(str.maketrans(own))
