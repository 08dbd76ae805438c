"""Cross-validation of labels from a file: how good the map will be near labels, and away from them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from ...units import metres
from ..errors import LabelError
from ..store.table import EmbeddingTable
from .estimators import Method, estimator
from .folds import Folds, block_folds, random_folds, region_folds
from .sampling import Samples

DRAWS, Z95 = 1_000, 1.959964
CURVE = (0.1, 0.25, 0.5)
FEWEST_ROWS = 10
MOST_ROWS = 20_000
"""Labelled rows that are learned from; of more, a seeded sample."""


@dataclass(frozen=True)
class ModelSpec:
    """What is fitted and how it is validated; `block_km` None takes a tenth of the extent of the labels."""

    method: Method = "linear"
    folds: int = 5
    block_km: float | None = None
    seed: int = 0
    curve: bool = True

    def __post_init__(self) -> None:
        """Raise LabelError for values out of range."""
        if not 2 <= self.folds <= 20:
            raise LabelError(f"Cross-validation takes 2 to 20 folds; {self.folds} is not valid.")
        if self.block_km is not None and not 0 < self.block_km <= 10_000:
            raise LabelError(
                f"A block measures up to 10,000 km; {metres(1000 * self.block_km)} is not valid."
            )


DEFAULTS = ModelSpec()


@dataclass(frozen=True, eq=False)
class SplitScores:
    """Held-out predictions of one way to split: `predicted` (s,), NaN for rows in no test fold.

    `measures` are accuracy, balanced_accuracy and macro_f1, or r2, rmse and mae. `interval` is the central
    95 % of the first one when blocks (or rows) are resampled. `probability` (s, c) is calibrated. `confusion`
    (c, c) counts true class (row) by predicted class (column).
    """

    name: str
    note: str
    predicted: NDArray[np.float64]
    probability: NDArray[np.float64] | None
    measures: dict[str, float]
    interval: tuple[float, float]
    confusion: NDArray[np.int64] | None


@dataclass(frozen=True, eq=False)
class Assessment:
    """Everything that cross-validation tells: `ways` by name, the strictest last.

    `temperature` calibrates the logits; `calibration_error` before and after, held out. `curve` lists
    training rows and the first measure in the strictest way.
    """

    ways: tuple[SplitScores, ...]
    temperature: float
    calibration_error: tuple[float, float] | None
    curve: tuple[tuple[int, float], ...]
    problems: tuple[str, ...]

    @property
    def strictest(self) -> SplitScores:
        """The way that keeps training and test rows farthest apart."""
        return self.ways[-1]


@dataclass(frozen=True)
class FitProgress:
    """Progress: `done` of `total` fits, and what comes next."""

    done: int
    total: int
    what: str


def thinned(samples: Samples) -> tuple[NDArray[np.int64], str]:
    """Return the positions of the samples to learn from, at most MOST_ROWS, and a sentence ("" for all)."""
    if len(samples) <= MOST_ROWS:
        return np.arange(len(samples)), ""
    chosen = np.sort(np.random.default_rng(0).choice(len(samples), MOST_ROWS, replace=False))
    return chosen, f"Learned from a random {MOST_ROWS:,} of the {len(samples):,} labelled tiles."


def assess(
    table: EmbeddingTable, samples: Samples, spec: ModelSpec = DEFAULTS
) -> Generator[FitProgress, None, Assessment]:
    """Cross-validate a method on labelled rows, yielding progress.

    Raises LabelError for fewer than FEWEST_ROWS rows or classes with a single row.
    """
    if len(samples) < FEWEST_ROWS:
        raise LabelError(f"Only {len(samples)} tiles have a label; at least {FEWEST_ROWS} are needed.")
    features, truth = table.unit_rows(samples.rows), samples.values
    lonlat = table.lonlat[samples.rows]
    problems: list[str] = []
    splits: list[Folds] = [random_folds(samples, spec.folds, spec.seed)]
    placed = bool(np.isfinite(lonlat).all())
    blocks = block_folds(samples, lonlat, spec.folds, spec.seed, spec.block_km) if placed else None
    if blocks is None:
        problems.append("The labels are too close together for spatial blocks: use smaller ones.")
    regions = region_folds(samples)
    splits += [each for each in (blocks, regions) if each is not None]
    curve = CURVE if spec.curve else ()
    total = sum(len(each.folds) for each in splits) + len(curve) * len(splits[-1].folds)
    done, ways, raw = 0, list[SplitScores](), list[NDArray[np.float64] | None]()
    for split in splits:
        predicted, scores = _empty(samples)
        for train, test in split.folds:
            yield FitProgress(done, total, f"Validating: {split.note}")
            _predict_into(_fitted(features, samples, train, spec), features, test, predicted, scores)
            done += 1
        raw.append(scores)
        ways.append(_scored(split, samples, predicted, scores))
    temperature, calibration = 1.0, None
    if samples.kind == "class":
        assert raw[-1] is not None
        temperature, calibration = _calibrated(raw[-1], truth, splits[-1])
        ways = [
            replace(w, probability=softened(r, temperature))
            for w, r in zip(ways, raw, strict=True)
            if r is not None
        ]
    points: list[tuple[int, float]] = []
    for share in curve:
        predicted, scores = _empty(samples)
        used: list[int] = []
        for number, (train, test) in enumerate(splits[-1].folds):
            yield FitProgress(done, total, f"Learning curve: {share:.0%} of the labels")
            done += 1
            part = _part(train, truth, samples.kind, share, spec.seed + number)
            if len(part) < 4 or len(np.unique(truth[part])) < 2:
                continue
            used.append(len(part))
            _predict_into(_fitted(features, samples, part, spec), features, test, predicted, scores)
        if used:
            points.append((round(float(np.mean(used))), next(iter(_measures(samples, predicted).values()))))
    if curve:
        whole = round(float(np.mean([len(train) for train, _ in splits[-1].folds])))
        points.append((whole, next(iter(ways[-1].measures.values()))))
    yield FitProgress(total, total, "Validated")
    return Assessment(
        tuple(ways), temperature, calibration, tuple(points),
        tuple(problems),
    )  # fmt: skip


def fitted(table: EmbeddingTable, samples: Samples, spec: ModelSpec) -> Any:
    """Return an estimator fitted to all labelled rows."""
    return _fitted(table.unit_rows(samples.rows), samples, np.arange(len(samples)), spec)


def softened(probability: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Return probabilities (m, c) with their logits divided by a temperature (Guo et al. 2017)."""
    logits = np.log(np.clip(probability.astype(np.float64), 1e-6, None)) / temperature
    return np.asarray(softmax(logits, axis=1), np.float64)


