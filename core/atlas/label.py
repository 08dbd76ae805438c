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
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

from core.atlas.errors import SearchError
from core.atlas.neighbors import example_query, similarities, unit_rows
from core.atlas.table import EmbeddingTable

STRENGTHS = (1.0, 10.0, 100.0)
FOLDS = 5


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
    truth = np.array([1] * len(marks.yes) + [0] * len(marks.no))
    centre = units.mean(axis=0)
    folds = min(FOLDS, len(marks.yes), len(marks.no))
    strength, slope, offset, report = 10.0, 1.0, 0.0, (None, None, None)
    if folds >= 2:
        left_out = {c: _left_out_logits(units - centre, truth, c, folds) for c in STRENGTHS}
        calibrated = {c: _platt(logits, truth) for c, logits in left_out.items()}
        strength = min(STRENGTHS, key=lambda c: calibrated[c][2])
        slope, offset, loss = calibrated[strength]
        logits = left_out[strength]
        report = (float(balanced_accuracy_score(truth, logits > 0)), float(average_precision_score(truth, logits)), loss)
    model = _regression(strength).fit(units - centre, truth)
    weight = slope * model.coef_[0]
    bias = slope * float(model.intercept_[0]) + offset - float(weight @ centre)
    return Labeller(weight.astype(np.float32), bias, marks, *report)


def suggest(
    table: EmbeddingTable, labeller: Labeller, count: int = 8, *, pool: int = 512, among: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Name the rows that would teach most if marked next: the least certain ones, each chosen far from those before and from the marks."""
    probability = labeller.scores(table)
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


def _regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=200)


def _left_out_logits(units: NDArray[np.float64], truth: NDArray[np.int64], strength: float, folds: int) -> NDArray[np.float64]:
    logits = np.zeros(len(truth))
    for seen, unseen in StratifiedKFold(folds, shuffle=True, random_state=0).split(units, truth):
        logits[unseen] = _regression(strength).fit(units[seen], truth[seen]).decision_function(units[unseen])
    return logits


def _platt(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> tuple[float, float, float]:
    """Fit slope and offset of a sigmoid to left-out scores; gives them with the loss. Targets are smoothed as in Platt 1999, eq. 2."""
    positives, negatives = truth.sum(), (1 - truth).sum()
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: NDArray[np.float64]) -> float:
        z = np.exp(parameters[0]) * logits + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - target * z))

    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(-4, 4), (-8, 8)])
    return float(np.exp(found.x[0])), float(found.x[1]), float(found.fun)
