"""Fill a table number by number: a generator of progress and results that can stop anywhere and resume from its cache."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .baselines.fills import FILLS
from .cache import Cache
from .data.crops import ImageCrops, PictureSet, crops_per_image, open_pictures
from .data.datasets import DataSpec, LabelledSet, data_folders, open_set
from .data.masked import MaskedSet, open_masked
from .errors import RecipeError
from .plan import EvaluationPlan, embedding_recipes, resolve_res, whole_patches
from .protocols.averages import mean_over_sets, with_fills
from .protocols.reconstruction import Paint, reconstruction_scores
from .protocols.scoring import Scored, score
from .protocols.segmentation import Learn, segmentation_scores
from .protocols.vectors import vectors
from .recipes import EvaluationRecipe
from .results import Result
from .subjects import FillBaseline, Subject

T = TypeVar("T")
RECONSTRUCTION_LIMIT = 20  # images of each class where the plan states no limit
MANY_TOKENS = 1_024  # a picture; attention's cost grows with their square
SMALL_GRID = 8  # the least cells a side that pictures smaller than a network's input are fed with as they are


@dataclass(frozen=True)
class EvaluationProgress:
    """Where the table stands: what is being computed, the share done of all work (0..1), seconds left or None at first.

    A `notice` is a sentence about something that went wrong on the way; it should stay visible.
    """

    text: str
    share: float
    seconds_left: float | None
    notice: bool = False


@dataclass(frozen=True)
class NumberJob:
    """One number to compute, with what it needs; `subject` None: a fill."""

    recipe: EvaluationRecipe
    data: LabelledSet | PictureSet | MaskedSet
    subject: Subject | None
    patch_px: int

    @property
    def work(self) -> float:
        """Rough cost in pixels, for the time left."""
        count = len(self.data.files) * (self.recipe.crops or 1)
        return count * float(self.recipe.size_px or 1) ** 2


def evaluate(
    plan: EvaluationPlan,
    subjects: Sequence[Subject],
    *,
    folders: Sequence[Path] | None = None,
    cache: Cache | None = None,
    learn: Learn | None = None,
) -> Iterator[EvaluationProgress | Result]:
    """Yield the results of a plan as they come, with progress between them.

    Results found in the cache come at once and cost nothing. `learn` is what segmentation learns its head with. Raises EvaluationError (no such set, k too large, vectors
    that are not finite) before or at the number that cannot be computed; what came before is kept.
    A kept number that is damaged is computed again, and one that cannot be kept (a full disk) is yielded all the same; a notice says so.
    """
    jobs = list(plan_jobs(plan, subjects, data_folders() if folders is None else folders))
    clock = Clock([job.work for job in jobs])
    scored: list[Scored] = []
    for place, job in enumerate(jobs):
        found, unkept = _cached(job, cache), ""
        if found is None:
            if cache and cache.holds_damaged(job.recipe):
                yield clock.notice(
                    place,
                    f"The kept number of {job.recipe.model} on {job.recipe.data} has no valid checksum; it is computed again.",
                )
            start = time.perf_counter()
            found = yield from _computed(job, cache, clock, place, learn)
            found = replace(
                found, result=replace(found.result, seconds=round(time.perf_counter() - start, 3))
            )
            if job.subject is not None and plan.protocol == "reconstruction":
                found = replace(found, result=with_fills(found, scored))
            unkept = _not_kept(cache, found) if cache else ""
        else:
            clock.skip(place)
        scored.append(found)
        yield found.result.relabelled(plan.protocol)
        if unkept:
            yield clock.notice(place, unkept)
    yield from mean_over_sets(scored, plan.seed)


def plan_jobs(
    plan: EvaluationPlan, subjects: Sequence[Subject], folders: Sequence[Path]
) -> Iterator[NumberJob]:
    """Yield every number of a plan in the order in which it is computed; raises EvaluationError for data that are not there."""
    if not subjects:
        raise RecipeError(
            "There is no model to evaluate: train one, or name a model or weights file with --model."
        )
    if plan.protocol == "reconstruction":
        yield from _reconstruction_jobs(plan, subjects, folders)
        return
    for data in plan.data:
        spec = DataSpec(data, plan.limit, plan.gsd_m, plan.seed)
        opened = open_masked(spec, folders) if plan.protocol == "segmentation" else open_set(spec, folders)
        for subject in subjects:
            for recipe in embedding_recipes(plan, subject, opened):
                yield NumberJob(recipe, opened, subject, subject.patch_px)


def _reconstruction_jobs(
    plan: EvaluationPlan, subjects: Sequence[Subject], folders: Sequence[Path]
) -> Iterator[NumberJob]:
    able = [subject for subject in subjects if subject.reconstructs]
    if not able:
        raise RecipeError(
            f"{subjects[0].name} has no decoder and reconstructs nothing; choose another model or protocol."
        )
    limit = plan.limit if plan.limit is not None else RECONSTRUCTION_LIMIT
    for data in plan.data:
        pictures = open_pictures(data, folders, limit, plan.gsd_m, plan.seed)
        painted: set[str] = set()
        for subject in able:
            for ratio in plan.ratios:
                recipe = _reconstruction_recipe(plan, subject, pictures, ratio, limit)
                for fill in (subject.name,) if isinstance(subject, FillBaseline) else FILLS:
                    job = NumberJob(
                        _fill_recipe(recipe, fill, subject.patch_px), pictures, None, subject.patch_px
                    )
                    if job.recipe.key not in painted:
                        painted.add(job.recipe.key)
                        yield job
                for policy in () if isinstance(subject, FillBaseline) else plan.policies:
                    chosen = policy or subject.default_policy
                    yield NumberJob(replace(recipe, policy=chosen), pictures, subject, subject.patch_px)


def _reconstruction_recipe(
    plan: EvaluationPlan, subject: Subject, pictures: PictureSet, ratio: float, limit: int
) -> EvaluationRecipe:
    size_px = whole_patches(plan.size_px or _fed_px(subject, pictures), subject.patch_px)
    return EvaluationRecipe(
        protocol="reconstruction",
        data=pictures.name,
        data_hash=pictures.hash,
        model=subject.name,
        weights=subject.weights,
        native_px=pictures.native_px,
        size_px=size_px,
        interpolation="none: crops at native GSD" if pictures.native_px >= size_px else "bicubic enlargement",
        policy=subject.default_policy,
        split=pictures.split,
        limit=limit,
        seed=plan.seed,
        stated_gsd_m=plan.gsd_m,
        mask="random, seed = image index",
        ratio=ratio,
        crops=crops_per_image(pictures),
        gsd_m=None if math.isnan(pictures.gsd_m) else pictures.gsd_m * min(1.0, pictures.native_px / size_px),
    )


def _fed_px(subject: Subject, pictures: PictureSet) -> int:
    """The network's input size; the native size for smaller pictures that still give a grid of SMALL_GRID patches or more."""
    small = pictures.native_px < subject.input_px and pictures.native_px % subject.patch_px == 0
    return (
        pictures.native_px
        if small and pictures.native_px // subject.patch_px >= SMALL_GRID
        else subject.input_px
    )


