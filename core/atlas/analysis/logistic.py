"""Logistic regression from a handful of marks and a sample of everything else, in milliseconds: many fits at once by Newton's method.

Three ideas make a handful enough. What is not marked is most likely "no", so a sample of all rows joins the marked "no", each row
weighted by how little a first fit takes it for "yes". The weights lie in the space that the marks (and the sample's mean) span,
so ten marks need 12 unknowns whatever the width of the vectors. Probabilities are calibrated on marks that were left out while fitting
(Platt 1999), then moved to the share of "yes" that the sample suggests (Saerens, Latinne and Decaestecker 2002), held back by a prior.
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
"""Of the calibrating sigmoid: below it, scores of left-out marks say nothing, or the opposite."""
PRIOR_ROWS = 64
"""How many rows of the sample the marks' own share of yes counts for."""


@dataclass(frozen=True, eq=False)
class Fits:
    """Hold fits for each strength and subset of marks: `weight` (s, b, d), `bias` (s, b), so that logit = weight . vector + bias."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the logits (s, b, m) of (m, d) vectors."""
        return self.weight @ units.T + self.bias[..., None]


def fit_all(
    units: NDArray[np.float64], truth: NDArray[np.float64], others: NDArray[np.float64], seen: NDArray[np.bool_],
    strengths: Sequence[float] = STRENGTHS,
) -> Fits:  # fmt: skip
    """Fit (m, d) marked vectors with `truth` 0 or 1 beside (o, d) others, for each strength and each subset `seen` (b, m) of the marks.

    Yes and no weigh the same in total. Without others it is the optimum of scikit-learn's LogisticRegression(C=strength,
    class_weight="balanced"). Every subset must see a yes and a no.
    """
    marks = len(truth)
    spanning = np.concatenate([units, others.mean(axis=0, keepdims=True)]) if len(others) else units
    basis = np.linalg.svd(spanning, full_matrices=False)[2]
    points = np.concatenate(
        [np.concatenate([units, others]) @ basis.T, np.ones((marks + len(others), 1))], axis=1
    )
    ridge = np.append(np.ones(len(basis)), 0.0)
    half = seen.sum(axis=1, keepdims=True) / 2
    of_yes, of_no = (
        half * kind / kind.sum(axis=1, keepdims=True) for kind in (seen & (truth == 1), seen & (truth == 0))
    )
    weight = of_yes + of_no
    if len(others):
        first = newton(points[:marks], truth, FIRST_STRENGTH * weight, ridge)
        beside = half * expit(-(first @ points[marks:].T)) / len(others)
        weight = np.concatenate(
            [of_yes * (1 + beside.sum(axis=1, keepdims=True) / half) + of_no, beside], axis=1
        )
    target = np.append(truth, np.zeros(len(others)))
    found = newton(points, target, np.multiply.outer(np.asarray(strengths), weight), ridge)
    return Fits(found[..., :-1] @ basis, found[..., -1])


def newton(
    points: NDArray[np.float64],
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    ridge: NDArray[np.float64],
    most: int = 50,
) -> NDArray[np.float64]:
    """Minimise weighted logistic loss plus ridge x^2 / 2 for every row of weights (..., m) at once; points (..., m, r) to x (..., r)."""
    found = np.zeros((*weight.shape[:-1], points.shape[-1]))

    def logits(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points @ at[..., None])[..., 0]

    def loss(at: NDArray[np.float64]) -> NDArray[np.float64]:
        logit = logits(at)
        return (weight * (np.logaddexp(0, logit) - target * logit)).sum(axis=-1) + 0.5 * (
            ridge * at * at
        ).sum(axis=-1)

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


def folds_of(truth: NDArray[np.float64], folds: int) -> NDArray[np.bool_]:
    """Say, for each of the folds, which marks are seen while fitting (folds, m); the others are left out, some of each kind every time."""
    out = np.empty(len(truth), np.int64)
    for kind in (0, 1):
        mine = np.flatnonzero(truth == kind)
        out[np.random.default_rng(kind).permutation(mine)] = np.arange(len(mine)) % folds
    return out != np.arange(folds)[:, None]


def platt(
    logits: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit slope and offset of a sigmoid to each row of left-out scores (s, m); gives slopes, offsets and losses (s,).

    Targets are smoothed as in Platt 1999, eq. 2. Scores that rank the wrong way get no weight: then only the share of yes is known.
    """
    positives, negatives = truth.sum(), (1 - truth).sum()
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    points = np.stack([logits, np.ones_like(logits)], axis=-1)
    slope, offset = newton(points, target, np.full(logits.shape, 1 / len(truth)), np.zeros(2)).T
    wrong = slope < LEAST_SLOPE
    slope = np.where(wrong, LEAST_SLOPE, slope)
    offset = np.where(
        wrong, np.log(target.mean() / (1 - target.mean())) - slope * logits.mean(axis=1), offset
    )
    z = slope[:, None] * logits + offset[:, None]
    return slope, offset, (np.logaddexp(0, z) - target * z).mean(axis=1)


def prior_shift(logits: NDArray[np.float64], marked: float, rounds: int = 50) -> float:
    """Give what to add to logits calibrated on marks, of which a share `marked` is yes, so that they fit a sample of all rows (o,)."""
    share, odds = marked, np.log(marked / (1 - marked))
    for _ in range(rounds):
        shift = np.log(share / (1 - share)) - odds
        share = (expit(logits + shift).sum() + PRIOR_ROWS * marked) / (len(logits) + PRIOR_ROWS)
    return float(np.log(share / (1 - share)) - odds)


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Give the mean, over the true ones, of the share of true ones among all that score no less; for a few marks, not a table."""
    return float(np.mean([truth[scores >= score].mean() for score in scores[truth]]))
