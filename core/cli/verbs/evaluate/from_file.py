"""`evaluate --spec FILE`: run an evaluation described in a file, and keep its status beside it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ....evaluation.baselines.colours import COLOUR_HISTOGRAM
from ....evaluation.cache import Cache
from ....evaluation.process import (
    LATEST,
    MAX_LINE,
    EvaluationRequest,
    EvaluationRun,
    EvaluationStatus,
    advanced,
)
from ....evaluation.rerun import explain, fill_of
from ....evaluation.results import Result
from ....evaluation.running import evaluate
from .output import print_progress, print_status, result_line
from .subjects import heads, named_subjects


def run_from_file(file: Path, stored: Cache) -> int:
    """Evaluate what a file asks for; results go into the cache `stored`.

    Raises RecipeError for an invalid file, and the errors of `evaluate`.
    """
    run, status = EvaluationRun(file.parent), EvaluationStatus()
    try:
        for step in _steps(run.read_request(file), stored):
            run.write(step, now=step.completed > status.completed)
            status = step
            if run.stop_requested:
                break
    except Exception as problem:
        run.write(replace(status, problem=run.reason(problem), ended=True), now=True)
        raise
    run.write(replace(status, ended=True), now=True)
    return 0


def _steps(request: EvaluationRequest, stored: Cache) -> Iterator[EvaluationStatus]:
    """Compute the plans of a request one after the other, and yield the status after every step."""
    fill = fill_of(request.recipe) if request.recipe else None
    cheap_first = sorted(request.models, key=lambda name: name != COLOUR_HISTOGRAM)
    subjects = [fill] if fill else named_subjects(cheap_first)
    status = EvaluationStatus()
    with _working_cache(request, stored) as cache:
        for number, plan in enumerate(request.plans):
            for event in evaluate(plan, subjects, cache=cache, **heads(plan)):
                if isinstance(event, Result):
                    print_status(result_line(event))
                    status = _with_result(status, event, request, stored, cache)
                else:
                    print_progress(event)
                    status = advanced(status, event, number, len(request.plans))
                yield status


@contextmanager
def _working_cache(request: EvaluationRequest, stored: Cache) -> Generator[Cache]:
    """The cache to read and write; an empty one where a recipe is to be recomputed."""
    if request.recipe is None:
        yield stored
        return
    with TemporaryDirectory() as folder:
        yield Cache(Path(folder))


def _with_result(
    status: EvaluationStatus, result: Result, request: EvaluationRequest, stored: Cache, cache: Cache
) -> EvaluationStatus:
    latest = (*status.latest, result_line(result)[:MAX_LINE])[-LATEST:]
    status = replace(status, completed=status.completed + 1, latest=latest)
    if request.recipe is None:
        return status
    try:
        stored.keep_result(result, cache.arrays(result.recipe))
    except OSError as problem:
        notice = (
            f"The result could not be stored on this server ({problem.strerror}): "
            "free some space, or note it down."
        )
        status = replace(status, notices=(*status.notices, notice))
    if result.recipe.model == request.recipe.model:
        value = f"{result.metric} {result.value:.4f} [{result.low:.4f}, {result.high:.4f}]"
        status = replace(status, rerun_summary=f"{value}. {explain(request.recipe, result.recipe)}")
    return status
