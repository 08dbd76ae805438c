"""Label by example: a few places marked yes or no become a calibrated probability for every row, and a list of what to mark next.

Logistic regression on unit vectors whose strength of regularisation is chosen by leave-out likelihood; calibrated by fitting a sigmoid to
scores of marks that were left out (Platt 1999, with his smoothed targets). The rule of thumb "twice the mean of yes minus the mean
of no" is here too, as the opponent to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from core.atlas.errors import SearchError
from core.atlas.neighbors import example_query, similarities, unit_rows
from core.atlas.table import EmbeddingTable

STRENGTHS = (1.0, 10.0, 100.0)
FOLDS = 5
LEAST_SLOPE = 0.02
"""Of the calibrating sigmoid: below it, scores of left-out marks say nothing, or the opposite."""


@dataclass(frozen=True)
class Marks:
    """Hold what a person marked: rows that show the thing, and rows that do not."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Labeller:
    """Score rows: probability = sigmoid(`weight` . unit vector + `bias`), calibration included.

    `accuracy` (balanced), `average_precision` and `log_loss` are of marks left out while fitting; None with fewer than two of a kind.
    """

    weight: NDArray[np.float32]
    bias: float
    marks: Marks
    accuracy: float | None
    average_precision: float | None
    log_loss: float | None

    def scores(self, table: EmbeddingTable) -> NDArray[np.float32]:
        """Give the probability (n,) of every row; NaN for rows without a usable vector. One read of the vectors."""
        length = float(np.linalg.norm(self.weight))
        logit = np.zeros(len(table), np.float32) if length == 0 else similarities(table, self.weight)
        logit *= np.float32(length)
        logit += np.float32(self.bias)
        expit(logit, out=logit)
        if not table.stored.usable.all():
            logit[~table.stored.usable] = np.nan
        return logit


def fit(table: EmbeddingTable, marks: Marks) -> Labeller:
    """Learn from marks. Raises SearchError without at least one yes and one no, or for a mark on a row that has no vector."""
    _require_marks(table, marks)
    units = unit_rows(table, [*marks.yes, *marks.no]).astype(np.float64)
    truth = np.array([1.0] * len(marks.yes) + [0.0] * len(marks.no))
    centre = units.mean(axis=0)
    units -= centre
    folds = min(FOLDS, len(marks.yes), len(marks.no))
    seen = _folds(truth, folds) if folds >= 2 else np.ones((0, len(truth)), bool)
    weights, biases = _regressions(units, truth, np.concatenate([seen, np.ones((1, len(truth)), bool)]), STRENGTHS)
    best, slope, offset, report = STRENGTHS.index(10.0), 1.0, 0.0, (None, None, None)
    if folds >= 2:
        left_out = np.where(seen, 0, weights[:, :-1] @ units.T + biases[:, :-1, None]).sum(axis=1)
        slopes, offsets, losses = _platt(left_out, truth)
        best = int(losses.argmin())
        slope, offset, logits, yes = float(slopes[best]), float(offsets[best]), left_out[best], truth == 1
        accuracy = float(((logits[yes] > 0).mean() + (logits[~yes] <= 0).mean()) / 2)
        report = (accuracy, _average_precision(yes, logits), float(losses[best]))
    weight = slope * weights[best, -1]
    bias = slope * float(biases[best, -1]) + offset - float(weight @ centre)
    return Labeller(weight.astype(np.float32), bias, marks, *report)


