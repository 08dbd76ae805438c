"""Labels by example: from places marked yes or no, a calibrated probability for every row.

Logistic regression on unit vectors, calibrated on held-out marks (see `logistic`). `benchmarks/label.py`
compares its ranking and calibration with the simple query "twice the mean of yes minus the mean of no".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ..errors import SearchError
from ..search.neighbors import similarities
from ..store.table import EmbeddingTable
from .logistic import FIRST_STRENGTH, STRENGTHS, average_precision, fit_all, folds_of, platt, prior_shift

FOLDS = 5
SAMPLE_ROWS = 256
POOL, CANDIDATES = 512, 5_120
SHARPNESS = 4
"""Cosines are raised to this power, so that only close vectors represent each other."""


@dataclass(frozen=True)
class Marks:
    """Marked rows: those that show what is searched for, and those that do not."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Labeller:
    """Calibrated classifier: probability = sigmoid(`weight` . unit vector + `bias`).

    `accuracy` (balanced) and `average_precision` are of held-out marks; None with fewer than two of a kind.
    """

    weight: NDArray[np.float32]
    bias: float
    marks: Marks
    accuracy: float | None
    average_precision: float | None

    def scores(self, table: EmbeddingTable) -> NDArray[np.float32]:
        """Return the probability (n,) of every row; NaN for rows without a usable vector."""
        length = float(np.linalg.norm(self.weight))
        logit = np.zeros(len(table), np.float32) if length == 0 else similarities(table, self.weight)
        logit *= np.float32(length)
        logit += np.float32(self.bias)
        expit(logit, out=logit)
        if not table.stored.usable.all():
            logit[~table.stored.usable] = np.nan
        return logit


def fit(table: EmbeddingTable, marks: Marks) -> Labeller:
    """Fit a classifier to marks.

    Raises SearchError without at least one yes and one no, and for a marked row without a usable vector.
    """
    _require_marks(table, marks)
    units = table.unit_rows([*marks.yes, *marks.no]).astype(np.float64)
    truth = np.array([1.0] * len(marks.yes) + [0.0] * len(marks.no))
    centre = units.mean(axis=0)
    units, others = units - centre, _sample(table) - centre
    folds = min(FOLDS, len(marks.yes), len(marks.no))
    seen = folds_of(truth, folds) if folds >= 2 else np.ones((0, len(truth)), bool)
    fits = fit_all(units, truth, others, np.concatenate([seen, np.ones((1, len(truth)), bool)]))
    best, slope, offset, report = STRENGTHS.index(FIRST_STRENGTH), 1.0, 0.0, (None, None)
    if folds >= 2:
        held_out = np.where(seen, 0, fits.logits(units)[:, :-1]).sum(axis=1)
        slopes, offsets, losses = platt(held_out, truth)
        best = int(losses.argmin())
        slope, offset, logits, yes = float(slopes[best]), float(offsets[best]), held_out[best], truth == 1
        accuracy = float(((logits[yes] > 0).mean() + (logits[~yes] <= 0).mean()) / 2)
        report = (accuracy, average_precision(yes, logits))
    weight = slope * fits.weight[best, -1]
    bias = slope * float(fits.bias[best, -1]) + offset
    bias += prior_shift(others @ weight + bias, float(truth.mean())) - float(weight @ centre)
    return Labeller(weight.astype(np.float32), bias, marks, *report)


def suggest(
    table: EmbeddingTable, labeller: Labeller, count: int = 8,
    *, among: NDArray[np.bool_] | None = None, probability: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the rows to mark next: together they represent the uncertain rows that no mark resembles yet.

    The most uncertain tenth of a seeded sample is covered greedily (facility location: Wei, Iyer and Bilmes
    2015). `among` (n,) keeps only rows where True; `probability` (n,) avoids another pass if it is known.
    """
    probability = labeller.scores(table) if probability is None else probability
    marked = [*labeller.marks.yes, *labeller.marks.no]
    free = np.isfinite(probability) if among is None else np.isfinite(probability) & among
    free[marked] = False
    rows = np.flatnonzero(free)
    if not len(rows):
        raise SearchError("Every row is marked already: there is nothing left to suggest.")
    if len(rows) > CANDIDATES:
        rows = np.sort(np.random.default_rng(len(marked)).choice(rows, CANDIDATES, replace=False))
    rows = rows[np.argsort(np.abs(probability[rows] - 0.5), kind="stable")[:POOL]]
    return rows[_cover(table.unit_rows(rows), table.unit_rows(marked), count)]


def variety(
    table: EmbeddingTable, count: int = 8, *, seed: int = 0, beside: Sequence[int] = ()
) -> NDArray[np.int64]:
    """Return rows that best represent a table (a seeded sample of it) together with the rows `beside`."""
    rows = np.setdiff1d(np.flatnonzero(table.stored.usable), beside)
    if len(rows) > POOL:
        rows = np.sort(np.random.default_rng(seed).choice(rows, POOL, replace=False))
    return rows[_cover(table.unit_rows(rows), table.unit_rows(beside), count)]


def _cover(units: NDArray[np.float32], known: NDArray[np.float32], count: int) -> list[int]:
    """Choose vectors greedily so that all are similar to a known or chosen one."""
    similarity = (units @ units.T).clip(0) ** SHARPNESS
    covered = (units @ known.T).clip(0).max(axis=1, initial=0.0) ** SHARPNESS
    chosen: list[int] = []
    for _ in range(min(count, len(units))):
        gain = (similarity - covered).clip(0).sum(axis=1)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, similarity[chosen[-1]])
    return chosen


def expected_calibration_error(
    probability: NDArray[np.floating], truth: NDArray[np.bool_] | Sequence[bool], bins: int = 15
) -> float:
    """Return the expected calibration error over equally wide bins, weighted by rows (Naeini 2015)."""
    probability, truth = np.asarray(probability, np.float64), np.asarray(truth, bool)
    index = np.minimum((probability * bins).astype(int), bins - 1)
    rows = np.bincount(index, minlength=bins)
    gap = np.abs(np.bincount(index, probability, bins) - np.bincount(index, truth, bins))
    return float(gap.sum() / max(rows.sum(), 1))


@lru_cache(maxsize=8)
def _sample(table: EmbeddingTable) -> NDArray[np.float64]:
    """Return unit vectors (o, d) of a seeded sample of a table's rows."""
    usable = np.flatnonzero(table.stored.usable)
    rows = np.random.default_rng(0).choice(usable, min(SAMPLE_ROWS, len(usable)), replace=False)
    return table.unit_rows(np.sort(rows)).astype(np.float64)


def _require_marks(table: EmbeddingTable, marks: Marks) -> None:
    table.require_one_model()
    if not marks.yes or not marks.no:
        raise SearchError("Mark at least one place as yes and one as no.")
    both = sorted(set(marks.yes) & set(marks.no))
    if both:
        raise SearchError(f"Row {both[0]} is marked both yes and no: remove one of the two marks.")
    for row in (*marks.yes, *marks.no):
        if not 0 <= row < len(table) or not table.stored.usable[row]:
            raise SearchError(f"Row {row} has no usable vector: remove its mark.")
