"""The tabs under the Mask Lab's pictures: errors, comparison, uncertainty, masking ratios, models, export."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from core.engine.results import Reconstruction
from core.judge import ERRORS, judge
from core.session import PageView
from core.units import decibels
from core.viz.charts import ratio_chart
from core.viz.maps import animation, error_panels, fill_panels, scale_bar, spread_panels
from core.viz.pictures import Panel, panels, png, stretch_of
from core.viz.sheet import sheet
from ui.mask_lab.exports import exports
from ui.mask_lab.lab import PLACE
from ui.pickers import controls, model_picker
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence
from ui.shell.waiting import position

LOSS_COVERS_HIDDEN = """
The training loss covers hidden patches only: the network is never trained to reproduce what it can see. Its
output at visible patches is therefore often worse than at hidden ones, with seams between them. This is
expected. Judge the hidden patches, and use the true pixels elsewhere.
"""
COLOURS = {"All bands": None, "Red": 0, "Green": 1, "Blue": 2}
KINDS = {"l1": "Absolute", "squared": "Squared", "ssim": "1 - SSIM"}
PICTURES = {
    "original": "Original",
    "combined": "Reconstruction",
    "pasted": "Visible patches restored",
    "low": "Low frequencies",
    "pinned": "Pinned result",
}


def errors(view: PageView, result: Reconstruction) -> None:
    """Error maps on one colour scale, and the baseline fills as pictures."""
    left, middle, right = st.columns([1.3, 1.3, 1], vertical_alignment="bottom")
    kind = (
        left.segmented_control(
            "Error", list(KINDS), default="l1", format_func=KINDS.__getitem__, key="error", required=True
        )
        or "l1"
    )
    colour = (
        middle.segmented_control("Bands", list(COLOURS), default="All bands", key="error of", required=True)
        or "All bands"
    )
    hidden_only = right.toggle(
        "Hidden pixels only",
        key="judged",
        help="Fades the visible patches, which the training loss does not cover.",
    )
    maps, full = error_panels(result, kind, COLOURS[colour], judged_only=hidden_only)
    st.html(sheet(maps, place=PLACE))
    st.html(scale_bar(full, f"{ERRORS[kind]}, the same scale in all three"))
    with st.expander("Why visible patches look worse", icon=":material/visibility_off:"):
        st.markdown(LOSS_COVERS_HIDDEN)
    if result.scored.any():
        st.markdown("## Compared with classical interpolation")
        place = st.empty()
        draw = position(lambda ahead: place.caption("Computing the fills …" if ahead else " "))
        verdict = cached.verdict(view, result, state.session_id(), draw)
        place.html(sheet(fill_panels(result, verdict), abreast=4, place=PLACE))
        st.caption(
            "Hidden pixels filled in without a network; visible pixels are the true ones. PSNR over hidden "
            "pixels. A useful network beats all of these fills."
        )


def comparison(view: PageView, result: Reconstruction) -> None:
    """Wipe or flip between two pictures, or with a pinned one; the pointer reads the values of both."""
    from earth_mae_components import compare

    pinned: PageView | None = state.recall("pinned", None)
    left, middle, right = st.columns([1, 1, 1], vertical_alignment="bottom")
    names = [name for name in PICTURES if name != "pinned" or pinned]
    one = left.selectbox("Left", names, format_func=PICTURES.__getitem__, key="compare left")
    other = middle.selectbox(
        "Right",
        names,
        index=len(names) - 1 if pinned else 1,
        format_func=PICTURES.__getitem__,
        key=f"compare right {bool(pinned)}",
    )
    right.button(
        "Pin this result",
        icon=":material/push_pin:",
        on_click=state.keep,
        args=("pinned", view),
        width="stretch",
    )
    pictures: dict[str, Panel] = {panel.name: panel for panel in panels(result)}
    if pinned:
        pinned_result = cached.reconstruction(pinned, state.session_id())
        pixels = stretch_of(result).draw(pinned_result.combined)
        pictures["pinned"] = replace(pictures["combined"], pixels=pixels)
    low, high = pictures["original"].value_range
    compare(
        png(pictures[one].pixels),
        png(pictures[other].pixels),
        left_label=PICTURES[one],
        right_label=PICTURES[other],
        value_range=(low, high),
        digits=3,
        key="compare",
    )
    if pinned:
        st.caption(f"Pinned: {plain(pinned_result.recipe.caption())}")


def uncertainty(view: PageView, result: Reconstruction) -> None:
    """Mean and standard deviation over many masks of one kind and ratio."""
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    count = left.select_slider("Masks", [4, 8, 16, 32, 64], 16, key="masks")
    if not right.button("Draw the masks", type="primary", icon=":material/casino:") and state.recall(
        "many", None
    ) != (view, count):
        st.caption(
            "Mean, standard deviation, and how often each patch is "
            "hidden, over many masks of this kind and ratio."
        )
        return
    state.keep("many", (view, count))
    place, bar = st.empty(), st.progress(0.0)

    def say(sentence: str) -> None:
        st.caption(plain(sentence))

    for spread in cached.spreads(view, count, state.session_id(), say):
        place.html(sheet(spread_panels(result, spread), place=PLACE))
        bar.progress(spread.done / spread.total, f"{spread.done} of {spread.total} masks")
    bar.empty()
    st.caption(
        "Per pixel, over the masks that hide it; a pixel that no mask hides shows the truth. "
        "Where the standard deviation is high, the prediction depends strongly on which patches are visible."
    )


def ratio_sweep(view: PageView, result: Reconstruction) -> None:
    """Reconstruct at ten masking ratios: scores as a curve, pictures at a chosen ratio, and an animation."""
    if not st.button("Run the sweep", type="primary", icon=":material/play_arrow:") and state.recall(
        "swept", None
    ) != sweep_of(view):
        st.caption(
            "Ten masking ratios from 5 % to 95 %. Each mask hides the patches of the one before, and more."
        )
        return
    state.keep("swept", sweep_of(view))
    with st.spinner("Ten reconstructions", show_time=True):
        steps = cached.sweep(view, state.session_id())
    verdicts = [judge(step.reconstruction) for step in steps]
    lines = {
        "model": [v.model.psnr for v in verdicts],
        **{name: [v.fills[name].psnr for v in verdicts] for name in verdicts[0].fills},
    }
    st.plotly_chart(
        ratio_chart([step.ratio for step in steps], lines, result.recipe.model), key="sweep chart"
    )
    chosen = st.select_slider(
        "Masking ratio",
        range(len(steps)),
        len(steps) // 2,
        format_func=lambda n: f"{steps[n].ratio:.0%}",
        key="sweep step",
    )
    shown = {panel.name: panel for panel in panels(steps[chosen].reconstruction)}
    st.html(sheet([shown[name] for name in ("masked", "combined", "original")], place=PLACE))
    with st.expander("As an animation", icon=":material/animation:"):
        film = animation([step.reconstruction for step in steps])
        st.image(film, width=460, alt="The reconstruction at increasing masking ratios")
        st.download_button("Animation (WebP)", film, "unmasking.webp", "image/webp", on_click="ignore")


def sweep_of(view: PageView) -> tuple[Any, ...]:
    """What a ratio series depends on."""
    return view.model, view.tile, view.policy, replace(view.mask, ratio=0.5)


def models_side_by_side(view: PageView, result: Reconstruction) -> None:
    """Several models under the same mask."""
    offered = model_picker.preset_names(untrained=model_picker.show_untrained("models"), kept=(view.model,))
    names = [name for name in offered if cached.cards()[name].reconstructs]
    default = [name for name in names if cached.cards()[name].trained][:3] or names[:2]
    chosen = st.multiselect(
        "Models",
        [*names, *model_picker.file_names()],
        default=default,
        max_selections=6,
        key="models",
        format_func=model_picker.model_label,
        select_all=False,
    )
    rows: list[Panel] = []
    for name in chosen:
        card = cached.card_of(name)
        policy = view.policy if name == view.model else controls.policy_of(card)
        tile = replace(view.tile, size_px=None) if name != view.model else view.tile
        other = cached.reconstruction(replace(view, model=name, policy=policy, tile=tile), state.session_id())
        scores = judge(other, ()).model
        picture = next(panel for panel in panels(other) if panel.name == "pasted")
        rows.append(
            replace(
                picture,
                name=f"model-{name}",
                title=model_picker.model_label(name),
                note=f"{decibels(scores.psnr)}, SSIM {scores.ssim:.3f} · {other.recipe.input_px} px",
            )
        )
    st.html(sheet([next(p for p in panels(result) if p.name == "masked"), *rows], abreast=4, place=PLACE))
    st.caption(
        "Visible patches restored. PSNR over hidden pixels, at "
        "each model's own input size and default policy."
    )


SECTIONS = {
    "Errors": errors,
    "Compare": comparison,
    "Uncertainty (Monte Carlo)": uncertainty,
    "Masking-ratio sweep": ratio_sweep,
    "Models": models_side_by_side,
    "Export": exports,
}


@st.fragment
def sections(view: PageView, result: Reconstruction) -> None:
    """The sections as tabs. Only the open one is computed; its controls rerun it alone."""
    tabs = st.tabs(list(SECTIONS), key="tab", bind="query-params")
    for tab, draw in zip(tabs, SECTIONS.values(), strict=True):
        if tab.open:
            with tab, in_a_sentence():
                draw(view, result)
