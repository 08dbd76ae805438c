"""Search by words, offline: names of places, classes learnt from labels, and a user's own text encoder.

No network here understands words by itself. Each way turns them into a vector that rows are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...geo.gazetteer import NamedPlace
from ...units import metres
from ..errors import SearchError
from ..search.text_encoder import TextEncoder
from ..store.table import EmbeddingTable
from .label import Marks, fit

MOST_EXAMPLES = 250
"""Marks of a kind that a class is learnt from; more hardly change the order of the rows."""
SHOWN_CLASSES = 12
FAR_KM = 500.0
"""Distance of the nearest tile from which a table may not cover a place."""


@dataclass(frozen=True, eq=False)
class WordQuery:
    """What words stand for: a (d,) query, a description of it, and the rows to leave out of the results.

    `note` says in a sentence how far away the place is, or how well the class is learnt.
    """

    vector: NDArray[np.floating]
    title: str
    exclude: tuple[int, ...] = ()
    note: str = ""


def query_of_place(
    table: EmbeddingTable, place: NamedPlace, among: NDArray[np.bool_] | None = None
) -> WordQuery:
    """Return the vector of the row (of the (n,) `among`, if given) that is nearest to a place.

    Raises TableError for a table without places.
    """
    row = table.nearest_place(place.lon, place.lat, among)
    km = table.distance_km(row, place.lon, place.lat)
    far = " This table may not cover the place." if km > FAR_KM else ""
    note = f"The centre of the nearest tile is {metres(1000 * km)} away.{far}"
    return WordQuery(table.vectors_of([row])[0], f"the ground near {place.label}", (row,), note)


def query_of_class(table: EmbeddingTable, words: str, classes: Mapping[str, Marks]) -> WordQuery:
    """Return what a classifier learnt from the labels of a class: the direction in which it ranks rows.

    `classes` hold rows of each class and rows of others. Raises SearchError for a class without labels.
    """
    names = matching_classes(words, classes)
    if not names:
        known = ", ".join(list(classes)[:SHOWN_CLASSES]) or "none"
        raise SearchError(f"No class is called “{words:.60}”; the labels have: {known}.")
    marks = classes[names[0]]
    learnt = fit(table, Marks(_some(marks.yes), _some(marks.no)))
    if not learnt.weight.any():
        raise SearchError(
            f"The labels of “{names[0]:.60}” look like all others to this table's network: "
            "add labels, or search by an example."
        )
    held_out = (
        ""
        if learnt.accuracy is None
        else f"; on held-out tiles its balanced accuracy is {learnt.accuracy:.0%} (chance is 50 %)"
    )
    note = (
        f"A classifier learnt the class from {len(learnt.marks.yes):,} of its tiles and "
        f"{len(learnt.marks.no):,} others{held_out}."
    )
    return WordQuery(learnt.weight, f"tiles labelled “{names[0]}”", note=note)


def query_of_text(table: EmbeddingTable, words: str, encoder: TextEncoder) -> WordQuery:
    """Return the vector of words by a text encoder whose image half made the table. Raises SearchError."""
    encoder.require_pair(table)
    note = "Cosines between words and pictures are low even for good matches: compare only their order."
    return WordQuery(encoder.vector(words), f"“{words}”, read by {encoder.path.name}", note=note)


def matching_classes(words: str, classes: Mapping[str, Marks]) -> tuple[str, ...]:
    """Return the names that words may mean: equal ones first, then those that begin with or contain them."""
    asked = words.strip().casefold()
    if not asked:
        return ()
    ranked = [(_rank(asked, name.strip().casefold()), name) for name in classes]
    return tuple(name for rank, name in sorted(ranked, key=lambda one: one[0]) if rank < 3)


def _rank(asked: str, name: str) -> int:
    return 0 if name == asked else 1 if name.startswith(asked) else 2 if asked in name else 3


def _some(rows: tuple[int, ...]) -> tuple[int, ...]:
    if len(rows) <= MOST_EXAMPLES:
        return rows
    chosen = np.random.default_rng(0).choice(len(rows), MOST_EXAMPLES, replace=False)
    return tuple(rows[at] for at in np.sort(chosen).tolist())
