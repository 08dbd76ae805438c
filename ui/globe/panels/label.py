"""The panel "Label": the user marks a few places yes or no, and a classifier colours all by probability.

Labels from a file are in `label_file`.

Marks are stored on the server under a key in the page's address (`labels=`). Anyone with the link sees them;
the first mark that another person makes starts their own copy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.atlas.analysis.label import Labeller, Marks, fit, suggest, variety
from core.atlas.analysis.marking import Label, Sheet, load_sheet, new_key, save_sheet
from core.atlas.search.neighbors import top
from core.errors import ExplorerError
from core.viz.theme import HEAT, colour_map
from ui.globe import panel_api as api
from ui.globe.map.colour import EncodedLayer, encode
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels import label_file
from ui.globe.panels.downloads import downloads
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import ROOT

LABELS = Path(os.environ.get("EARTH_MAE_LABELS", ROOT / "labels"))
SHOWN = 8
FLAT = 0.02
_HELD, _OWN, _SEED = "globe label held", "globe label own", "globe label seed"
WAYS = ("By example", "From a file")
WORDS: dict[Label, str] = {"yes": "Yes", "no": "No"}
KEYS: dict[Label, str] = {"yes": "y", "no": "n"}


@dataclass(frozen=True, eq=False)
class FittedMarks:
    """A classifier fitted to marks, each row's probability, and the layer that shows it."""

    labeller: Labeller
    probability: NDArray[np.float32]
    layer: Layer

    @property
    def flat(self) -> bool:
        """Whether all probabilities are about equal, so that there is no map to show."""
        known = self.probability[np.isfinite(self.probability)]
        return not len(known) or float(np.ptp(known)) < FLAT


def draw(context: PanelContext) -> None:
    """Let the user choose between marks and a file; show places to mark, what was learned, and downloads."""
    way = st.segmented_control("Labels", WAYS, default=WAYS[0], required=True, key="label way")
    if way == WAYS[1]:
        label_file.draw(context)
        return
    context.table.require_one_model()
    sheet = _sheet()
    marks, missing = sheet.marks(context.table)
    fitted = fit_marks(context, sheet, marks)
    left, right = st.columns([1, 2.4], gap="large")
    with left:
        _title(sheet)
        _place(context, sheet)
        _summary(context, sheet, marks, missing, fitted)
    with right:
        _ask_for_marks(context, sheet, marks, fitted)
        if fitted is not None and not fitted.flat:
            _likely(context, sheet, marks, fitted)
        _marked(context, sheet, marks)
    if fitted is not None and not fitted.flat:
        api.show_layer(fitted.layer)


def fit_marks(context: PanelContext, sheet: Sheet, marks: Marks) -> FittedMarks | None:
    """Fit a classifier to marks, cached for equal marks; None until there is a yes and a no."""
    if not marks.yes or not marks.no:
        return None

    def make() -> FittedMarks:
        labeller = fit(context.table, marks)
        probability = labeller.scores(context.table)
        probability.flags.writeable = False
        return FittedMarks(labeller, probability, layer_of(probability, sheet.title))

    return cached.result_cache("fitted", 12).get_or_compute(
        (context.table.fingerprint, marks, sheet.title), make
    )


def marked_class(context: PanelContext) -> dict[str, Marks]:
    """Return this session's marks under the name of what is looked for; {} without a name, a yes and a no."""
    _, sheet = state.recall(_HELD, ("", Sheet()))
    marks, _ = sheet.marks(context.table)
    return {sheet.title: marks} if sheet.title.strip() and marks.yes and marks.no else {}


def layer_of(probability: NDArray[np.float32], title: str) -> Layer:
    """Return the layer of probabilities (n,)."""
    note = "Predicted from your marks. Brighter is more likely; grey places have no vector."
    return Layer(
        f"Probability of {title or 'what you marked'}",
        values=probability,
        palette=colour_map(HEAT),
        note=note,
        limits=(0.0, 1.0),
    )


def colours_of(probability: NDArray[np.float32]) -> EncodedLayer:
    """Encode probabilities for the browser."""
    return encode(layer_of(probability, ""))