def suggest(
    table: EmbeddingTable, labeller: Labeller, count: int = 8, *, pool: int = 512,
    among: NDArray[np.bool_] | None = None, probability: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:  # fmt: skip
    """Name the rows that would teach most if marked next: the least certain ones, each chosen far from those before and from the marks.

    `among` (n,) keeps only rows where True; `probability` (n,) spares the pass over all rows where it is known already.
    """
    probability = labeller.scores(table) if probability is None else probability
    doubt = np.where(np.isfinite(probability), np.abs(probability - 0.5), np.inf)
    if among is not None:
        doubt[~among] = np.inf
    doubt[[*labeller.marks.yes, *labeller.marks.no]] = np.inf
    open_rows = int(np.isfinite(doubt).sum())
    if not open_rows:
        raise SearchError("Every row is marked already: there is nothing left to suggest.")
    size = min(pool, open_rows)
    rows = np.argpartition(doubt, size - 1)[:size]
    rows = rows[np.lexsort((rows, doubt[rows]))]
    units = unit_rows(table, rows)
    nearest = (units @ unit_rows(table, [*labeller.marks.yes, *labeller.marks.no]).T).max(axis=1)
    certain = 2 * doubt[rows]
    chosen: list[int] = []
    for _ in range(min(count, size)):
        worth = (1 - certain) * (1 - nearest)
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
        nearest = np.maximum(nearest, units @ units[chosen[-1]])
    return rows[chosen]


def mean_difference(table: EmbeddingTable, marks: Marks) -> NDArray[np.float32]:
    """Score every row (n,) by the rule of thumb: cosine with twice the mean of yes minus the mean of no."""
    _require_marks(table, marks)
    return similarities(table, example_query(table, marks.yes, marks.no))


def expected_calibration_error(probability: NDArray[np.floating], truth: NDArray[np.bool_] | Sequence[bool], bins: int = 15) -> float:
    """Give the mean gap between stated probability and observed share, over equally wide bins weighted by their rows (Naeini 2015)."""
    probability, truth = np.asarray(probability, np.float64), np.asarray(truth, bool)
    at = np.minimum((probability * bins).astype(int), bins - 1)
    rows = np.bincount(at, minlength=bins)
    gap = np.abs(np.bincount(at, probability, bins) - np.bincount(at, truth, bins))
    return float(gap.sum() / max(rows.sum(), 1))


def _require_marks(table: EmbeddingTable, marks: Marks) -> None:
    table.require_one_model()
    if not marks.yes or not marks.no:
        raise SearchError("Mark at least one place that shows the thing and one that does not.")
    both = sorted(set(marks.yes) & set(marks.no))
    if both:
        raise SearchError(f"Row {both[0]} is marked both yes and no: take one of the two marks away.")
    for row in (*marks.yes, *marks.no):
        if not 0 <= row < len(table) or not table.stored.usable[row]:
            raise SearchError(f"Row {row} has no usable vector: take its mark away.")


def _regressions(
    units: NDArray[np.float64], truth: NDArray[np.float64], seen: NDArray[np.bool_], strengths: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit logistic regressions to (m, d) vectors, one for each (strength, subset `seen` (b, m)): weights (s, b, d) and biases (s, b).

    The same optimum as scikit-learn's LogisticRegression(C=strength, class_weight="balanced"), for all fits at once and in the space
    that the marks span: ten marks need 11 unknowns whatever the width of the vectors.
    """
    left, singular, right = np.linalg.svd(units, full_matrices=False)
    points = np.concatenate([left * singular, np.ones((len(units), 1))], axis=1)
    yes = truth == 1
    of_kind = np.where(yes, (seen & yes).sum(axis=1, keepdims=True), (seen & ~yes).sum(axis=1, keepdims=True))
    balance = seen * seen.sum(axis=1, keepdims=True) / (2.0 * np.maximum(of_kind, 1))
    weight = np.multiply.outer(np.asarray(strengths), balance)
    ridge = np.append(np.ones(points.shape[1] - 1), 0.0)
    found = _newton(points, truth, weight, ridge)
    return found[..., :-1] @ right, found[..., -1]


def _newton(
    points: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64], ridge: NDArray[np.float64], most: int = 50
) -> NDArray[np.float64]:
    """Minimise weighted logistic loss plus ridge |x|^2 / 2 for every row of weights (..., m) at once; points (..., m, r) to x (..., r)."""
    found = np.zeros((*weight.shape[:-1], points.shape[-1]))

    def logits(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points @ at[..., None])[..., 0]

    def loss(at: NDArray[np.float64]) -> NDArray[np.float64]:
        logit = logits(at)
        return (weight * (np.logaddexp(0, logit) - target * logit)).sum(axis=-1) + 0.5 * (ridge * at * at).sum(axis=-1)

    now, across = loss(found), np.swapaxes(points, -1, -2)
    for _ in range(most):
        share = expit(logits(found))
        slope = (across @ (weight * (share - target))[..., None])[..., 0] + ridge * found
        if np.abs(slope).max() < 1e-6:
            break
        bend = (across * (weight * share * (1 - share))[..., None, :]) @ points + np.diag(ridge + 1e-9)
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        ahead = loss(found - step)
        for _ in range(30):
            worse = ahead > now + 1e-12
            if not worse.any():
                break
            step[worse] /= 2  # it went too far
            ahead = loss(found - step)
        found, now = found - step, ahead
    return found


def _folds(truth: NDArray[np.float64], folds: int) -> NDArray[np.bool_]:
    """Say, for each of the folds, which marks are seen while fitting (folds, m); the others are left out, some of each kind every time."""
    out = np.empty(len(truth), np.int64)
    for kind in (0, 1):
        mine = np.flatnonzero(truth == kind)
        out[np.random.default_rng(kind).permutation(mine)] = np.arange(len(mine)) % folds
    return out != np.arange(folds)[:, None]


def _platt(logits: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit slope and offset of a sigmoid to each row of left-out scores (s, m); gives slopes, offsets and losses (s,).

    Targets are smoothed as in Platt 1999, eq. 2. Scores that rank the wrong way get no weight: then only the share of yes is known.
    """
    positives, negatives = truth.sum(), (1 - truth).sum()
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    points = np.stack([logits, np.ones_like(logits)], axis=-1)
    slope, offset = _newton(points, target, np.full(logits.shape, 1 / len(truth)), np.zeros(2)).T
    wrong = slope < LEAST_SLOPE
    slope = np.where(wrong, LEAST_SLOPE, slope)
    offset = np.where(wrong, np.log(target.mean() / (1 - target.mean())) - slope * logits.mean(axis=1), offset)
    z = slope[:, None] * logits + offset[:, None]
    return slope, offset, (np.logaddexp(0, z) - target * z).mean(axis=1)


def _average_precision(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Give the mean, over the true ones, of the share of true ones among all that score no less."""
    reached = np.array([truth[scores >= score].mean() for score in scores[truth]])
    return float(reached.mean())
