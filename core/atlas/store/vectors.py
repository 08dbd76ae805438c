"""The vectors of a table as stored, checked row by row: which can be used, and why others cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from ..errors import TableError
from .reading import TablePart, read_vectors

pc: Any = pyarrow.compute


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """The vectors of a table as stored: `values` (n, d) float32 or int8, zeros where not usable.

    `scale` (n,) float32 turns int8 into the network's values (None for floats). `usable` (n,) is False where
    the file has no vector, one that is not finite, or one of length zero. `inverse_norm` (n,) float32 is that
    of `values`, 0 where not usable.
    """

    values: NDArray[Any]
    scale: NDArray[np.float32] | None
    usable: NDArray[np.bool_]
    inverse_norm: NDArray[np.float32]
    problems: tuple[str, ...]

    def take(self, rows: NDArray[np.int64]) -> StoredVectors:
        """Keep some rows, in the order given."""
        scale = None if self.scale is None else self.scale[rows]
        return StoredVectors(
            self.values[rows], scale, self.usable[rows], self.inverse_norm[rows], self.problems
        )


@dataclass(frozen=True, eq=False)
class Unusable:
    """Rows (n,) that no search can use: not finite or absent, of an unreadable picture, or of length zero."""

    bad: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    zero: NDArray[np.bool_]

    @staticmethod
    def joined(pieces: Sequence[Unusable]) -> Unusable:
        """Join those of consecutive rows."""
        names = ("bad", "missing", "zero")
        return Unusable(*(np.concatenate([getattr(each, name) for each in pieces]) for name in names))

    def problems(self, columns: pa.Table) -> tuple[str, ...]:
        """Describe them in a sentence for each kind, with the first three rows of each."""
        kinds = (
            (self.bad, "a vector that holds NaN or infinity, or none at all"),
            (self.missing, "no vector because the picture could not be read there"),
            (self.zero, "a vector of length zero"),
        )
        sentences: list[str] = []
        for mask, what in kinds:
            rows = np.flatnonzero(mask)
            if len(rows):
                ids = ", ".join(str(columns["unique_id"][row].as_py()) for row in rows[:3].tolist())
                more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
                have = "row has" if len(rows) == 1 else "rows have"
                sentences.append(f"{len(rows):,} {have} {what} ({ids}{more}); left out of every search.")
        return tuple(sentences)


def read_stored(parts: list[TablePart], columns: pa.Table) -> StoredVectors:
    """Read the vectors of all parts; raises TableError if no row has a usable one, or widths differ."""
    stored, unusable = check(*read_vectors(parts), columns)
    problems = unusable.problems(columns)
    require_usable(stored.usable, problems)
    return StoredVectors(stored.values, stored.scale, stored.usable, stored.inverse_norm, problems)


def check(
    values: NDArray[Any], scale: NDArray[np.float32] | None, columns: pa.Table
) -> tuple[StoredVectors, Unusable]:
    """Find the usable rows of (n, d) `values`; those that are not finite are set to zero in place."""
    if values.dtype == np.int8:
        norm = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.int32).astype(np.float32))
        bad = np.zeros(len(values), bool)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.sqrt(np.einsum("ij,ij->i", values, values))
        bad = ~np.isfinite(norm)
        bad[bad] = ~np.isfinite(values[bad]).all(axis=1)
        values[bad] = 0
    missing = pc.equal(pc.fill_null(columns["status"], "ok"), "unreadable").to_numpy()
    usable = ~bad & ~missing & (norm > 0) & np.isfinite(norm)
    inverse = np.zeros(len(values), np.float32)
    inverse[usable] = 1 / norm[usable]
    unusable = Unusable(bad & ~missing, missing, ~usable & ~bad & ~missing)
    return StoredVectors(values, scale, usable, inverse, ()), unusable


def require_usable(usable: NDArray[np.bool_], problems: tuple[str, ...]) -> None:
    """Raise TableError if no row has a usable vector."""
    if not usable.any():
        raise TableError(f"No row has a usable vector. {' '.join(problems)} Embed the places again.")
