"""Which model for what: results that can be compared, as one table of models and tasks, best models first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from .baselines.colours import FLOORS
from .results import Result

TEACHER = "efficientnet_lite0"
ALWAYS = (*FLOORS, TEACHER)
"""Rows of every overview, measured or not: what trained networks should beat, and a teacher of theirs."""
COARSE, RATIO = 0.25, 0.75
MOST_SETS = 4
"""Columns of one kind; those with the most test images are shown."""
CLASSIFY, CLASSIFY_COARSE, SEGMENT, RECONSTRUCT = (
    "Classify tiles",
    "Classify tiles at a quarter of the resolution",
    "Segment",
    "Reconstruct",
)
KINDS = (CLASSIFY, CLASSIFY_COARSE, SEGMENT, RECONSTRUCT)


@dataclass(frozen=True)
class Task:
    """What results in one column have in common: kind, set, test images and metric."""

    kind: str
    data: str
    count: int
    limit: int | None
    metric: str
    gallery: str | None = None


@dataclass(frozen=True)
class Overview:
    """A table of results: `rows` are model names, the best first, `cells` the results by model and task."""

    tasks: tuple[Task, ...]
    rows: tuple[str, ...]
    cells: Mapping[tuple[str, Task], Result]

    def best(self, task: Task) -> tuple[str, ...]:
        """The best model of a task, then those whose 95 % intervals overlap its own."""
        found = [(self.cells[row, task], row) for row in self.rows if (row, task) in self.cells]
        found.sort(key=lambda each: -each[0].value)
        return tuple(row for result, row in found if result.high >= found[0][0].low)


def overview(
    results: Sequence[Result], own: Mapping[str, tuple[str | None, str | None]] | None = None
) -> Overview:
    """Choose the comparable results among all, and order models by the share of others that they beat.

    A model that was scored with several poolings and policies is shown with its own: `own` states
    (pooling, policy) of each.
    """
    cells: dict[tuple[str, Task], Result] = {}
    for result in sorted(results, key=lambda each: each.recipe.key):
        task = _task(result)
        if task is None:
            continue
        at = result.recipe.model, task
        pooling, policy = (own or {}).get(result.recipe.model, (None, None))
        if at not in cells or _matches(result, pooling, policy) > _matches(cells[at], pooling, policy):
            cells[at] = result
    tasks = [
        task
        for kind in KINDS
        for task in sorted(
            {at for _, at in cells if at.kind == kind}, key=lambda t: (-t.count, t.data, t.limit or 0)
        )[:MOST_SETS]
    ]
    cells = {at: result for at, result in cells.items() if at[1] in tasks}
    models = {model for model, _ in cells} | set(ALWAYS)
    beaten = {model: _share_beaten(model, tasks, cells) for model in models}
    rows = sorted(models, key=lambda model: (-beaten[model], model))
    return Overview(tuple(tasks), tuple(rows), cells)


def _matches(result: Result, pooling: str | None, policy: str | None) -> tuple[bool, bool]:
    return result.recipe.pooling == pooling, result.recipe.policy == policy


def answers(table: Overview) -> list[tuple[str, tuple[str, ...]]]:
    """For each kind of task, the models that are best, or tied with the best, on most of its sets."""
    found = []
    for kind in dict.fromkeys(task.kind for task in table.tasks):
        best = [table.best(task) for task in table.tasks if task.kind == kind]
        votes = {row: sum(row in names for names in best) for row in table.rows}
        wins = {row: sum(row == names[0] for names in best) for row in table.rows}
        most = max(votes.values())
        names = [row for row in table.rows if votes[row] == most]
        found.append((kind, tuple(sorted(names, key=lambda row: -wins[row]))))
    return found


def _task(result: Result) -> Task | None:
    recipe = result.recipe
    kind = None
    if recipe.protocol in ("knn", "sweep"):
        kind = {1.0: CLASSIFY, COARSE: CLASSIFY_COARSE}.get(recipe.scale)
    elif recipe.protocol == "segmentation" and recipe.scale == 1.0:
        kind = SEGMENT
    elif recipe.protocol == "reconstruction" and recipe.ratio == RATIO:
        kind = RECONSTRUCT
    if kind is None:
        return None
    return Task(kind, recipe.data, result.count, recipe.limit, result.metric, recipe.gallery_label)


def _share_beaten(model: str, tasks: Sequence[Task], cells: Mapping[tuple[str, Task], Result]) -> float:
    shares = []
    for task in tasks:
        others = [cell.value for (name, at), cell in cells.items() if at == task and name != model]
        if (model, task) in cells and others:
            shares.append(fmean(cells[model, task].value > other for other in others))
    return fmean(shares) if shares else -1.0