def _fill_recipe(recipe: EvaluationRecipe, fill: str, patch_px: int) -> EvaluationRecipe:
    """The same pictures and masks, painted by a fill: it knows no weights, and of the network only its patches."""
    mask = f"{recipe.mask}, patches of {patch_px} px"
    return replace(recipe, model=fill, weights="none", policy=None, mask=mask)


def _cached(job: NumberJob, cache: Cache | None) -> Scored | None:
    result = cache.result(job.recipe) if cache else None
    arrays = cache.arrays(job.recipe) if cache and result else None
    return Scored(result, arrays) if result is not None and arrays is not None else None


def _not_kept(cache: Cache, found: Scored) -> str:
    """Keep a number; gives a sentence where that fails, "" else."""
    try:
        cache.keep_result(found.result, found.arrays)
    except OSError as problem:
        return (
            f"The number of {found.result.recipe.model} on {found.result.recipe.data} cannot be kept in {cache.folder} ({problem.strerror}): "
            "note it down, and free some space before the next run, or it is computed again."
        )
    return ""


def _computed(
    job: NumberJob, cache: Cache | None, clock: Clock, place: int, learn: Learn | None
) -> Generator[EvaluationProgress, None, Scored]:
    recipe, data, subject = job.recipe, job.data, job.subject
    hidden = (
        f", {100 * recipe.ratio:g} % hidden" if recipe.ratio is not None else f" at {100 * recipe.scale:g} %"
    )
    text = f"{recipe.model} on {recipe.data}, {recipe.protocol}{hidden}"
    if isinstance(data, LabelledSet):
        assert subject is not None
        text += _slow(recipe, subject)
        yield clock.begun(place, text)
        embedded = yield from clock.told(vectors(recipe, subject, data, cache), place, len(data.files), text)
        return score(recipe, data, embedded)
    if isinstance(data, MaskedSet):
        if subject is None or learn is None:
            raise RecipeError(
                "Segmentation learns a head; give `evaluate` what learns it (core.engine.training.segment.train_head)."
            )
        steps = segmentation_scores(recipe, subject, data, learn)
        return (yield from clock.told(steps, place, len(data.names), text))
    steps = reconstruction_scores(recipe, data, job.patch_px, _painter(job))
    return (yield from clock.told(steps, place, len(data.files), text))


