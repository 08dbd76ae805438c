"""Outliers of a table: by reconstruction loss, and by the distance to their nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import SearchError
from ..search.neighbors import BLOCK_ROWS, require_count
from ..store.table import EmbeddingTable

MOST_PAIRS, LEAST_SAMPLE = 8_000_000_000, 500
"""Pairs of a row and a row of the sample that are compared at most, unless the sample becomes too small."""


@dataclass(frozen=True, eq=False)
class Outliers:
    """Outliers first: `rows` (k,), and the `score` (n,) of all rows, larger for outliers, NaN where unknown.

    `meaning` describes what the score measures.
    """

    rows: NDArray[np.int64]
    score: NDArray[np.float32]
    meaning: str


def outliers_by_loss(
    table: EmbeddingTable, k: int = 20, band: Literal["low", "high", "both"] = "both"
) -> Outliers:
    """Rank rows by reconstruction loss, in robust standard deviations above the table's median.

    Both bands: the larger of the two. Raises SearchError if the table was embedded without losses.
    """
    names = {
        "low": ("recon_loss_low",),
        "high": ("recon_loss_high",),
        "both": ("recon_loss_low", "recon_loss_high"),
    }[band]
    losses = [table.columns[name].to_numpy().astype(np.float64) for name in names]
    losses = [loss for loss in losses if np.isfinite(loss).any()]
    if not losses:
        raise SearchError(
            "This table holds no reconstruction losses: embed the places again with losses (--losses)."
        )
    with np.errstate(invalid="ignore"):
        score = np.fmax.reduce([_robust(loss) for loss in losses])
    return _ranked(score, k, f"reconstruction loss ({band}), robust standard deviations above the median")


def outliers_by_density(
    table: EmbeddingTable, k: int = 20, *, neighbors: int = 10, sample: int = 8_000, seed: int = 0
) -> Outliers:
    """Rank rows by the cosine distance to their n-th nearest neighbour (Ramaswamy, Rastogi and Shim 2000).

    In tables of more than `sample` rows, neighbours are searched in a seeded sample of that size, or of a
    smaller one in tables of more than a million rows, so that the time stays within minutes.
    """
    table.require_one_model()
    usable = np.flatnonzero(table.stored.usable)
    if len(usable) < 3:
        raise SearchError("Density needs at least three rows with vectors: embed more places.")
    sample = min(sample, max(LEAST_SAMPLE, MOST_PAIRS // len(usable)))
    reference = (
        usable
        if len(usable) <= sample
        else np.sort(np.random.default_rng(seed).choice(usable, sample, replace=False))
    )
    others = table.unit_rows(reference)
    nth = min(neighbors, len(reference) - 1)
    score = np.full(len(table), np.nan)
    step = max(1, BLOCK_ROWS * 64 // len(reference))
    for start in range(0, len(usable), step):
        rows = usable[start : start + step]
        cosines = table.unit_rows(rows) @ others.T
        at = np.searchsorted(reference, rows).clip(max=len(reference) - 1)
        own = np.flatnonzero(reference[at] == rows)
        cosines[own, at[own]] = -np.inf  # a row is not its own neighbour
        score[rows] = 1 - np.partition(cosines, -nth, axis=1)[:, -nth]
    among = f" in a sample of {len(reference):,} rows" if len(reference) < len(usable) else ""
    return _ranked(score, k, f"cosine distance to the {nth}th nearest neighbour{among}")


def _robust(values: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = np.nanmedian(values)
    spread = 1.4826 * np.nanmedian(np.abs(values - middle))
    return (values - middle) / (spread or np.nanstd(values) or 1.0)


def _ranked(score: NDArray[np.float64], k: int, meaning: str) -> Outliers:
    require_count(k)
    order = np.argsort(np.where(np.isfinite(score), -score, np.inf), kind="stable")
    return Outliers(order[: min(k, int(np.isfinite(score).sum()))], score.astype(np.float32), meaning)
