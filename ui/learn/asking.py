"""Widgets for questions and for the controls of a lesson."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from core.geo.gazetteer import LONGEST
from core.lessons.questions import Choice, Number, Patches, Place, Ranking
from core.lessons.spec import Finding, Lesson, Options, Paint, Setting, Slider
from core.masking import make_mask, mask_from_text, mask_to_text
from core.viz.sheet import jpeg
from ui.pickers import controls
from ui.shell import state
from ui.shell.escaping import plain
from ui.shell.style import PAINTER_ROOM


def ask(lesson: Lesson, shown: Finding) -> Any:
    """Show the widget of a lesson's question; returns what was entered, still unchecked."""
    question, name = lesson.question, f"predict {lesson.id}"
    match question:
        case Number():
            unit = f", {question.unit}" if question.unit else ""
            label = f"Your prediction{unit} ({question.low:g} to {question.high:g})"
            return st.text_input(label, key=state.widget(name, ""), max_chars=20, placeholder="a number")
        case Choice():
            return st.radio("Your prediction", question.options, index=None, key=name, format_func=plain)
        case Ranking():
            columns = st.columns(len(question.options))
            places = ("Best", "Second", "Third", "Fourth", "Fifth")
            return [
                column.selectbox(
                    place, question.options, index=None, key=f"{name} {place}", format_func=plain
                )
                for column, place in zip(columns, places, strict=False)
            ]
        case Patches():
            return _patches(lesson, shown)
        case Place():
            label = "Your prediction (a town, a country, a desert, or latitude and longitude)"
            return st.text_input(
                label, key=state.widget(name, ""), max_chars=LONGEST, placeholder="such as Lima, or -12, -77"
            )


def _patches(lesson: Lesson, shown: Finding) -> Any:
    """The painter on the first picture of the setup, empty at first."""
    from earth_mae_components import mask_painter, painted

    assert shown.grid is not None
    rows, cols = shown.grid.shape
    key, name = f"predict {lesson.id} {rows}", f"marked {lesson.id} {rows}"
    marked = state.recall(name, np.zeros((rows, cols), bool))
    if (drawing := painted(rows, cols, key)) is not None:
        marked = np.asarray(drawing.mask)
        state.keep(name, marked)
    with st.container(key=PAINTER_ROOM):
        mask_painter(
            jpeg(shown.pictures[-1].pixels),
            rows,
            cols,
            marked,
            key,
            label="Your prediction",
            max_width_px=380,
        )
    st.caption(
        f"Click a patch to mark it, or move with the arrow keys and press space. Marked: {marked.sum():d}."
    )
    return marked


def settings(lesson: Lesson, shown: Finding) -> dict[str, Setting]:
    """Show the controls of a lesson; returns their values."""
    values: dict[str, Setting] = {}
    for control in lesson.controls:
        key = f"act {lesson.id} {control.name}"
        match control:
            case Slider():
                values[control.name] = st.slider(
                    control.label,
                    float(control.low),
                    float(control.high),
                    step=float(control.step),
                    key=state.widget(key, float(control.start)),
                    format="%g " + control.unit.replace("%", "%%"),
                )
            case Options():
                values[control.name] = st.selectbox(
                    control.label, control.options, key=state.widget(key, control.start), format_func=plain
                )
            case Paint():
                values[control.name] = _paint(lesson, control, shown)
    return values


def _paint(lesson: Lesson, control: Paint, shown: Finding) -> str:
    from earth_mae_components import mask_painter, painted

    assert shown.grid is not None
    rows, cols = shown.grid.shape
    key, name = f"paint {lesson.id} {rows}", f"painted {lesson.id} {rows}"
    text: str = state.recall(name, control.start)
    if (drawing := painted(rows, cols, key)) is not None:
        text = mask_to_text(controls.painted(drawing.mask))
        state.keep(name, text)
    hidden = make_mask(mask_from_text(text), rows, cols).hidden
    mask_painter(
        jpeg(shown.pictures[0].pixels), rows, cols, hidden, key, label=control.label, max_width_px=380
    )
    return text
