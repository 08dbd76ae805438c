"""Mistakes of a classifier: the confusion matrix and the most confident mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: row of the set, true class, predicted class and its share of votes."""

    row: int
    truth: int
    predicted: int
    confidence: float


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count answers: (classes, classes), true class by row, predicted class by column."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def recall(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the recall of each class, NaN for classes without test images."""
    totals = matrix.sum(axis=1)
    return np.where(totals > 0, matrix.diagonal() / np.maximum(totals, 1), np.nan)


def worst_mistakes(
    rows: NDArray[np.int64],
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    count: int = 12,
) -> tuple[Mistake, ...]:
    """Return the most confident wrong answers, most confident first, lower rows first if equal."""
    wrong = np.flatnonzero(truth != predicted)
    order = wrong[np.lexsort((rows[wrong], -confidence[wrong]))][:count]
    return tuple(Mistake(int(rows[i]), int(truth[i]), int(predicted[i]), float(confidence[i])) for i in order)
