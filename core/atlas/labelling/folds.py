"""Folds of labelled rows: random, by spatial block, and one region at a time.

Neighbouring tiles resemble each other, so random folds overrate a map of places far from any label
(Roberts et al. 2017); blocks keep neighbours together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geo.ground import MEAN_EARTH_RADIUS_M
from ...units import metres
from ..errors import LabelError
from .sampling import Samples

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
BLOCKS_ACROSS = 10
FEWEST_BLOCKS = 4


@dataclass(frozen=True, eq=False)
class Folds:
    """Training and test positions of each fold, and the group (s,) of each row that is never split.

    `note` says in a sentence how the folds were made.
    """

    name: str
    folds: tuple[Fold, ...]
    groups: NDArray[np.int64]
    note: str


def random_folds(samples: Samples, count: int, seed: int) -> Folds:
    """Return random folds, stratified by class. Raises LabelError if a class has a single row."""
    from sklearn.model_selection import KFold, StratifiedKFold

    rows = np.arange(len(samples))
    if samples.kind == "number":
        count = _at_most(count, len(rows))
        splits = KFold(count, shuffle=True, random_state=seed).split(rows)
    else:
        sizes = np.bincount(samples.values.astype(int))
        if sizes.min() < 2:
            raise LabelError(
                f"The class {samples.classes[int(sizes.argmin())]} has a single labelled tile: add "
                "labels of it, or leave it out of the file."
            )
        count = _at_most(count, int(sizes.min()))
        splits = StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, samples.values)
    return Folds("random", tuple(splits), rows, f"{count} random folds")


def block_folds(
    samples: Samples, lonlat: NDArray[np.float64], count: int, seed: int, block_km: float | None
) -> Folds | None:
    """Return folds of whole square blocks of `block_km`, by default a tenth of the extent of the labels.

    None if the labels lie in fewer than FEWEST_BLOCKS blocks, or no split leaves two classes to train on.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    x, y = _kilometres(lonlat).T
    extent = float(np.sqrt(max(np.ptp(x), 1e-6) * max(np.ptp(y), 1e-6)))
    side = block_km or max(extent, np.ptp(x) / 10, np.ptp(y) / 10) / BLOCKS_ACROSS
    _, blocks = np.unique(np.stack([x // side, y // side], axis=1), axis=0, return_inverse=True)
    number = int(blocks.max()) + 1
    if number < FEWEST_BLOCKS:
        return None
    count = min(count, number)
    rows = np.arange(len(samples))
    if samples.kind == "class":
        count = _at_most(count, int(np.bincount(samples.values.astype(int)).min()))
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    else:
        splitter = GroupKFold(count, shuffle=True, random_state=seed)
    splits = _usable(samples, tuple(splitter.split(rows, samples.values, blocks)))
    note = f"{count} folds of {number:,} blocks, {metres(1000 * side)} across"
    return Folds("blocks", splits, blocks, note) if splits else None


def region_folds(samples: Samples) -> Folds | None:
    """Return folds that leave out one region of the label file each; None with fewer than two regions."""
    known = samples.regions >= 0
    regions = np.unique(samples.regions[known])
    if len(regions) < 2:
        return None
    rows = np.arange(len(samples))
    splits = _usable(
        samples,
        tuple((rows[known & (samples.regions != one)], rows[samples.regions == one]) for one in regions),
    )
    return (
        Folds("regions", splits, samples.regions, f"each of {len(regions)} regions left out once")
        if splits
        else None
    )


def _usable(samples: Samples, splits: tuple[Fold, ...]) -> tuple[Fold, ...]:
    """Keep folds with test rows and with two different values to train on."""
    return tuple(
        (train, test) for train, test in splits if len(test) and len(np.unique(samples.values[train])) >= 2
    )


def _at_most(count: int, rows: int) -> int:
    if rows < 2:
        raise LabelError("Too few labelled tiles to validate anything: add labels.")
    return min(count, rows)


def _kilometres(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return equal-area (sinusoidal) coordinates in km."""
    lon, lat = np.radians(lonlat).T
    return np.stack([lon * np.cos(lat), lat], axis=1) * MEAN_EARTH_RADIUS_M / 1000
