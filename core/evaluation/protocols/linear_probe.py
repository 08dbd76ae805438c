"""Linear probe: logistic regression on frozen embeddings, regularised as held-out training images suggest."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from ..errors import FeatureError

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # sklearn's C: larger fits the training images more closely
HELD_OUT = 0.2
ITERATIONS = 1_000


@dataclass(frozen=True)
class Probe:
    """Predictions (m,), class probabilities (m, classes), the chosen C, held-out accuracy of every C."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    strength: float
    held_out: dict[float, float]
    converged: bool


def linear_probe(
    train: NDArray[np.float32], labels: NDArray[np.int64], test: NDArray[np.float32], *, seed: int = 0
) -> Probe:
    """Fit standardised training embeddings (n, d) and predict test embeddings (m, d).

    C is the best of STRENGTHS on a fifth of the training images, held out in each class; it is 1 if a class
    has too few images to hold any out. Raises FeatureError for fewer than two classes.
    """
    classes = np.unique(labels)
    if classes.size < 2:
        raise FeatureError(
            "A probe needs training images of at least two classes; add images of another class."
        )
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > 1e-8, deviation, 1.0)
    train, test = (train - mean) / scale, (test - mean) / scale
    held_out = _held_out(train, labels, classes, seed)
    strength = max(held_out, key=lambda c: held_out[c]) if held_out else 1.0
    model, converged = _fit(train, labels, strength)
    probabilities = np.zeros((len(test), int(labels.max()) + 1))
    probabilities[:, model.classes_] = model.predict_proba(test)
    return Probe(probabilities.argmax(axis=1), probabilities, strength, held_out, converged)


def _held_out(
    train: NDArray[np.float32], labels: NDArray[np.int64], classes: NDArray[np.int64], seed: int
) -> dict[float, float]:
    count = round(HELD_OUT * len(labels))
    if np.bincount(labels)[classes].min() < 2 or count < classes.size or len(labels) - count < classes.size:
        return {}
    inner, outer = train_test_split(
        np.arange(len(labels)), test_size=count, stratify=labels, random_state=seed
    )
    scores = {}
    for strength in STRENGTHS:
        model, _ = _fit(train[inner], labels[inner], strength)
        scores[strength] = float(model.score(train[outer], labels[outer]))
    return scores


def _fit(
    train: NDArray[np.float32], labels: NDArray[np.int64], strength: float
) -> tuple[LogisticRegression, bool]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(train, labels)
    return model, bool(np.max(model.n_iter_) < ITERATIONS)