def _fitted(
    features: NDArray[np.float32], samples: Samples, train: NDArray[np.int64], spec: ModelSpec
) -> Any:
    truth = samples.values[train]
    rarest = int(np.unique(truth, return_counts=True)[1].min()) if samples.kind == "class" else len(train)
    model = estimator(spec.method, samples.kind, rarest, seed=spec.seed)
    with threadpool_limits(1):  # small matrices: more threads only wait for each other
        return model.fit(features[train], truth.astype(np.int64) if samples.kind == "class" else truth)


def predicted_by(predict: Any, features: NDArray[np.float32]) -> NDArray[Any]:
    """Return what a method of a fitted estimator predicts for unit vectors (m, d)."""
    with threadpool_limits(1):
        return predict(features)


def _empty(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    shape = (len(samples), len(samples.classes))
    return np.full(len(samples), np.nan), np.zeros(shape) if samples.kind == "class" else None


def _predict_into(
    model: Any, features: NDArray[np.float32], test: NDArray[np.int64], predicted: NDArray[np.float64],
    scores: NDArray[np.float64] | None,
) -> None:  # fmt: skip
    """Write predictions of test rows; classes that a fold has not seen keep probability 0."""
    if scores is None:
        predicted[test] = predicted_by(model.predict, features[test])
        return
    scores[test] = 0
    scores[np.ix_(test, model.classes_)] = predicted_by(model.predict_proba, features[test])
    predicted[test] = scores[test].argmax(axis=1)


def _scored(
    split: Folds, samples: Samples, predicted: NDArray[np.float64], scores: NDArray[np.float64] | None
) -> SplitScores:
    known = np.flatnonzero(np.isfinite(predicted))
    truth, found = samples.values[known], predicted[known]
    _, groups = np.unique(split.groups[known], return_inverse=True)
    weight = np.random.default_rng(0).multinomial(
        groups.max() + 1, np.full(groups.max() + 1, 1 / (groups.max() + 1)), DRAWS
    )

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return weight.astype(np.float64) @ np.bincount(groups, weights=values)

    rows = summed(np.ones(len(known)))
    if samples.kind == "class":
        draws = summed((truth == found).astype(float)) / rows
    else:
        spread = summed(truth**2) - summed(truth) ** 2 / rows
        draws = 1 - summed((truth - found) ** 2) / np.maximum(spread, 1e-12)
    low, high = np.quantile(draws, [0.025, 0.975])
    if samples.kind == "class" and low == high:  # all right or all wrong: Wilson's interval over the groups
        width = Z95**2 / (groups.max() + 1 + Z95**2)
        low, high = max(0.0, low - width), min(1.0, high + width)
    return SplitScores(
        split.name, split.note, predicted, scores, _measures(samples, predicted),
        (float(low), float(high)), _confusion(samples, predicted),
    )  # fmt: skip


def _measures(samples: Samples, predicted: NDArray[np.float64]) -> dict[str, float]:
    from sklearn.metrics import f1_score, r2_score

    known = np.isfinite(predicted)
    truth, found = samples.values[known], predicted[known]
    if samples.kind == "class":
        seen = np.unique(truth)
        recalls = [float((found[truth == one] == one).mean()) for one in seen]
        return {
            "accuracy": float((truth == found).mean()),
            "balanced_accuracy": float(np.mean(recalls)),
            "macro_f1": float(f1_score(truth, found, labels=seen, average="macro")),
        }
    return {
        "r2": float(r2_score(truth, found)),
        "rmse": float(np.sqrt(np.mean((truth - found) ** 2))),
        "mae": float(np.mean(np.abs(truth - found))),
    }


def _calibrated(
    scores: NDArray[np.float64], truth: NDArray[np.float64], split: Folds
) -> tuple[float, tuple[float, float]]:
    """Return the temperature of all held-out rows, and the calibration error before and after.

    For the error after, each fold gets the temperature of the other folds.
    """
    known = scores.sum(axis=1) > 0
    after = np.zeros_like(scores)
    for _, test in split.folds:
        others = known.copy()
        others[test] = False
        after[test] = softened(scores[test], _temperature(scores[others], truth[others]))
    errors = tuple(_calibration_error(p[known], truth[known]) for p in (scores, after))
    return _temperature(scores[known], truth[known]), (errors[0], errors[1])


def _temperature(scores: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Return the temperature that minimises the log loss."""
    if not len(truth):
        return 1.0
    rows, codes = np.arange(len(truth)), truth.astype(int)

    def loss(log_temperature: float) -> float:
        chosen = softened(scores, float(np.exp(log_temperature)))[rows, codes]
        return float(-np.log(np.clip(chosen, 1e-12, None)).mean())

    found: Any = minimize_scalar(loss, bounds=(-2, 3), method="bounded")
    return float(np.exp(found.x))


def _calibration_error(probability: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Return the expected calibration error of the most likely class."""
    from ..analysis.label import expected_calibration_error

    return expected_calibration_error(probability.max(axis=1), probability.argmax(axis=1) == truth)


def _part(
    train: NDArray[np.int64], truth: NDArray[np.float64], kind: str, share: float, seed: int
) -> NDArray[np.int64]:
    """Return a random share of the training rows, at least two of each class."""
    order = np.random.default_rng(seed).permutation(train)
    if kind == "number":
        return order[: max(4, round(share * len(order)))]
    parts = [order[truth[order] == one] for one in np.unique(truth[train])]
    return np.concatenate([part[: max(2, round(share * len(part)))] for part in parts])


def _confusion(samples: Samples, predicted: NDArray[np.float64]) -> NDArray[np.int64] | None:
    if samples.kind == "number":
        return None
    known, width = np.isfinite(predicted), len(samples.classes)
    pairs = samples.values[known].astype(int) * width + predicted[known].astype(int)
    return np.bincount(pairs, minlength=width * width).reshape(width, width)
