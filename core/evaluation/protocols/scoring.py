"""Score embeddings and labels by kNN, linear probe or few-shot, with a confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.datasets import LabelledSet
from ..errors import FeatureError
from ..recipes import EvaluationRecipe
from ..results import Result
from ..stats.intervals import accuracy_interval
from ..stats.mistakes import confusion, recall
from ..subjects import CENTRED
from .few_shot import few_shot
from .knn import KnnSpec, weighted_knn
from .linear_probe import linear_probe
from .vectors import ImageVectors

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Scored:
    """A result and its arrays; of classifications: rows, truth, predicted, confidence and right (n,)."""

    result: Result
    arrays: Arrays


def score(recipe: EvaluationRecipe, data: LabelledSet, vectors: ImageVectors) -> Scored:
    """Score a recipe on the embeddings of a set. Raises FeatureError."""
    gallery, labels, _ = vectors.split(data, "train")
    queries, truth, rows = vectors.split(data, "test")
    if not (len(gallery) and len(queries)):
        raise FeatureError(
            f"'{data.name}' has no readable train or test images left; check the files that were skipped."
        )
    _check_classes(data, labels, vectors)
    if recipe.pooling == CENTRED:
        mean = gallery.mean(axis=0)
        gallery, queries = gallery - mean, queries - mean
    try:
        prediction, details = _METHODS[recipe.protocol](recipe, gallery, labels, queries, truth)
    except FeatureError as problem:
        raise FeatureError(f"{recipe.model} on '{data.name}': {problem}") from problem
    arrays: Arrays = {"rows": rows, "truth": truth, **prediction}
    interval = accuracy_interval(arrays["right"], seed=recipe.seed)
    recalled = recall(confusion(truth, arrays["predicted"], len(data.classes)))
    details |= {
        "gallery": len(gallery),
        "mean_recall": float(np.nanmean(recalled)),
        "recall": {
            name: float(value)
            for name, value in zip(data.classes, recalled, strict=True)
            if not np.isnan(value)
        },
    }
    result = Result(
        recipe,
        "accuracy",
        interval.mean,
        interval.low,
        interval.high,
        len(truth),
        skipped=tuple(f"{s.file}: {s.reason}" for s in vectors.skipped),
        details=details,
    )
    return Scored(result, arrays)


def _check_classes(data: LabelledSet, labels: NDArray[np.int64], vectors: ImageVectors) -> None:
    """Raise FeatureError if no train image of a class can be read: the result would ignore that class."""
    lost = np.setdiff1d(data.labels[data.rows("train")], labels)
    if lost.size:
        rows = [row for row in data.rows("train").tolist() if data.labels[row] == lost[0]]
        reasons = {skipped.file: skipped.reason for skipped in vectors.skipped}
        raise FeatureError(
            f"None of the train images of class '{data.classes[int(lost[0])]}' of '{data.name}' can be read. "
            f"The first error: {reasons[data.files[rows[0]]]}"
        )


def _knn(
    recipe: EvaluationRecipe, gallery: Any, labels: Any, queries: Any, truth: Any
) -> tuple[Arrays, dict[str, Any]]:
    k, tau = (
        default if stated is None else stated
        for stated, default in ((recipe.k, KnnSpec.k), (recipe.tau, KnnSpec.tau))
    )
    spec = KnnSpec(int(k), tau, recipe.overwrite_batch)
    prediction = weighted_knn(gallery, labels, queries, spec)
    confidence = prediction.votes[np.arange(len(truth)), prediction.labels]
    return {"predicted": prediction.labels, "confidence": confidence, "right": prediction.labels == truth}, {}


def _probe(
    recipe: EvaluationRecipe, gallery: Any, labels: Any, queries: Any, truth: Any
) -> tuple[Arrays, dict[str, Any]]:
    prediction = linear_probe(gallery, labels, queries, seed=recipe.seed)
    confidence = prediction.probabilities[np.arange(len(truth)), prediction.labels]
    details = {
        "strength": prediction.strength,
        "held_out": {f"{c:g}": value for c, value in prediction.held_out.items()},
        "converged": prediction.converged,
    }
    return {
        "predicted": prediction.labels,
        "confidence": confidence,
        "right": prediction.labels == truth,
    }, details


def _few_shot(
    recipe: EvaluationRecipe, gallery: Any, labels: Any, queries: Any, truth: Any
) -> tuple[Arrays, dict[str, Any]]:
    shots, draws = recipe.shots or 1, recipe.draws or 1
    prediction = few_shot(gallery, labels, queries, truth, shots=shots, draws=draws, seed=recipe.seed)
    details = {"shots": shots, "draws": draws, "deviation_over_draws": float(prediction.draws.std())}
    return {
        "predicted": prediction.labels,
        "confidence": prediction.right,
        "right": prediction.right,
    }, details


_METHODS = {"knn": _knn, "probe": _probe, "few-shot": _few_shot}
