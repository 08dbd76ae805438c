"""Change between two dates: located, corrected for the season, and refused for incomparable tables."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from core.atlas import EmbeddingTable, TableError, make_rows
from core.atlas.analysis.change import change, dates_of, first_and_last, on_date

COUNT, WIDTH = 400, 32
GENERATOR = np.random.default_rng(0)
BASE = GENERATOR.standard_normal((COUNT, WIDTH)).astype(np.float32)
CHANGED = np.arange(0, COUNT, 20)


def table(vectors: np.ndarray, name: str, **columns: object) -> EmbeddingTable:
    at = np.arange(len(vectors)) % COUNT
    known = {
        "centre_lon": 10 + at * 0.01,
        "centre_lat": np.full(len(at), 45.0),
        "gsd_m": np.full(len(at), 10.0),
        "model": ["test"] * len(at),
    }
    return EmbeddingTable.from_rows(make_rows(vectors.astype(np.float32), {**known, **columns}), name)


def noisy(vectors: np.ndarray, seed: int) -> np.ndarray:
    return vectors + 0.3 * np.random.default_rng(seed).standard_normal(vectors.shape)


def with_change(vectors: np.ndarray) -> np.ndarray:
    other = vectors.copy()
    other[CHANGED] = np.random.default_rng(9).standard_normal((len(CHANGED), WIDTH))
    return other


def test_changed_places_come_first_whatever_the_order_of_rows():
    order = np.random.default_rng(1).permutation(COUNT)
    later = table(noisy(with_change(BASE), 1), "later").take(order)
    found = change(table(BASE, "before"), later)
    most = found.before[found.most_changed(len(CHANGED))]
    assert set(most.tolist()) == set(CHANGED.tolist()) and found.percentile is None
    assert (order[found.after] == found.before).all()
    assert found.score.max() <= 2 and np.isnan(found.per_row(COUNT + 1)[-1])


def test_a_reference_pair_removes_the_season():
    season = 3 * np.random.default_rng(2).standard_normal(WIDTH)
    season_units = BASE / np.linalg.norm(BASE, axis=1, keepdims=True)
    before, after = table(BASE, "before"), table(noisy(with_change(season_units) + season, 3), "after")
    usual = table(noisy(BASE, 4), "june"), table(noisy(season_units + season, 5), "january")
    plain, corrected = change(before, after), change(before, after, reference=usual)
    is_changed = np.isin(plain.before, CHANGED)

    def gap(score):
        return score[is_changed].mean() - score[~is_changed].mean()

    assert gap(corrected.score) > gap(plain.score)
    assert np.median(corrected.percentile[is_changed]) > 0.95
    assert np.median(corrected.percentile[~is_changed]) < 0.8


def test_mostly_unchanged_ground_is_its_own_reference():
    """A network that sees the season in a few directions, strongly and at some places more than at others."""
    generator = np.random.default_rng(6)
    season = np.zeros((COUNT, WIDTH))
    season[:, :3] = generator.normal(2, 4, (COUNT, 3))
    before, after = table(BASE, "june"), table(noisy(with_change(BASE), 7) + season, "january")
    plain, corrected = change(before, after), change(before, after, reference=(before, after))

    def found(scored):
        return np.isin(scored.before[scored.most_changed(len(CHANGED))], CHANGED).mean()

    assert found(corrected) >= 0.9 > found(plain)
    assert np.median(corrected.score) == pytest.approx(1, abs=1e-3)
    with pytest.raises(TableError, match="All places of the reference moved alike"):
        change(before, after, reference=(before, before))


def test_two_dates_of_one_table():
    days = [
        datetime.datetime(2019, 6, 1, tzinfo=datetime.UTC),
        datetime.datetime(2024, 6, 1, tzinfo=datetime.UTC),
    ]
    stamps = pa.array([days[0]] * COUNT + [days[1]] * COUNT, pa.timestamp("us", tz="UTC"))
    both = table(np.concatenate([BASE, with_change(BASE)]), "both", timestamp=stamps)
    assert dates_of(both) == ("2019-06-01", "2024-06-01")
    found = change(*first_and_last(both))
    assert set(found.before[found.score > 0.1].tolist()) == set(CHANGED.tolist())
    with pytest.raises(TableError, match="has no row of 2020-01-01: its dates are 2019-06-01, 2024-06-01"):
        on_date(both, "2020-01-01")
    with pytest.raises(TableError, match="holds no dates"):
        first_and_last(table(BASE, "undated"))


def test_other_ground_and_other_models_are_refused():
    far = table(BASE, "far", centre_lat=np.full(COUNT, -45.0))
    with pytest.raises(TableError, match="before and far share 0 places: crop both"):
        change(table(BASE, "before"), far)
    with pytest.raises(TableError, match="before and other cannot be compared"):
        change(table(BASE, "before"), table(BASE, "other", model=["another"] * COUNT))
