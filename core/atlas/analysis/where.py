"""Names for groups of rows after the countries in which they lie."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ...geo.gazetteer import nearest_towns

SAMPLE = 400
FAR_KM, ANTARCTIC = 600.0, -60.0
MOSTLY, NOTABLE = 0.6, 0.12
"""Shares of a group's rows from which one country names it alone, and from which a second one is added."""


def group_names(labels: NDArray[np.integer], count: int, lonlat: NDArray[np.floating]) -> tuple[str, ...]:
    """Name groups 0..count-1 as "1: Russia, Canada", after the countries with most of a sample of their rows.

    labels (n,), negative for rows in no group; lonlat (n, 2) in degrees, NaN where unknown. Rows far from any
    town count as Antarctica or as open sea. Groups without places are named "1", "2", ...
    """
    generator = np.random.default_rng(0)
    known = np.isfinite(lonlat).all(axis=1)
    names = []
    for number in range(count):
        rows = np.flatnonzero((labels == number) & known)
        if len(rows) > SAMPLE:
            rows = np.sort(generator.choice(rows, SAMPLE, replace=False))
        where = _countries(lonlat[rows]).most_common(2) if len(rows) else []
        chosen = [
            name
            for place, (name, rows_there) in enumerate(where)
            if place == 0 or (where[0][1] < MOSTLY * len(rows) and rows_there >= NOTABLE * len(rows))
        ]
        names.append(f"{number + 1}: {', '.join(chosen)}" if chosen else f"{number + 1}")
    return tuple(names)


def _countries(lonlat: NDArray[np.floating]) -> Counter[str]:
    towns, km = nearest_towns(lonlat)
    return Counter(
        town.country
        if town is not None and away <= FAR_KM
        else "Antarctica"
        if lat < ANTARCTIC
        else "open sea"
        for town, away, lat in zip(towns, km.tolist(), lonlat[:, 1].tolist(), strict=True)
    )