def _slow(recipe: EvaluationRecipe, subject: Subject) -> str:
    """What to add to the progress of a network that is fed so many tokens a picture that it takes very long."""
    tokens = ((recipe.size_px or 0) // subject.patch_px) ** 2
    if subject.default_policy is None or tokens <= MANY_TOKENS:
        return ""
    return f"; {tokens:,} tokens a picture take long: at the model's input size ({subject.input_px} px, --feed input) or a smaller --size it is far faster"


def _painter(job: NumberJob) -> Paint:
    """What paints the hidden cells of crops: the fill of the recipe's name, or the network under the recipe's policy."""
    recipe, subject, patch_px = job.recipe, job.subject, job.patch_px
    if subject is None:
        fill = FILLS[recipe.model]

        def by_fill(
            crops: NDArray[np.float32], hidden: NDArray[np.bool_], _: ImageCrops
        ) -> NDArray[np.float32]:
            pixels = hidden.repeat(patch_px, axis=1).repeat(patch_px, axis=2)
            return np.stack([fill(crop, where) for crop, where in zip(crops, pixels, strict=True)])

        return by_fill

    def by_network(
        crops: NDArray[np.float32], hidden: NDArray[np.bool_], picture: ImageCrops
    ) -> NDArray[np.float32]:
        res = resolve_res(
            subject,
            recipe.policy or str(subject.default_policy),
            gsd_m=picture.gsd_m,
            native_gsd_m=picture.native_gsd_m,
            input_px=crops.shape[-1],
            data=recipe.data,
        )
        return subject.reconstruct(crops, hidden, np.full(len(crops), res))

    return by_network


class Clock:
    """Work done and left over the jobs of a table, for the share and the seconds that progress tells."""

    def __init__(self, work: Sequence[float]) -> None:
        self._work = list(work)
        self._start = time.perf_counter()

    def skip(self, place: int) -> None:
        """Leave a job out of the count: its number was there already."""
        self._work[place] = 0.0

    def begun(self, place: int, text: str) -> EvaluationProgress:
        """Progress at the beginning of a job, before its first images are done."""
        return self._progress(place, 0.0, text)

    def notice(self, place: int, text: str) -> EvaluationProgress:
        """A sentence about the job at hand that should stay visible."""
        return replace(self._progress(place, 0.0, text), notice=True)

    def told(
        self, steps: Generator[int, None, T], place: int, count: int, text: str
    ) -> Generator[EvaluationProgress, None, T]:
        """Turn a generator of images done into one of progress, with the same return value."""
        while True:
            try:
                done = next(steps)
            except StopIteration as finished:
                return finished.value
            yield self._progress(place, done / count, text)

    def _progress(self, place: int, share: float, text: str) -> EvaluationProgress:
        before, total = sum(self._work[:place]), sum(self._work)
        finished = before + self._work[place] * share
        elapsed = time.perf_counter() - self._start
        left = elapsed * (total - finished) / finished if finished > 0 and elapsed > 1 else None
        return EvaluationProgress(text, finished / total if total else 1.0, left)