def _title(sheet: Sheet) -> None:
    title = st.text_input(
        "What are you looking for?",
        sheet.title,
        max_chars=80,
        placeholder="sand dunes, sea ice, cities ...",
        key=f"label title {sheet.title}",
    )
    if title != sheet.title:
        _change(replace(sheet, title=title))


def _place(context: PanelContext, sheet: Sheet) -> None:
    """Let the user mark the selected place."""
    if context.place is None:
        st.caption(":material/ads_click: Click a point on a map to mark it, or mark the pictures shown here.")
        return
    word = sheet.now().get(context.identity(context.place), "none")
    mark = {"yes": "marked yes", "no": "marked no", "none": "not marked"}[word]
    left, right = st.columns([1, 1.2], vertical_alignment="center")
    with left:
        api.picture_strip(context, [context.place], ["selected place"], key="label place")
    with right:
        st.caption(f"Selected place: {plain(mark)}.")
        if not context.table.stored.usable[context.place]:
            st.caption("This place has no vector, so it cannot be marked.")
            return
        with st.container(horizontal=True, gap="small"):
            for value, letter in KEYS.items():
                if st.button(
                    WORDS[value],
                    key=f"label place {value}",
                    shortcut=letter,
                    type="primary" if word == value else "secondary",
                ):
                    _mark(context, sheet, value, context.place)


def _summary(
    context: PanelContext, sheet: Sheet, marks: Marks, missing: int, fitted: FittedMarks | None
) -> None:
    """Show the number of marks, undo, the classifier's accuracy, and downloads."""
    st.markdown(f"**{len(marks.yes)}** yes · **{len(marks.no)}** no")
    if missing:
        st.caption(f"{missing:,} more of your marks are on places that are not among the rows shown.")
    with st.container(horizontal=True, gap="small"):
        if st.button("Undo mark", icon=":material/undo:", disabled=not sheet.log, key="label undo"):
            _change(sheet.undone(), context)
        if st.button(
            "Start over",
            icon=":material/restart_alt:",
            disabled=not sheet.log,
            key="label restart",
            help="A link to the current marks still opens them.",
        ):
            state.keep(_HELD, ("", Sheet()))
            api.set_panel_param("labels", "")
            api.colour_by("appearance")
            _rerun()
    if fitted is None:
        return
    st.markdown(_verdict(fitted.labeller))
    if fitted.flat:
        st.info(
            "**These marks contradict each other:** places marked yes and places marked no have nearly the "
            "same vectors, so there is no map "
            "yet. Mark more pictures, or remove a mark you are unsure about.",
            icon=":material/balance:",
        )
    else:
        share = float(np.nanmean(fitted.probability))
        st.caption(
            f"About {share * len(context.table):,.0f} of {len(context.table):,} places ({share:.1%}) are "
            "expected to show it."
        )
    st.markdown("**Download the map and your marks**")
    words = {row: word for word, rows in (("yes", marks.yes), ("no", marks.no)) for row in rows}
    columns = {
        "probability": fitted.probability,
        "mark": [words.get(row) for row in range(len(context.table))],
    }
    about = {
        "looked_for": sheet.title,
        "marked_yes": len(marks.yes),
        "marked_no": len(marks.no),
        "left_out_accuracy": fitted.labeller.accuracy,
    }
    downloads(
        context, sheet.title or "labels", columns, {"probability": fitted.probability}, about, key="label"
    )
    st.caption("Your marks are stored under this page's address. Copy it to return to them.")


def _verdict(labeller: Labeller) -> str:
    if labeller.accuracy is None or labeller.average_precision is None:
        return "Mark at least two of each kind to see the accuracy on held-out marks."
    return (
        f"On held-out marks: balanced accuracy **{labeller.accuracy:.0%}** (chance is 50 %), "
        f"average precision **{labeller.average_precision:.2f}**."
    )


