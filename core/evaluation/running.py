"""Run a plan result by result: a generator that can stop anywhere and resumes from its cache."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .baselines.fills import FILLS
from .cache import Cache
from .data.crops import ImageCrops
from .data.datasets import LabelledSet, data_folders
from .data.masked_set import MaskedSet
from .errors import RecipeError
from .jobs import NumberJob, plan_jobs
from .plan import EvaluationPlan, resolve_res
from .progress import Clock, EvaluationProgress
from .protocols.averages import mean_over_sets, with_fills
from .protocols.gsd import gsd_scores
from .protocols.reconstruction import ReconstructCrops, reconstruction_scores
from .protocols.scoring import Scored, score
from .protocols.segmentation import (
    Fit,
    Learn,
    Predict,
    segmentation_scores,
    trained_segmentation_scores,
)
from .protocols.vectors import vectors
from .recipes import PROTOCOL_LABELS, EvaluationRecipe
from .results import Result
from .subjects import Subject

MANY_TOKENS = 1_024  # per image; the cost of attention grows with their square


@dataclass(frozen=True)
class HeadTraining:
    """What trains the heads of the segmentation protocol, and the network that was trained last."""

    learn: Learn | None
    fit: Fit | None
    trained: dict[str, Predict]


def evaluate(
    plan: EvaluationPlan,
    subjects: Sequence[Subject],
    *,
    folders: Sequence[Path] | None = None,
    cache: Cache | None = None,
    learn: Learn | None = None,
    fit: Fit | None = None,
) -> Iterator[EvaluationProgress | Result]:
    """Yield the results of a plan as they are computed, with progress in between.

    Results in the cache are yielded at once. A damaged one is recomputed, and one that cannot be stored (a
    full disk) is yielded nevertheless; a notice reports either. `learn` and `fit` train the linear head and
    UperNet of the segmentation protocol. Raises EvaluationError (a missing set, k too large, features that
    are not finite) before or at the result that cannot be computed; earlier results are kept.
    """
    jobs = list(plan_jobs(plan, subjects, data_folders() if folders is None else folders))
    clock = Clock([job.work for job in jobs])
    all_scored: list[Scored] = []
    trained: dict[str, Predict] = {}
    for number, job in enumerate(jobs):
        scored, problem = _cached(job, cache), ""
        is_cached = scored is not None
        if scored is not None:
            clock.skip(number)
        else:
            if cache and cache.holds_damaged(job.recipe):
                text = f"The stored result of {job.recipe.model} on {job.recipe.data}"
                yield clock.notice(number, f"{text} has no valid checksum and is recomputed.")
            start = time.perf_counter()
            scored = yield from _compute(job, cache, clock, number, HeadTraining(learn, fit, trained))
            seconds = round(time.perf_counter() - start, 3)
            scored = replace(scored, result=replace(scored.result, seconds=seconds))
        if job.subject is not None and plan.protocol == "reconstruction":
            scored = with_fills(scored, all_scored)
        if cache and not is_cached:
            problem = _store(cache, scored)
        all_scored.append(scored)
        yield scored.result.relabelled(plan.protocol)
        if problem:
            yield clock.notice(number, problem)
    yield from mean_over_sets(all_scored, plan.seed)


def _cached(job: NumberJob, cache: Cache | None) -> Scored | None:
    result = cache.result(job.recipe) if cache else None
    arrays = cache.arrays(job.recipe) if cache and result else None
    return Scored(result, arrays) if result is not None and arrays is not None else None


def _store(cache: Cache, scored: Scored) -> str:
    """Store a result; return a sentence if that fails, else ""."""
    try:
        cache.keep_result(scored.result, scored.arrays)
    except OSError as problem:
        recipe = scored.result.recipe
        return (
            f"The result of {recipe.model} on {recipe.data} could not be stored in {cache.folder} "
            f"({problem.strerror}): note it down, and free some space, or the next run recomputes it."
        )
    return ""


def _compute(
    job: NumberJob, cache: Cache | None, clock: Clock, number: int, training: HeadTraining
) -> Generator[EvaluationProgress, None, Scored]:
    recipe, data, subject = job.recipe, job.data, job.subject
    setting = (
        f", {100 * recipe.ratio:g} % hidden" if recipe.ratio is not None else f" at {100 * recipe.scale:g} %"
    )
    text = f"{recipe.model} on {recipe.data}, {PROTOCOL_LABELS[recipe.protocol]}{setting}"
    if isinstance(data, LabelledSet):
        assert subject is not None
        text += _size_warning(recipe, subject)
        yield clock.at_start(number, text)
        steps = vectors(recipe, subject, data, cache)
        embedded = yield from clock.track(steps, number, len(data.files), text)
        return score(recipe, data, embedded)
    if isinstance(data, MaskedSet):
        learn, fit = training.learn, training.fit
        if subject is None or (learn if recipe.steps is None else fit) is None:
            raise RecipeError(
                "Segmentation trains a head: pass one to `evaluate`, as `learn` "
                "core.engine.training.segment.train_head, as `fit` "
                "core.engine.training.upernet.train_upernet."
            )
        if recipe.steps is None:
            assert learn is not None
            steps, count = segmentation_scores(recipe, subject, data, learn), len(data.names)
        else:
            assert fit is not None
            steps = trained_segmentation_scores(recipe, subject, data, fit, training.trained)
            count = recipe.steps + len(data.rows("test"))
        return (yield from clock.track(steps, number, count, text))
    scores = gsd_scores if recipe.protocol == "gsd" else reconstruction_scores
    steps = scores(recipe, data, job.patch_px, _reconstruct_crops(job))
    return (yield from clock.track(steps, number, len(data.files), text))


def _size_warning(recipe: EvaluationRecipe, subject: Subject) -> str:
    """Return an addition to the progress of a network that is slow because of its many tokens, else ""."""
    tokens = ((recipe.size_px or 0) // subject.patch_px) ** 2
    if subject.default_policy is None or tokens <= MANY_TOKENS:
        return ""
    return (
        f"; {tokens:,} tokens per image are slow: the model's input size ({subject.input_px} px, "
        "--feed input) or a smaller --size is much faster"
    )


def _reconstruct_crops(job: NumberJob) -> ReconstructCrops:
    """Return the function that reconstructs crops: a fill, or a network under the recipe's policy."""
    recipe, subject, patch_px = job.recipe, job.subject, job.patch_px
    if subject is None:
        fill = FILLS[recipe.model]

        def with_fill(
            crops: NDArray[np.float32], hidden: NDArray[np.bool_], _: ImageCrops
        ) -> NDArray[np.float32]:
            pixels = hidden.repeat(patch_px, axis=1).repeat(patch_px, axis=2)
            return np.stack([fill(crop, mask) for crop, mask in zip(crops, pixels, strict=True)])

        return with_fill

    def with_network(
        crops: NDArray[np.float32], hidden: NDArray[np.bool_], image: ImageCrops
    ) -> NDArray[np.float32]:
        res = resolve_res(
            subject,
            recipe.policy or str(subject.default_policy),
            gsd_m=image.gsd_m,
            native_gsd_m=image.native_gsd_m,
            ratio=image.ratio,
            input_px=crops.shape[-1],
            data=recipe.data,
        )
        return subject.reconstruct(crops, hidden, np.full(len(crops), res))

    return with_network
