"""Confidence intervals: bootstrap over test images, and paired comparisons on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from ..errors import FeatureError

DRAWS = 2_000
BLOCK = 4_000_000  # resampled values in memory at a time


@dataclass(frozen=True)
class Interval:
    """A mean and the central `level` of its bootstrap distribution."""

    mean: float
    low: float
    high: float
    level: float = 0.95

    def plain(self) -> dict[str, float]:
        """Return mean, low and high as plain numbers."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Paired:
    """Model B minus model A on the same images; McNemar's exact test for right/wrong values."""

    difference: Interval
    only_a: int | None
    only_b: int | None
    p_value: float | None


def bootstrap_mean(
    values: NDArray[np.float64] | NDArray[np.bool_], *, seed: int = 0, draws: int = DRAWS, level: float = 0.95
) -> Interval:
    """Return the mean of one value per image with a bootstrap interval over images; NaN is ignored."""
    return bootstrap_mean_of_sets([values], seed=seed, draws=draws, level=level)


def accuracy_interval(
    right: NDArray[np.float64] | NDArray[np.bool_], *, seed: int = 0, draws: int = DRAWS, level: float = 0.95
) -> Interval:
    """Return the share of right answers with its bootstrap interval, Wilson's for a share of 0 or 1.

    In that case every resample is the same, and the bootstrap's width would be 0: 3 of 3 right give [0.439,
    1] instead of [1, 1] (Wilson 1927, n / (n + z^2) from the nearer end).
    """
    interval = bootstrap_mean(right, seed=seed, draws=draws, level=level)
    if interval.mean not in (0.0, 1.0):
        return interval
    width = _wilson_width(len(_finite(right)), level)
    return (
        Interval(interval.mean, 1 - width, 1.0, level)
        if interval.mean == 1.0
        else Interval(interval.mean, 0.0, width, level)
    )


def bootstrap_mean_of_sets(
    sets: Sequence[NDArray[np.float64] | NDArray[np.bool_]],
    *,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Interval:
    """Return the mean of the sets' means with a bootstrap interval; each set is resampled separately."""
    rng = np.random.default_rng(seed)
    finite = [_finite(values) for values in sets]
    means = np.mean([_resampled_means(values, rng, draws) for values in finite], axis=0)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean([values.mean() for values in finite])), float(low), float(high), level)


def bootstrap_crossed(
    values: NDArray[np.float64] | NDArray[np.bool_], *, seed: int = 0, draws: int = DRAWS, level: float = 0.95
) -> Interval:
    """Return the mean of (runs, images) values with a bootstrap interval over both; over images for one run.

    Few runs say little about the spread between runs, so show each run beside the interval.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 2 or numbers.size == 0 or np.isnan(numbers).any():
        raise FeatureError(
            "A crossed bootstrap needs one value for every run and image; score the missing ones."
        )
    rng = np.random.default_rng(seed)
    runs, images = numbers.shape
    means = np.empty(draws)
    for draw in range(draws):
        over_runs = numbers[rng.integers(runs, size=runs)].mean(axis=0) if runs > 1 else numbers[0]
        means[draw] = over_runs[rng.integers(images, size=images)].mean()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(numbers.mean()), float(low), float(high), level)


def compare(
    a: NDArray[np.float64] | NDArray[np.bool_], b: NDArray[np.float64] | NDArray[np.bool_], *, seed: int = 0
) -> Paired:
    """Compare two models on the same images in the same order, by one value per image.

    If right/wrong values differ in the same way on every image (or on none), the bootstrap's width is 0, and
    the interval has Wilson's width instead.
    """
    if a.shape != b.shape:
        raise FeatureError(
            f"A paired test needs the same images, but there are {a.shape[0]} and {b.shape[0]} values."
        )
    difference = bootstrap_mean(b.astype(np.float64) - a.astype(np.float64), seed=seed)
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        return Paired(difference, None, None, None)
    if difference.low == difference.high:
        mean, width = difference.mean, _wilson_width(len(a), difference.level)
        difference = replace(difference, low=max(-1.0, mean - width), high=min(1.0, mean + width))
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    p_value = float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return Paired(difference, only_a, only_b, p_value)


def _wilson_width(count: int, level: float) -> float:
    """Return the width of the interval of a share of 0 or 1 among `count` images (Wilson 1927)."""
    z = float(norm.ppf((1 + level) / 2))
    return z**2 / (count + z**2)


def _finite(values: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if numbers.size == 0:
        raise FeatureError("There are no values to average; score at least one image.")
    return numbers


def _resampled_means(
    values: NDArray[np.float64], rng: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    if np.isin(values, (0.0, 1.0)).all():  # resampling 0/1 values is a binomial draw
        return rng.binomial(len(values), values.mean(), size=draws) / len(values)
    means = np.empty(draws)
    step = max(1, BLOCK // len(values))
    for start in range(0, draws, step):
        picks = rng.integers(len(values), size=(min(step, draws - start), len(values)))
        means[start : start + step] = values[picks].mean(axis=1)
    return means