def _ask_for_marks(context: PanelContext, sheet: Sheet, marks: Marks, fitted: FittedMarks | None) -> None:
    """Show the most informative places to mark next."""
    seed = int(state.recall(_SEED, 0))
    if fitted is not None:
        rows = suggest(context.table, fitted.labeller, SHOWN, probability=fitted.probability)
        st.markdown("## Mark these next")
        st.caption(
            "The classifier is least certain about these, and each represents many others. "
            "Yellow rings mark them on the maps."
        )
    elif not (marks.yes or marks.no):
        rows = variety(
            context.table,
            SHOWN,
            seed=seed,
            beside=()
            if context.place is None or not context.table.stored.usable[context.place]
            else (context.place,),
        )
        st.markdown("## Which of these show what you are looking for?")
        st.caption("Mark at least one yes and one no. The maps are then coloured by your marks.")
    else:
        kind = "no" if marks.yes else "yes"
        rows = variety(context.table, SHOWN, seed=seed, beside=[*marks.yes, *marks.no])
        st.markdown(f"## Now mark one {plain(kind)}")
        st.caption(f"One place that does {'not ' if kind == 'no' else ''}show it is enough to start.")
    captions = [f"{fitted.probability[row]:.0%}" if fitted and not fitted.flat else " " for row in rows]
    _strip(context, sheet, rows.tolist(), captions, "ask")
    api.ring_rows(rows.tolist())
    if fitted is None and st.button("Show others", icon=":material/casino:", key="label others"):
        state.keep(_SEED, seed + 1)
        _rerun()


def _likely(context: PanelContext, sheet: Sheet, marks: Marks, fitted: FittedMarks) -> None:
    """Show the most likely unmarked places, where mistakes are easy to see."""
    open_to = np.where(np.isfinite(fitted.probability), fitted.probability, -1.0).astype(np.float32)
    open_to[[*marks.yes, *marks.no]] = -1
    rows = [row for row in top(open_to, min(SHOWN, len(open_to))).tolist() if open_to[row] >= 0]
    if not rows:
        return
    st.markdown("## Most likely so far")
    _strip(context, sheet, rows, [f"{open_to[row]:.0%}" for row in rows], "likely")


def _marked(context: PanelContext, sheet: Sheet, marks: Marks) -> None:
    rows = [*marks.yes, *marks.no]
    if not rows:
        return
    with st.expander(f"Your {len(rows)} marks", icon=":material/checklist:"):
        shown = [*marks.yes[-24:], *marks.no[-24:]]
        captions = ["yes" if row in marks.yes else "no" for row in shown]
        clicked = api.picture_strip(
            context,
            shown,
            captions,
            key="label marks",
            actions=[("Remove", partial(_mark, context, sheet, "none"))],
        )
        if clicked is not None:
            api.select_place(clicked)


def _strip(context: PanelContext, sheet: Sheet, rows: list[int], captions: list[str], key: str) -> None:
    actions = [(WORDS[word], partial(_mark, context, sheet, word)) for word in ("yes", "no")]
    clicked = api.picture_strip(context, rows, captions, key=f"label {key}", actions=actions)
    if clicked is not None:
        api.select_place(clicked)


def _mark(context: PanelContext, sheet: Sheet, word: Label, row: int) -> None:
    """Mark a row, and update the map."""
    _change(replace(sheet, table=context.name).marked(context.identity(row), word), context)


def _change(sheet: Sheet, context: PanelContext | None = None) -> None:
    """Save changed marks under this session's own key, recolour the points, and rerun the page."""
    held, own = state.recall(_HELD, ("", Sheet())), state.recall(_OWN, frozenset())
    key = held[0] if held[0] in own else new_key()
    save_sheet(LABELS, key, sheet)
    state.keep(_OWN, own | {key})
    state.keep(_HELD, (key, sheet))
    api.set_panel_param("labels", key)
    if context is not None:
        fitted = fit_marks(context, sheet, sheet.marks(context.table)[0])
        if fitted is not None and not fitted.flat:
            api.show_layer(fitted.layer)
        elif api.shown_layer() is not None:
            api.colour_by("appearance")
    _rerun()


def _rerun() -> None:
    api.take_rerun_request()
    st.rerun()


def _sheet() -> Sheet:
    """Return the marks of this session, or those in the address."""
    key = api.panel_param("labels")
    held: tuple[str, Sheet] = state.recall(_HELD, ("", Sheet()))
    if not key or key == held[0]:
        api.set_panel_param("labels", held[0])  # the page's Undo may have gone back to before the first mark
        return held[1]
    try:
        sheet = load_sheet(LABELS, key)
    except ExplorerError as problem:
        st.warning(plain(problem), icon=":material/link_off:")
        return Sheet()
    state.keep(_HELD, (key, sheet))
    return sheet
