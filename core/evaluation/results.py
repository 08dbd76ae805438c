"""Results of evaluations: values with intervals and recipes, as JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .recipes import PROTOCOL_LABELS, EvaluationRecipe

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
    "gallery",
    "lead_db",
    "lead_low",
    "lead_high",
    "detail_gain",
    "detail_low",
    "detail_high",
)
METRIC_LABELS = {"miou": "mean IoU", "psnr": "PSNR, dB", "gsd_gain": "gain of the right GSD, dB"}
"""Metrics by their name in results, with the label that people see where it differs."""
IN_DECIBELS = ("psnr", "gsd_gain")


@dataclass(frozen=True)
class Result:
    """The value of a `metric` ("accuracy", "miou", "psnr" or "gsd_gain" in dB) with its 95 % interval.

    `count` is the number of test images. `details` holds the protocol's other values, as plain types;
    `skipped` names images that could not be read.
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
        """Return plain values: fixed columns, the value under the metric's name, details, then the recipe."""
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
        """Read the output of `to_json`. Raises KeyError or TypeError for anything else."""
        fixed = {*COLUMNS[:6], plain["metric"], "low", "high", "count", "seconds", "skipped", "skipped_files"}
        details = {name: value for name, value in plain.items() if name not in fixed | {"recipe"}}
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
        """Return the result under another protocol: a scale series ("sweep") is a series of kNN results."""
        return replace(self, recipe=replace(self.recipe, protocol=protocol))

    def row(self) -> dict[str, Any]:
        """Return a table row as plain values; unused columns are None.

        `hidden` is the mask ratio, `gallery` "scaled" where train images were reduced like the test images,
        else "native". `lead` is the PSNR over the best fill, `detail` the correlation of the detail finer
        than a patch in hidden patches, minus that fill's.
        """
        recipe = self.recipe
        own = {
            "value": self.value, "shots": recipe.shots, "hidden": recipe.ratio, "limit": recipe.limit,
            "gallery": recipe.gallery_label,
        }  # fmt: skip
        for name, first, source in (
            ("lead", "lead_db", "lead_over_best_fill"),
            ("detail", "detail_gain", "detail_over_best_fill"),
        ):
            found = self.details.get(source, {})
            own |= {
                first: found.get("mean"),
                f"{name}_low": found.get("low"),
                f"{name}_high": found.get("high"),
            }
        plain = self.to_json() | own
        return {name: plain[name] for name in COLUMNS}

    @property
    def digits(self) -> int:
        """Decimals that the value is shown with."""
        return 2 if self.metric in IN_DECIBELS else 3


def in_order(results: Sequence[Result]) -> tuple[Result, ...]:
    """Sort results so that comparable ones are adjacent, the best first."""

    def position(result: Result) -> tuple[Any, ...]:
        recipe = result.recipe
        return (
            recipe.data.casefold(), recipe.protocol, result.metric, recipe.shots or 0, recipe.ratio or 0.0,
            -recipe.scale, recipe.limit or 0, -result.value, recipe.model, recipe.key,
        )  # fmt: skip

    return tuple(sorted(results, key=position))


def to_csv(results: Sequence[Result]) -> str:
    """Return results as CSV, one row each, with the recipe's key last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, "recipe"], lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerow({**result.row(), "recipe": result.recipe.key})
    return text.getvalue()


def to_latex(results: Sequence[Result]) -> str:
    """Return results as a LaTeX tabular (booktabs), a row for each model and policy.

    There is a column for each set, scale, protocol, metric, shots, mask ratio, limit and gallery. Its head
    states the limit and the number of test images; where that number differs within the column, each cell
    states its own. Results that differ only in another setting (k, seed, weights ...) get rows of their own,
    labelled with the beginning of the recipe's key, so that no result is left out.
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
            recipe.gallery_label,
        )
        key = recipe.key[:8]
        notes = ("", key, *(f"{key} ({number})" for number in range(2, len(results) + 1)))
        candidate_rows = ((recipe.model, recipe.policy or "-", note) for note in notes)
        cells[next(row for row in candidate_rows if (row, column) not in cells), column] = result
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


_Row = tuple[str, str, str]  # model, policy, and a recipe's key if those two are ambiguous
_Column = tuple[
    str, float, str, str, int | None, float | None, int | None, str | None
]  # set, scale, protocol, metric, shots, mask ratio, limit, gallery


def _head(column: _Column, across: Sequence[_Column], counts: set[int]) -> str:
    """Return a column's head: set, scale, whatever differs among the columns, limit, number of images."""
    data, scale, protocol, metric, shots, ratio, limit, gallery = column
    protocols, metrics = ({other[place] for other in across} for place in (2, 3))
    parts = [f"{data} {100 * scale:.4g} %"]
    parts += [PROTOCOL_LABELS.get(protocol, protocol)] if len(protocols) > 1 else []
    parts += [metric] if len(metrics) > 1 else []
    parts += [f"{shots} shot{'s' * (shots > 1)}"] if shots is not None else []
    parts += [f"mask {ratio:.3g}"] if ratio is not None else []
    parts += [f"gallery {gallery}"] if gallery is not None else []
    parts += [f"limit {limit}" if limit is not None else "no limit"]
    parts += [f"n = {next(iter(counts))}"] if len(counts) == 1 else []
    return ", ".join(parts)


def _cell(result: Result | None, *, with_count: bool) -> str:
    if result is None:
        return "--"
    digits = result.digits
    text = f"{result.value:.{digits}f} [{result.low:.{digits}f}, {result.high:.{digits}f}]"
    return f"{text}, n = {result.count}" if with_count else text


def _escape(text: str) -> str:
    escapes = {c: f"\\{c}" for c in "_%&#${}"} | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return text.replace("\\", "/").translate(str.maketrans(escapes))
