"""Logistic regression from a few marks and a sample of unmarked rows: many fits at once by Newton's method.

An unmarked row is most likely "no", so a sample of all rows joins the marked "no", each row weighted by the
probability of "no" in a first fit. The weights lie in the space that the marks and the mean of the sample
span, so ten marks need 12 unknowns whatever the width of the vectors. Probabilities are calibrated on
held-out marks (Platt 1999) and adjusted to the share of "yes" in the sample (Saerens, Latinne and
Decaestecker 2002), with a prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

STRENGTHS = (1.0, 10.0, 100.0)
FIRST_STRENGTH = 10.0
LEAST_SLOPE = 0.02
"""Smallest slope of the calibrating sigmoid; below it, scores of held-out marks are uninformative."""
PRIOR_ROWS = 64
"""Weight of the share of yes among the marks, in rows of the sample."""


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits for each strength and subset of marks: `weight` (s, b, d) and `bias` (s, b) of the logits."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logits (s, b, m) of (m, d) vectors."""
        return self.weight @ units.T + self.bias[..., None]


def fit_all(
    units: NDArray[np.float64],
    truth: NDArray[np.float64],
    others: NDArray[np.float64],
    seen: NDArray[np.bool_],
    strengths: Sequence[float] = STRENGTHS,
) -> Fits:
    """Fit marks (m, d) with `truth` 0 or 1, and unmarked `others` (o, d), for each strength and subset.

    `seen` (b, m) are the subsets of the marks; each must hold a yes and a no, which weigh the same in total.
    Without others the result is that of scikit-learn's LogisticRegression(C=strength,
    class_weight="balanced").
    """
    marks = len(truth)
    spanning = np.concatenate([units, others.mean(axis=0, keepdims=True)]) if len(others) else units
    basis = np.linalg.svd(spanning, full_matrices=False)[2]
    points = np.concatenate(
        [np.concatenate([units, others]) @ basis.T, np.ones((marks + len(others), 1))], axis=1
    )
    ridge = np.append(np.ones(len(basis)), 0.0)
    half = seen.sum(axis=1, keepdims=True) / 2
    yes, no = (
        half * kind / kind.sum(axis=1, keepdims=True) for kind in (seen & (truth == 1), seen & (truth == 0))
    )
    weight = yes + no
    if len(others):
        first = newton(points[:marks], truth, FIRST_STRENGTH * weight, ridge)
        beside = half * expit(-(first @ points[marks:].T)) / len(others)
        weight = np.concatenate([yes * (1 + beside.sum(axis=1, keepdims=True) / half) + no, beside], axis=1)
    target = np.append(truth, np.zeros(len(others)))
    solution = newton(points, target, np.multiply.outer(np.asarray(strengths), weight), ridge)
    return Fits(solution[..., :-1] @ basis, solution[..., -1])


def newton(
    points: NDArray[np.float64],
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    ridge: NDArray[np.float64],
    most: int = 50,
) -> NDArray[np.float64]:
    """Minimise weighted logistic loss plus ridge x^2 / 2, for every row of weights (..., m) at once.

    Points (..., m, r) to x (..., r).
    """
    x = np.zeros((*weight.shape[:-1], points.shape[-1]))

    def logits(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points @ at[..., None])[..., 0]

    def loss(at: NDArray[np.float64]) -> NDArray[np.float64]:
        logit = logits(at)
        return (weight * (np.logaddexp(0, logit) - target * logit)).sum(axis=-1) + 0.5 * (
            ridge * at * at
        ).sum(axis=-1)

    current, transposed = loss(x), np.swapaxes(points, -1, -2)
    for _ in range(most):
        probability = expit(logits(x))
        gradient = (transposed @ (weight * (probability - target))[..., None])[..., 0] + ridge * x
        if np.abs(gradient).max() < 1e-6:
            break
        curvature = weight * probability * (1 - probability)
        hessian = (transposed * curvature[..., None, :]) @ points + np.diag(ridge + 1e-9)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        after = loss(x - step)
        for _ in range(30):
            worse = after > current + 1e-12
            if not worse.any():
                break
            step[worse] /= 2
            after = loss(x - step)
        x, current = x - step, after
    return x


def folds_of(truth: NDArray[np.float64], folds: int) -> NDArray[np.bool_]:
    """Return which marks are seen in each fold (folds, m); some of each kind are held out every time."""
    held_out_in = np.empty(len(truth), np.int64)
    for kind in (0, 1):
        marks = np.flatnonzero(truth == kind)
        order = np.random.default_rng(kind).permutation(marks)
        held_out_in[order] = np.arange(len(marks)) % folds
    return held_out_in != np.arange(folds)[:, None]


def platt(
    logits: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit slope and offset of a sigmoid to each row of held-out scores (s, m); returns them and losses (s,).

    Targets are smoothed as in Platt 1999, eq. 2. Scores that rank the wrong way get the smallest slope, and
    only the share of yes counts.
    """
    positives, negatives = truth.sum(), (1 - truth).sum()
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    points = np.stack([logits, np.ones_like(logits)], axis=-1)
    slope, offset = newton(points, target, np.full(logits.shape, 1 / len(truth)), np.zeros(2)).T
    is_flat = slope < LEAST_SLOPE
    slope = np.where(is_flat, LEAST_SLOPE, slope)
    offset = np.where(
        is_flat, np.log(target.mean() / (1 - target.mean())) - slope * logits.mean(axis=1), offset
    )
    z = slope[:, None] * logits + offset[:, None]
    return slope, offset, (np.logaddexp(0, z) - target * z).mean(axis=1)


def prior_shift(logits: NDArray[np.float64], marked: float, rounds: int = 50) -> float:
    """Return what to add to logits (o,) of a sample to match its own share of yes, not that of the marks."""
    share, odds = marked, np.log(marked / (1 - marked))
    for _ in range(rounds):
        shift = np.log(share / (1 - share)) - odds
        share = (expit(logits + shift).sum() + PRIOR_ROWS * marked) / (len(logits) + PRIOR_ROWS)
    return float(np.log(share / (1 - share)) - odds)


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Return the average precision of scores (m,); its cost is quadratic, for a few marks."""
    return float(np.mean([truth[scores >= score].mean() for score in scores[truth]]))
