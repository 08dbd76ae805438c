"""Change between two dates: how far the vector of the same ground has moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute
from numpy.typing import NDArray
from sklearn.covariance import ShrunkCovariance

from ..errors import TableError
from ..store.mixture import join_recipes, mixture
from ..store.table import EmbeddingTable
from .match import FEWEST, SamePlaces, pairs_of

pc: Any = pyarrow.compute


@dataclass(frozen=True, eq=False)
class Change:
    """Change of the same ground: `before` (m,) and `after` (m,) are rows of the two tables.

    `score` (m,) is the cosine distance of their vectors, 0 to 2. With a reference pair of dates, it is how
    far a place moved beyond the season, 1 for the median reference place, and `percentile` (m,) is the share
    of reference places that moved less; None without one.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    score: NDArray[np.float32]
    percentile: NDArray[np.float32] | None

    @property
    def measure(self) -> str:
        """What the scores are, in words."""
        return "cosine distance" if self.percentile is None else "movement beyond the season"

    def most_changed(self, count: int) -> NDArray[np.int64]:
        """Return the positions (k,) of the highest scores, highest first."""
        return np.argsort(-self.score, kind="stable")[:count]

    def per_row(self, length: int) -> NDArray[np.float32]:
        """Return the score for each of `length` rows of the first table, NaN where there is no pair."""
        values = np.full(length, np.nan, np.float32)
        values[self.before] = self.score
        return values


def change(
    before: EmbeddingTable, after: EmbeddingTable,
    *, reference: tuple[EmbeddingTable, EmbeddingTable] | None = None,
) -> Change:  # fmt: skip
    """Score the change of every place that both tables hold, at the same scale.

    `reference` is a pair of tables (before, after) of the same two seasons between which nothing changed, or
    little did: (before, after) themselves serve where most of the ground is unchanged.
    Raises TableError if recipes differ, or fewer than three places are shared.
    """
    pairs = _pairs(before, after)
    old, new = before.unit_rows(pairs.a), after.unit_rows(pairs.b)
    if reference is None:
        return Change(pairs.a, pairs.b, _distance(old, new), None)
    _require_same_recipe(before, reference[0])
    usual = _pairs(*reference)
    season = Season.of(reference[1].unit_rows(usual.b) - reference[0].unit_rows(usual.a))
    score = season.beyond(new - old)
    percentile = (np.searchsorted(season.usual, score) / len(season.usual)).astype(np.float32)
    return Change(pairs.a, pairs.b, score, percentile)


@dataclass(frozen=True, eq=False)
class Season:
    """How vectors move where nothing changed: the `spread` of their movement, its median length `unit`, and
    the lengths `usual` (r,) in that unit, in order."""

    spread: ShrunkCovariance
    unit: float
    usual: NDArray[np.float32]

    @classmethod
    def of(cls, moved: NDArray[np.float32]) -> Season:
        """Learn it from the movement (r, d) of places that did not change.

        The covariance is shrunk halfway towards the average variance, so that directions in which the
        reference hardly moved do not dominate, and fewer places than values are enough.
        """
        if moved.var(axis=0).mean() < 1e-12:
            raise TableError("All places of the reference moved alike: give two tables of different dates.")
        spread = ShrunkCovariance(shrinkage=0.5).fit(moved)
        lengths = np.sort(_lengths(spread, moved))
        unit = max(float(np.median(lengths)), 1e-6)
        return cls(spread, unit, lengths / np.float32(unit))

    def beyond(self, moved: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far movements (m, d) lie beyond the season, 1 for the median reference place."""
        return _lengths(self.spread, moved) / np.float32(self.unit)


def _lengths(spread: ShrunkCovariance, moved: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Mahalanobis length (m,) of movements (m, d)."""
    return np.sqrt(spread.mahalanobis(moved)).astype(np.float32)


def dates_of(table: EmbeddingTable) -> tuple[str, ...]:
    """Return the days (YYYY-MM-DD) on which a table's rows were acquired, in order; () if unknown."""
    known = pc.unique(pc.strftime(pc.drop_null(table.columns["timestamp"]), format="%Y-%m-%d"))
    return tuple(sorted(known.to_pylist()))


def on_date(table: EmbeddingTable, day: str) -> EmbeddingTable:
    """Return the rows acquired on a day (YYYY-MM-DD). Raises TableError if there are none."""
    days = pc.strftime(table.columns["timestamp"], format="%Y-%m-%d")
    rows = np.flatnonzero(pc.fill_null(pc.equal(days, day), False).to_numpy())
    if not len(rows):
        known = dates_of(table)
        listed = ", ".join(known[:12]) if known else "not known"
        raise TableError(f"{table.name} has no row of {day}: its dates are {listed}.")
    return table.take(rows)


def first_and_last(table: EmbeddingTable) -> tuple[EmbeddingTable, EmbeddingTable]:
    """Split a table into the rows of its first and of its last day. Raises TableError for a single day."""
    days = dates_of(table)
    if len(days) < 2:
        raise TableError(
            f"{table.name} holds {'one date' if days else 'no dates'}: give a second table of the same "
            "ground, or embed scenes of two dates together."
        )
    return on_date(table, days[0]), on_date(table, days[-1])


def _pairs(before: EmbeddingTable, after: EmbeddingTable) -> SamePlaces:
    _require_same_recipe(before, after)
    pairs = pairs_of(before, after)
    if len(pairs.a) < FEWEST:
        raise TableError(
            f"{before.name} and {after.name} share {len(pairs.a)} places: crop both scenes to the same "
            "extent, then embed them at the same scale and tile size."
        )
    return pairs


def _require_same_recipe(one: EmbeddingTable, two: EmbeddingTable) -> None:
    message = mixture(join_recipes([one.recipes, two.recipes]))
    if message:
        raise TableError(f"{one.name} and {two.name} cannot be compared. {message}")


def _distance(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine distance (m,) of vectors (m, d); the first are unit vectors."""
    length = np.maximum(np.linalg.norm(new, axis=1), 1e-12)
    return np.clip(1 - np.einsum("ij,ij->i", old, new) / length, 0, 2).astype(np.float32)
