"""Accuracy and areas of a map from a sample with reference labels, stratified by the classes of the map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError

Z = 1.96


@dataclass(frozen=True, eq=False)
class MapAccuracy:
    """Estimates with the half width of their 95 % intervals; arrays have one value per class.

    `overall` accuracy; `users` accuracy (a mapped cell is right), `producers` accuracy (a cell of the class
    is found); `share` of the whole area that each class really covers, corrected for the map's errors.
    """

    overall: float
    overall_half: float
    users: NDArray[np.float64]
    producers: NDArray[np.float64]
    share: NDArray[np.float64]
    share_half: NDArray[np.float64]


def map_accuracy(counts: NDArray[np.int64], mapped: NDArray[np.float64]) -> MapAccuracy:
    """Estimate the accuracy and the true areas of a map (Olofsson et al. 2014, equations 1 to 11).

    `counts` (classes, classes): sampled cells, class of the map by row and of the reference by column;
    `mapped` (classes,): area of each class on the whole map, in any unit. Samples must be drawn at random
    within each class of the map. Raises FeatureError where a mapped class has fewer than 2 samples.
    """
    rows = counts.sum(axis=1)
    if counts.shape != (len(mapped), len(mapped)) or (rows < 2).any():
        raise FeatureError(
            "Each class of the map needs at least 2 sampled cells: draw more, or merge classes."
        )
    weight = mapped / mapped.sum()
    within = counts / rows[:, None]
    shares = weight[:, None] * within
    users = np.diag(within)
    overall_variance = (weight**2 * users * (1 - users) / (rows - 1)).sum()
    share = shares.sum(axis=0)
    share_variance = ((weight[:, None] * shares - shares**2) / (rows[:, None] - 1)).sum(axis=0)
    found = np.where(share > 0, np.diag(shares) / np.where(share > 0, share, 1), np.nan)
    return MapAccuracy(
        float(np.trace(shares)),
        float(Z * overall_variance**0.5),
        users,
        found,
        share,
        Z * share_variance**0.5,
    )
