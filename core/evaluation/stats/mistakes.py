"""Where a classifier goes wrong: the confusion matrix and its most confident mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mistake:
    """One wrong answer: row of the set, what it is, what it was taken for, and the share of votes for that."""

    row: int
    truth: int
    predicted: int
    confidence: float


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count answers: (classes, classes), true class down, predicted class across."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def recall(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the share of each true class that was found, NaN for classes without test images."""
    totals = matrix.sum(axis=1)
    return np.where(totals > 0, matrix.diagonal() / np.maximum(totals, 1), np.nan)


def worst_mistakes(
    rows: NDArray[np.int64],
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    count: int = 12,
) -> tuple[Mistake, ...]:
    """List the wrong answers given with the most confidence, most confident first, lower rows first among equals."""
    wrong = np.flatnonzero(truth != predicted)
    order = wrong[np.lexsort((rows[wrong], -confidence[wrong]))][:count]
    return tuple(Mistake(int(rows[i]), int(truth[i]), int(predicted[i]), float(confidence[i])) for i in order)
