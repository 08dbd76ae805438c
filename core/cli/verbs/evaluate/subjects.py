"""What `evaluate` scores: models and baselines by name, and what trains the heads of segmentation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ....evaluation.baselines.colours import COLOUR_HISTOGRAM, FLOORS
from ....evaluation.errors import RecipeError
from ....evaluation.plan import EvaluationPlan
from ....evaluation.recipes import EvaluationRecipe
from ....evaluation.rerun import fill_of
from ....evaluation.subjects import ColourHistogram, Subject


def named_subjects(names: Iterable[str]) -> list[Subject]:
    """Return models and baselines by their names, or the paths of weights files."""
    return [ColourHistogram() if name == COLOUR_HISTOGRAM else _network(name) for name in names]


def _network(name: str) -> Subject:
    from ....engine.candidates import subject  # imports torch

    return subject(name)


def subjects_of(names: list[str] | None, plan: EvaluationPlan) -> list[Subject]:
    """Return the named subjects, by default all that are shipped and fit the plan's protocol."""
    if names:
        return named_subjects(names)
    from ....engine.candidates import fetched_teachers, shipped  # imports torch

    reconstructs = plan.protocol in ("reconstruction", "gsd")
    baselines = () if reconstructs or plan.head != "linear" else (*FLOORS, *fetched_teachers())
    subjects = named_subjects((*shipped(), *baselines))
    return [each for each in subjects if each.reconstructs or not reconstructs]


def subjects_of_recipe(recipe: EvaluationRecipe, plan: EvaluationPlan) -> list[Subject]:
    """Return the baseline, preset or weights file in the current folder that a recipe names."""
    from ....engine.candidates import fetched_teachers  # imports torch
    from ....models.registry import cards

    if fill := fill_of(recipe):
        return [fill]
    files = {path.name for path in Path().iterdir()}
    if recipe.model not in {*FLOORS, *fetched_teachers(), *cards(), *files}:
        raise RecipeError(
            f"The recipe's model '{recipe.model:.80}' is neither a preset nor a file in this folder: "
            "give its weights file with --model."
        )
    return subjects_of([recipe.model], plan)


def heads(plan: EvaluationPlan) -> dict[str, Any]:
    """Return what trains the heads of the segmentation protocol, as arguments of `evaluate`."""
    if plan.protocol != "segmentation":
        return {}
    from ....engine.training.segment import train_head  # imports torch
    from ....engine.training.upernet import train_upernet

    return {"learn": train_head, "fit": train_upernet}
