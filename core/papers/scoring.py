"""From the trained arms to numbers: the same images, the same protocol, differences paired image by image."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..evaluation.cache import Cache
from ..evaluation.claims import ArmComparison, Measured
from ..evaluation.data.datasets import LabelledSet
from ..evaluation.plan import EvaluationPlan, embedding_recipes
from ..evaluation.protocols.scoring import score
from ..evaluation.protocols.vectors import ImageVectors, vectors
from ..evaluation.recipes import EvaluationRecipe
from ..evaluation.stats.intervals import Interval, bootstrap_crossed, compare
from ..evaluation.subjects import ColourHistogram, Subject
from .experiments import Experiment

Right = NDArray[np.bool_]
SAY_SECONDS = 15.0
NOTHING = Measured(0, 0, 0)


def comparisons(
    experiment: Experiment,
    sets: Sequence[LabelledSet],
    ours: Sequence[Subject],
    other: Sequence[Subject],
    cache: Cache,
) -> Generator[str, None, tuple[ArmComparison, ...]]:
    """Score every arm of every seed; yields what is being computed.

    The means over scales come first, then every scale.
    """
    rows: list[ArmComparison] = []
    for data in sets:
        for protocol in experiment.protocols:
            floors = yield from _floors(experiment, data, protocol, cache)
            for pooling in experiment.readings:
                first = yield from _scored(experiment, data, protocol, ours, pooling[0], cache)
                second = yield from _scored(experiment, data, protocol, other, pooling[1], cache)
                gallery = int((data.splits == "train").sum())
                blank = ArmComparison(
                    data.name, protocol, None, pooling, NOTHING, NOTHING, NOTHING, (), None, None, 0, gallery
                )
                if len(experiment.scales) > 1:
                    floor = float(np.mean(list(floors.values()))) if floors else None
                    rows.append(
                        _compared(
                            replace(blank, floor=floor), np.mean(first, axis=0), np.mean(second, axis=0)
                        )
                    )
                for scale, a, b in zip(experiment.scales, first, second, strict=True):
                    rows.append(_compared(replace(blank, scale=scale, floor=floors.get(scale)), a, b))
    return tuple(sorted(rows, key=lambda row: row.scale is not None))


def _scored(
    experiment: Experiment,
    data: LabelledSet,
    protocol: str,
    subjects: Sequence[Subject],
    pooling: str | None,
    cache: Cache,
) -> Generator[str, None, list[NDArray[np.bool_]]]:
    """Right or wrong for each scale: (seeds, images) each."""
    per_scale: list[list[Right]] = [[] for _ in experiment.scales]
    plan = EvaluationPlan(
        protocol=protocol, data=(data.name,), scales=experiment.scales, pooling=pooling,
        gallery=experiment.gallery,
    )  # fmt: skip
    for subject in subjects:
        for place, recipe in enumerate(embedding_recipes(plan, subject, data)):
            arrays = cache.arrays(recipe) if cache.result(recipe) else None
            if arrays is None:
                embedded = yield from _embedded(recipe, subject, data, cache)
                found = score(recipe, data, embedded)
                cache.keep_result(found.result, found.arrays)
                arrays = found.arrays
                yield (
                    f"{subject.name} on {data.name}, {protocol} at {100 * recipe.scale:g} %, "
                    f"{recipe.pooling}: {found.result.value:.3f}"
                )
            per_scale[place].append(arrays["right"])
    return [np.stack(members) for members in per_scale]


def _embedded(
    recipe: EvaluationRecipe, subject: Subject, data: LabelledSet, cache: Cache
) -> Generator[str, None, ImageVectors]:
    """The vectors of a recipe; CLS and mean come from one pass over the pictures.

    Says how far it is every few seconds.
    """
    wide = recipe.pooling in ("cls", "mean")
    steps = vectors(replace(recipe, pooling="cls+mean") if wide else recipe, subject, data, cache)
    reported_at = time.monotonic()
    while True:
        try:
            done = next(steps)
        except StopIteration as finished:
            made: ImageVectors = finished.value
            break
        if time.monotonic() - reported_at > SAY_SECONDS:
            reported_at = time.monotonic()
            yield f"{subject.name} on {data.name} at {100 * recipe.scale:g} %: {done:,} images embedded"
    if not wide:
        return made
    width = made.features.shape[1] // 2
    half = slice(0, width) if recipe.pooling == "cls" else slice(width, None)
    return replace(made, features=np.ascontiguousarray(made.features[:, half]))


def _floors(
    experiment: Experiment, data: LabelledSet, protocol: str, cache: Cache
) -> Generator[str, None, dict[float, float]]:
    """What a colour histogram reaches under kNN at each scale; none under other protocols."""
    if protocol != "knn":
        return {}
    right = yield from _scored(experiment, data, protocol, [ColourHistogram()], None, cache)
    return {scale: float(found.mean()) for scale, found in zip(experiment.scales, right, strict=True)}


def _compared(
    blank: ArmComparison, ours: NDArray[np.float64] | Right, other: NDArray[np.float64] | Right
) -> ArmComparison:
    """Fill a comparison from (seeds, images) of either arm."""
    a, b = ours.astype(np.float64), other.astype(np.float64)
    single = len(a) == 1 and ours.dtype == np.bool_
    return replace(
        blank,
        ours=_measured(bootstrap_crossed(a)),
        other=_measured(bootstrap_crossed(b)),
        difference=_measured(bootstrap_crossed(a - b)),
        seeds=tuple((a - b).mean(axis=1).tolist()),
        p_value=compare(other[0], ours[0]).p_value if single else None,
        images=a.shape[1],
    )


def _measured(interval: Interval) -> Measured:
    return Measured(round(interval.mean, 5), round(interval.low, 5), round(interval.high, 5))
