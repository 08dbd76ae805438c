"""An evaluation in a process of its own, which outlives the server that started it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..background import BackgroundRun, BackgroundStatus
from .errors import RecipeError
from .plan import EvaluationPlan
from .progress import EvaluationProgress
from .recipes import EvaluationRecipe

LATEST, MAX_LINE = 8, 300


@dataclass(frozen=True)
class EvaluationRequest:
    """Plans, and the models that each is evaluated with: names, or paths of weights files.

    `recipe` is the recipe to run again, if any: its result is recomputed, and compared with it.
    """

    plans: tuple[EvaluationPlan, ...]
    models: tuple[str, ...]
    recipe: EvaluationRecipe | None = None


@dataclass(frozen=True)
class EvaluationStatus(BackgroundStatus):
    """How far an evaluation is: results so far, notices, what it computes now, and how it ended.

    `rerun_summary` is the outcome of a recipe that was run again. `latest` are the last LATEST results, one
    line each.
    """

    completed: int = 0
    notices: tuple[str, ...] = ()
    progress: EvaluationProgress | None = None
    rerun_summary: str = ""
    latest: tuple[str, ...] = ()


class EvaluationRun(BackgroundRun[EvaluationRequest, EvaluationStatus]):
    """The folder of an evaluation. Its finished results are in the cache, which makes it resumable."""

    verb, title, resuming = "evaluate", "evaluation", "resume it. Finished results are kept."
    request_type, status_type, error = EvaluationRequest, EvaluationStatus, RecipeError


def advanced(
    status: EvaluationStatus, event: EvaluationProgress, plan_number: int, plans: int
) -> EvaluationStatus:
    """Return the status after progress within one of several plans, or after a notice."""
    if event.notice:
        return replace(status, notices=(*status.notices, event.text))
    is_last = plan_number + 1 == plans
    share = (plan_number + event.share) / plans
    seconds_left = event.seconds_left if is_last else None  # later plans have no estimate yet
    return replace(status, progress=replace(event, share=share, seconds_left=seconds_left))
