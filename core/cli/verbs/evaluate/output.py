"""What the verb `evaluate` prints and writes: progress, tables, JSON and files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....evaluation.comparing import ResultComparison
from ....evaluation.data.crops import APP_GALLERY
from ....evaluation.errors import RecipeError
from ....evaluation.paper import PaperRow, paper_text
from ....evaluation.progress import EvaluationProgress
from ....evaluation.protocols.averages import gains
from ....evaluation.recipes import write_recipe
from ....evaluation.recorded_numbers import record_numbers
from ....evaluation.results import Result, to_csv, to_latex
from ....files import write_atomic
from ....units import duration

_LINE_WIDTH = 110


def print_progress(progress: EvaluationProgress) -> None:
    """Print progress on one line of a terminal that the next one overwrites; nothing if not a terminal."""
    if progress.notice:
        print_status(progress.text)
    elif sys.stderr.isatty():
        left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
        text = f"{100 * progress.share:5.1f} %{left}  {progress.text}"
        print(f"{text:<{_LINE_WIDTH}}", end="\r", file=sys.stderr, flush=True)


def print_status(text: str) -> None:
    """Print a line on standard error, over the progress before it."""
    padded = f"{text:<{_LINE_WIDTH}}" if sys.stderr.isatty() else text
    print(padded, file=sys.stderr, flush=True)


def result_line(result: Result) -> str:
    """Return a result with its interval as one line."""
    digits = result.digits
    value, low, high = (f"{number:.{digits}f}" for number in (result.value, result.low, result.high))
    recipe = result.recipe
    setting = f"{100 * recipe.ratio:g} % hidden" if recipe.ratio is not None else f"{100 * recipe.scale:g} %"
    shots = f", {recipe.shots} shots" if recipe.shots else ""
    clipped = f" (res {recipe.res:.3g}, clipped)" if recipe.res_is_clipped else ""
    line = (
        f"{recipe.data}, {recipe.model}, {recipe.policy or 'no GSD'}{clipped}, {setting}{shots}: "
        f"{result.metric} {value} [{low}, {high}]"
    )
    if result.skipped:
        line += f", {len(result.skipped)} unreadable: {'; '.join(result.skipped[:3])}"
    return line


def document(
    results: Sequence[Result],
    rows: Sequence[PaperRow] | None = None,
    comparisons: Sequence[ResultComparison] | None = None,
    duplicates: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON object of `--json` and results.json; parts that are None are left out."""
    parts: dict[str, Any] = {"results": [result.to_json() for result in results]}
    if rows is not None:
        parts["paper"] = [vars(row) for row in rows]
    if comparisons is not None:
        parts["comparisons"] = [comparison.to_json() for comparison in comparisons]
    if duplicates is not None:
        parts["duplicates"] = duplicates
    return parts


def report(
    results: Sequence[Result],
    rows: Sequence[PaperRow] | None,
    comparisons: Sequence[ResultComparison] | None,
) -> str:
    """Return the results as text, with gains over fills and wrong GSDs, comparisons, the papers' tables."""
    lines = [result_line(result) for result in results]
    for result in results:
        if summary := gains(result):
            recipe = result.recipe
            lines.append(f"  {recipe.model} on {recipe.data}, {100 * (recipe.ratio or 0):g} %: {summary}")
        leads = result.details.get("image_leads", {}) if result.recipe.data == APP_GALLERY else {}
        lines += [f"    {lead:+.2f} dB  {name}" for name, lead in leads.items()]
    lines += [comparison.sentence() for comparison in comparisons or ()]
    if rows is not None:
        lines.append(paper_text(rows))
    return "\n".join(lines)


def write_files(results: Sequence[Result], folder: Path | None, *, record: bool) -> None:
    """Write results to `folder` and, with `record`, to the program's own. Raises RecipeError on a full disk.

    Call it after printing, so that a full disk loses no result.
    """
    try:
        if folder:
            write_results(results, folder)
        if record:
            record_numbers(results)
    except OSError as problem:
        raise RecipeError(
            f"The results above could not be written ({problem.strerror}): "
            "free some space, and run the same command again."
        ) from problem


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Write results.json, results.csv, results.tex and a recipe file for every result."""
    write_atomic(folder / "results.json", json.dumps(document(results), indent=1).encode())
    write_atomic(folder / "results.csv", to_csv(results).encode())
    write_atomic(folder / "results.tex", to_latex(results).encode())
    for result in results:
        write_recipe(result.recipe, folder / "recipes" / f"{result.recipe.key}.toml")
