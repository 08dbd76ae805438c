"""The lessons in order. Their ids stand in links and never change."""

from __future__ import annotations

from ..spec import Lesson
from .masking import PATCHES, SHAPES, SHARES, SPREAD
from .papers import RELATIONS, SMALL_DATA
from .scale import BAND_PASS, BANDS, GSD, WRONG_SCALE
from .vectors import CONTEXT, DIFFERENCE, GLOBE, MARKS, ORDER

LESSONS: tuple[Lesson, ...] = (
    PATCHES,
    SHARES,
    SHAPES,
    BANDS,
    GSD,
    WRONG_SCALE,
    SPREAD,
    CONTEXT,
    GLOBE,
    ORDER,
    MARKS,
    DIFFERENCE,
    RELATIONS,
    SMALL_DATA,
    BAND_PASS,
)


def find_lesson(name: str) -> Lesson | None:
    """Return the lesson with this id, or None."""
    return next((lesson for lesson in LESSONS if lesson.id == name), None)


__all__ = ["LESSONS", "find_lesson"]
