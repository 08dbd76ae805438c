"""Areas of the classes of a map, corrected by its errors, with confidence intervals.

Stratified estimators of Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of
land change" (Remote Sensing of Environment 148), equations 2 and 5 to 11. They hold for labels that are a
random sample of the ground within each class of the map; labels that somebody picked give an indication only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ...geo.ground import MEAN_EARTH_RADIUS_M
from ..store.table import EmbeddingTable
from .outlines import bounds_of

Z95 = 1.959964
SAMPLED_TILES = 20_000


@dataclass(frozen=True, eq=False)
class AreaEstimate:
    """Shares of the mapped ground: `mapped` (c,) as counted on the map, `share` (c,) corrected.

    `share_half_width`, `users_half_width` and so on are the half widths of 95 % intervals. Users' accuracy
    is of the map's class, producers' of the true class; NaN where too few labels. `total_km2` is the ground
    that the table covers, None if its rows have no outline.
    """

    mapped: NDArray[np.float64]
    share: NDArray[np.float64]
    share_half_width: NDArray[np.float64]
    users: NDArray[np.float64]
    users_half_width: NDArray[np.float64]
    producers: NDArray[np.float64]
    producers_half_width: NDArray[np.float64]
    overall: float
    overall_half_width: float
    total_km2: float | None


def estimate_areas(
    confusion: NDArray[np.int64], mapped: NDArray[np.float64], total_km2: float | None = None
) -> AreaEstimate:
    """Estimate areas from counts (c, c) of true class (row) by mapped class (column), and mapped shares (c,).

    A class of the map with no label is taken to be right, with no uncertainty, as nothing is known about it.
    """
    counts = confusion.T.astype(np.float64)  # rows: map, columns: reference, as in the paper
    size = counts.sum(axis=1)
    labelled = size > 0
    rate = np.divide(counts, size[:, None], out=np.eye(len(counts)), where=labelled[:, None])
    p = mapped[:, None] * rate
    share = p.sum(axis=0)  # equation 9
    freedom = np.where(size > 1, size - 1, np.nan)[:, None]
    spread = rate * (1 - rate) / freedom
    spread[~labelled] = 0
    share_se = np.sqrt((mapped[:, None] ** 2 * np.nan_to_num(spread)).sum(axis=0))  # equation 10
    users = np.where(labelled, np.diag(rate), np.nan)  # equation 2
    users_var = np.diag(spread)  # equation 6
    overall = float(np.diag(p).sum())  # equation 1
    overall_se = float(np.sqrt(np.nansum(mapped**2 * users_var)))  # equation 5
    with np.errstate(invalid="ignore", divide="ignore"):
        producers = np.where(share > 0, np.diag(p) / share, np.nan)  # equation 3
        others = (mapped[:, None] ** 2 * np.nan_to_num(spread)).sum(axis=0) - mapped**2 * np.nan_to_num(
            users_var
        )
        variance = mapped**2 * (1 - producers) ** 2 * np.nan_to_num(users_var) + producers**2 * others
        producers_se = np.sqrt(variance) / share  # equation 7 in terms of shares
    return AreaEstimate(
        mapped, share, Z95 * share_se, users, Z95 * np.sqrt(np.where(labelled, users_var, np.nan)),
        producers, Z95 * producers_se, overall, Z95 * overall_se, total_km2,
    )  # fmt: skip


def tile_areas(table: EmbeddingTable) -> NDArray[np.float64]:
    """Return the ground (n,) in km2 of each row's bounds on a sphere; 0 for rows with only a centre."""
    west, south, east, north = np.radians(bounds_of(table))
    radius = MEAN_EARTH_RADIUS_M / 1000
    area = radius**2 * (east - west) * (np.sin(north) - np.sin(south))
    return np.nan_to_num(np.maximum(area, 0))


def covered_km2(table: EmbeddingTable, areas: NDArray[np.float64]) -> float | None:
    """Return the ground in km2 that all rows cover together, overlaps counted once; None without outlines.

    Each of a sample of tiles counts its area divided by the number of tiles over a random point of it, whose
    expected sum is the area of the union.
    """
    rows = np.flatnonzero(areas > 0)
    if not len(rows):
        return None
    sides = bounds_of(table)[:, rows]
    generator = np.random.default_rng(0)
    chosen = rows if len(rows) <= SAMPLED_TILES else generator.choice(rows, SAMPLED_TILES, replace=False)
    at = np.searchsorted(rows, chosen)
    here = generator.random((2, len(at)))
    low, high = sides[:2, at], sides[2:, at]
    points = shapely.points(*(low + here * (high - low)))
    found, _ = shapely.STRtree(shapely.box(*sides)).query(points)
    times = np.maximum(np.bincount(found, minlength=len(at)), 1)
    return float(areas[rows].sum() * (areas[chosen] / times).sum() / areas[chosen].sum())
