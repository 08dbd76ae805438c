"""What words mean on this page: a place, a class of the labels, or what a text encoder reads in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core.atlas.analysis.label import Marks
from core.atlas.analysis.words import (
    WordQuery,
    matching_classes,
    query_of_class,
    query_of_place,
    query_of_text,
)
from core.atlas.labelling.sampling import class_marks
from core.atlas.search.text_encoder import TextEncoder
from core.errors import ExplorerError
from core.geo import gazetteer
from core.geo.gazetteer import NamedPlace, find_places
from core.geo.tile import GeoError
from ui.globe.panel_api import PanelContext
from ui.globe.panels import label, label_file
from ui.shell import cached

Kind = Literal["place", "class", "text"]
KINDS: tuple[Kind, ...] = ("place", "class", "text")
TEXT_ENCODER_VARIABLE = "EARTH_MAE_TEXT_ENCODER"


@dataclass(frozen=True)
class Meaning:
    """One thing that words may stand for; `name` is the class or the words, and places have their `place`."""

    kind: Kind
    name: str
    place: NamedPlace | None = None

    @property
    def title(self) -> str:
        """What a button or a list calls it."""
        if self.place is not None:
            return self.place.label
        return f"Tiles labelled “{self.name}”" if self.kind == "class" else f"Pictures of “{self.name}”"


def can_search(context: PanelContext) -> bool:
    """Tell whether any words can find something in this table."""
    return bool(_has_places(context) or _classes(context) or os.environ.get(TEXT_ENCODER_VARIABLE))


def meanings(context: PanelContext, text: str, most: int) -> tuple[Meaning, ...]:
    """Return what words may mean, at most `most` places among it: a class of just this name comes first.

    Raises an ExplorerError, which says what words can find here, if they mean nothing.
    """
    text = " ".join(text.split())
    names = matching_classes(text, _classes(context))
    exact = [name for name in names if name.casefold() == text.casefold()]
    found, problem = _places(context, text, most)
    encoder, without = _encoder(context)
    meant = [
        *(Meaning("class", name) for name in exact),
        *(Meaning("place", place.label, place) for place in found),
        *(Meaning("class", name) for name in names[:most] if name not in exact),
        *([Meaning("text", text)] if encoder is not None and gazetteer.coordinates(text) is None else []),
    ]
    if not meant:
        raise ExplorerError(f"{problem} {without}")
    return tuple(meant)


def query(context: PanelContext, meaning: Meaning) -> WordQuery:
    """Turn a meaning into a query, cached for equal ones. Raises an ExplorerError."""
    if meaning.place is not None:
        return query_of_place(context.table, meaning.place)
    table, marks = context.table, _classes(context).get(meaning.name) if meaning.kind == "class" else None

    def make() -> WordQuery:
        if marks is not None:
            return query_of_class(table, meaning.name, {meaning.name: marks})
        encoder, without = _encoder(context)
        if encoder is None:
            raise ExplorerError(without)
        return query_of_text(table, meaning.name, encoder)

    return cached.result_cache("words", 24).get_or_compute((table.fingerprint, meaning, marks), make)


def help_text() -> str:
    """Say which words can be searched for on this server."""
    pictures = (
        "and descriptions of what a picture shows, if the text encoder's image half made the table."
        if os.environ.get(TEXT_ENCODER_VARIABLE)
        else "but no descriptions such as “a harbour”: this server has no text encoder."
    )
    return (
        "Towns and countries in many languages, coordinates, classes of the labels in the tab Label, "
        f"{pictures}"
    )


def _has_places(context: PanelContext) -> bool:
    return bool(np.isfinite(context.lonlat).any())


def _places(context: PanelContext, text: str, most: int) -> tuple[tuple[NamedPlace, ...], str]:
    """Return the places of a name, or why there are none. Raises GeoError for impossible coordinates."""
    if not _has_places(context):
        return (), "This table does not say where its rows are, so names of places find nothing."
    gazetteer.coordinates(text)
    try:
        return find_places(text, most), ""
    except GeoError as problem:
        return (), str(problem)


def _classes(context: PanelContext) -> dict[str, Marks]:
    """Return the classes of this session's labels: of the file that was learned from, and of the marks."""
    samples = label_file.learned_from(context)
    return {**({} if samples is None else class_marks(samples)), **label.marked_class(context)}


def _encoder(context: PanelContext) -> tuple[TextEncoder | None, str]:
    """Return the server's text encoder, or in a sentence why it cannot describe this table."""
    stated = os.environ.get(TEXT_ENCODER_VARIABLE, "")
    if not stated:
        return None, (
            "Words that describe pictures find nothing here, because this server has no text encoder; "
            "classes are known once you label tiles in the tab Label."
        )

    def make() -> tuple[TextEncoder | None, str]:
        try:
            encoder = cached.result_cache("text encoders", 2).get_or_compute(
                stated, lambda: TextEncoder(Path(stated))
            )
            encoder.require_pair(context.table)
        except ExplorerError as problem:
            return None, str(problem)
        return encoder, ""

    key = (context.table.fingerprint, stated)
    return cached.result_cache("text encoder of a table", 8).get_or_compute(key, make)
