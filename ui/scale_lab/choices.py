"""Settings of the Scale Lab: scales, what stays constant, the patch; stored in the view's `selection`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import streamlit as st

from core.engine.scales import HOLDS, MASKED, MAX_SCALES, Scale, ScaleSpec, ladder
from core.models.registry import ModelCard
from core.session import PageView
from ui.pickers import controls
from ui.shell import cached, state
from ui.shell.escaping import plain

MARK = "scales"
HOLD_NAMES = {"ground": "Same ground", "pixels": "Same pixels"}
MASKED_NAMES = {"ground": "Ground", "patches": "Patches"}


@dataclass(frozen=True)
class Choices:
    """Settings of the Scale Lab.

    `hold`, `masked` and `count` are those of ScaleSpec; `band` is 1 for the true band-pass view; the others
    belong to the Patches tab (head -1 is the mean of all heads).
    """

    hold: str = "ground"
    masked: str = "ground"
    count: int = 8
    band: int = 0
    row: int = 5
    col: int = 5
    block: int = 12
    head: int = -1

    def to_text(self) -> str:
        """The settings that differ from the defaults, as text: `scales;hold:pixels;count:16`."""
        return ";".join(
            [
                MARK,
                *(
                    f"{f.name}:{getattr(self, f.name)}"
                    for f in fields(self)
                    if getattr(self, f.name) != f.default
                ),
            ]
        )


LIMITS: dict[str, Any] = {
    "hold": tuple(HOLDS),
    "masked": tuple(MASKED),
    "count": (2, MAX_SCALES),
    "band": (0, 1),
    "row": (0, 63),
    "col": (0, 63),
    "block": (1, 99),
    "head": (-1, 63),
}


def choices_from(text: str) -> tuple[Choices, tuple[str, ...]]:
    """Read settings from a selection; return them with a sentence for each part that is ignored."""
    mark, *parts = text.split(";")
    if text and mark != MARK:
        return Choices(), (
            f'The selection "{text[:40]}" in the link does not belong to the Scale Lab and was ignored.',
        )
    found, ignored = Choices(), []
    for part in parts:
        name, _, value = part.partition(":")
        limits = LIMITS.get(name, ())
        if value in limits:
            found = replace(found, **{name: value})
        elif (
            limits
            and isinstance(limits[0], int)
            and value.lstrip("-").isdecimal()
            and limits[0] <= int(value[:4]) <= limits[1]
        ):
            found = replace(found, **{name: int(value[:4])})
        else:
            ignored.append(f'"{part[:40]}" in the link is not a setting of the Scale Lab and was ignored.')
    return found, tuple(ignored)


def scale_controls(view: PageView) -> Choices:
    """Choose the number of scales, what stays constant, what is masked, and which bands are drawn."""
    was, ignored = choices_from(view.selection)
    for sentence in ignored:
        st.warning(plain(sentence), icon=":material/link_off:")
    controls.group("Scales")
    hold = (
        st.segmented_control(
            "Keep constant",
            list(HOLDS),
            format_func=HOLD_NAMES.__getitem__,
            key=state.widget("hold", was.hold),
            required=True,
            width="stretch",
        )
        or was.hold
    )
    st.caption(f"{HOLDS[hold]}.")
    count = st.slider(
        "Number of scales",
        2,
        MAX_SCALES,
        key=state.widget("count", was.count),
        help="Each scale is one reconstruction.",
    )
    masked = st.segmented_control(
        "Mask the same",
        list(MASKED),
        format_func=MASKED_NAMES.__getitem__,
        key=state.widget("masked", was.masked),
        required=True,
        width="stretch",
    )
    st.caption(f"{MASKED[masked or was.masked]}.")
    band = st.toggle(
        "True band-pass",
        key=state.widget("band", bool(was.band)),
        help=(
            "In the released networks, low is the whole picture at input size and high is "
            "everything finer than 7 x 7 blocks. This view splits truth and prediction at the "
            "frequency that the paper states: the second number of the band configuration. The app "
            "computes this split; it is not an output of the network."
        ),
    )
    patch = {name: state.widget_value(name, getattr(was, name)) for name in ("row", "col", "block", "head")}
    return replace(was, hold=hold, count=count, masked=masked or was.masked, band=int(band), **patch)


def scales_of(view: PageView, choices: Choices, card: ModelCard) -> tuple[Scale, ...]:
    """The scales of this view."""
    side = view.tile.size_px or card.input_px
    spec = ScaleSpec(view.tile, view.mask, choices.hold, choices.masked, choices.count)
    return ladder(
        spec,
        cached.catalogue().read,
        input_px=card.input_px,
        patch_px=card.patch_px,
        limits_m=controls.gsd_range(view.tile, side),
    )


def views_of(view: PageView, scales: tuple[Scale, ...]) -> list[PageView]:
    """One view per scale, which any lab can show."""
    return [replace(view, tile=scale.tile, mask=scale.mask, selection="") for scale in scales]
