"""What an evaluation yields: numbers with their intervals and recipes, as JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.evaluation.recipes import Recipe

COLUMNS = ("data", "model", "protocol", "scale", "policy", "metric", "value", "low", "high", "count", "skipped")


@dataclass(frozen=True)
class Result:
    """One number: `metric` ("accuracy", "psnr" in dB ...) with its 95 % interval over `count` test images, and its recipe.

    `details` holds whatever else the protocol found, as plain values; `skipped` names images that could not be read.
    """

    recipe: Recipe
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
        fixed = {"data", "model", "protocol", "scale", "policy", "metric", "low", "high", "count", "seconds", "skipped"}
        details = {k: v for k, v in plain.items() if k not in fixed | {"skipped_files", "recipe", plain["metric"]}}
        return Result(
            Recipe(**plain["recipe"]),
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
        """Give the columns of a table, as plain values."""
        plain = self.to_json()
        return {name: plain[name] if name != "value" else self.value for name in COLUMNS}


def to_csv(results: Sequence[Result]) -> str:
    """Write results as CSV, one row each, with the recipe's key last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, "recipe"], lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerow({**result.row(), "recipe": result.recipe.key})
    return text.getvalue()


def to_latex(results: Sequence[Result]) -> str:
    """Write results as a LaTeX tabular (booktabs): models down, data and scale across, policies as rows of their own."""
    rows = list(dict.fromkeys((r.recipe.model, r.recipe.policy or "-") for r in results))
    across = list(dict.fromkeys((r.recipe.data, r.recipe.scale, _extra(r)) for r in results))
    cells = {((r.recipe.model, r.recipe.policy or "-"), (r.recipe.data, r.recipe.scale, _extra(r))): r for r in results}
    heads = [f"{_escape(data)} {scale:.4g}\\,\\%{extra}" for data, scale, extra in ((d, 100 * s, x) for d, s, x in across)]
    lines = [f"\\begin{{tabular}}{{ll{'r' * len(across)}}}", "\\toprule", " & ".join(["model", "policy", *heads]) + " \\\\", "\\midrule"]
    for row in rows:
        values = [_cell(cells.get((row, column))) for column in across]
        lines.append(" & ".join([_escape(row[0]), _escape(row[1]), *values]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _extra(result: Result) -> str:
    return f", mask {result.recipe.ratio:.2g}" if result.recipe.ratio is not None else ""


def _cell(result: Result | None) -> str:
    if result is None:
        return "--"
    digits = 2 if result.metric == "psnr" else 3
    return f"{result.value:.{digits}f} [{result.low:.{digits}f}, {result.high:.{digits}f}]"


def _escape(text: str) -> str:
    return text.replace("\\", "/").translate(str.maketrans({c: f"\\{c}" for c in "_%&#$"}))
