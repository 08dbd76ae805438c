"""Tabs of the Scale Lab: curves over scale, response to res, spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from core.engine.inputs import res_of
from core.engine.results import Reconstruction
from core.engine.scales import Scale
from core.errors import ExplorerError
from core.evaluation.stats.spectrum import radial_power
from core.judge import BANDS, band_errors, judge
from core.policy import POLICIES, Policy
from core.session import PageView
from core.units import decibels, metres
from core.viz.scales import drift_chart, error_chart, spectrum_chart
from ui.pickers import page_view
from ui.scale_lab.accuracy import accuracy
from ui.scale_lab.rows import NO_PICTURE
from ui.shell import cached, state
from ui.shell.escaping import plain

RES = tuple(float(f"{res:.3g}") for res in np.geomspace(0.1, 300, 17))
TABS: tuple[str, ...] = (
    "Rows",
    "Animation",
    "Curves",
    "Sensitivity to the scale input",
    "Spectrum",
    "Patches",
)
COMPARED = tuple(name for name, policy in POLICIES.items() if not policy.takes_value)
TIE_DB = 0.05
"""Policies whose PSNR differs by less tie: nobody sees the difference, and another mask may reverse it."""


def curves(scales: Sequence[Scale], views: Sequence[PageView], rows: Sequence[Reconstruction]) -> None:
    """Error per band (for networks with a decoder) and embedding drift, against the GSD as fed."""
    gsds = [scale.gsd_m for scale in scales]
    own = next((n for n, scale in enumerate(scales) if scale.own), None)
    own_at, axis = (
        {} if own is None else {"own scale": scales[own].gsd_m},
        "ground sample distance as fed (m)",
    )
    left, right = st.columns(2, gap="medium")
    if rows:
        errors = [band_errors(row) for row in rows]
        bands = {band: [error[band] if error else None for error in errors] for band in BANDS}
        with left:
            st.markdown("**Error of each band**")
            st.plotly_chart(error_chart(gsds, bands, axis, own_at), key="error by scale")
            st.caption("Mean over hidden pixels, each scale at its own size.")
    with right if rows else left:
        st.markdown("**Embedding drift**")
        if own is not None:
            vectors = cached.vectors(views)
            st.plotly_chart(
                drift_chart(gsds, [cosine(vector, vectors[own]) for vector in vectors], axis, own_at),
                key="drift by scale",
            )
            st.caption(
                "Cosine similarity between the image embedding at each scale and at the tile's own scale."
            )
    accuracy(views[0] if own is None else views[own])


def sensitivity(scales: Sequence[Scale], views: Sequence[PageView], rows: Sequence[Reconstruction]) -> None:
    """Error and drift at one scale against res, with a mark for each policy, and the best one's recipe."""
    model = views[0].model
    card = cached.card_of(model)
    if not card.gsd_aware:
        st.info(
            f"{plain(model)} has a static positional encoding, so no policy changes "
            "its output. Choose a GSD-aware model, such as Scale-MAE."
        )
        return
    start = next((n for n, scale in enumerate(scales) if scale.own), 0)
    steps = range(len(scales))
    chosen = st.select_slider(
        "Scale", steps, start, format_func=lambda n: metres(scales[n].gsd_m), key=f"sensitivity {len(scales)}"
    )
    base = replace(views[chosen], selection="")
    ready = cached.prepared(base)
    at = {
        name: res_of(card, Policy(name), ready.fed.tile.gsd, ready.fed.side, ready.tile.native_gsd_m)
        for name in COMPARED
    }
    res = sorted({*RES, *at.values()})
    tried = [replace(base, policy=Policy("manual", value)) for value in res]
    left, right = st.columns(2, gap="medium")
    by_res: dict[float, Reconstruction] = {}
    errors: dict[float, Any] = {}
    if rows:
        with st.spinner(f"{len(tried)} values of res", show_time=True):
            done = {
                n: out
                for n, out in cached.reconstructions(tried, state.session_id())
                if not isinstance(out, ExplorerError)
            }
        by_res = {res[n]: out for n, out in done.items()}
        errors = {value: band_errors(out) or {} for value, out in by_res.items()}
        bands = {band: [errors.get(value, {}).get(band) for value in res] for band in BANDS}
        with left:
            st.markdown("**Error of each band**")
            st.plotly_chart(error_chart(res, bands, "res", at), key="error by res")
    with right if rows else left, st.spinner(f"{len(tried)} values of res", show_time=True):
        own = cached.vectors([base])[0]
        drift = [cosine(vector, own) for vector in cached.vectors(tried)]
        st.markdown("**Embedding drift**")
        st.plotly_chart(drift_chart(res, drift, "res", at), key="drift by res")
    if rows:
        _best_policy(base, at, {name: by_res[value] for name, value in at.items() if value in by_res})
    else:
        st.caption(f"{NO_PICTURE} To compare policies, use kNN over scales under Curves.")


def _best_policy(base: PageView, at: Mapping[str, float], rows: Mapping[str, Reconstruction]) -> None:
    """List the policies by PSNR, say whether they differ, and show the recipe of the best one."""
    scored = {name: judge(row, ()).model.psnr for name, row in rows.items() if row.scored.any()}
    if not scored:
        st.caption("No patch is hidden at this scale, so there is no error to compare.")
        return
    ranked = sorted(scored.items(), key=lambda item: -item[1])
    table = [
        {"Policy": name, "res": round(at[name], 3), "PSNR of hidden pixels": decibels(psnr)}
        for name, psnr in ranked
    ]
    st.dataframe(table, hide_index=True, width="stretch")
    st.markdown(policy_verdict(scored))
    tied = best_policies(scored)
    best = tied[0]
    if base.policy.name not in tied and st.button(f"Use {plain(best)}", icon=":material/check:"):
        state.jump(replace(page_view.current_view(), policy=Policy(best)))
    st.code(
        replace(base, policy=base.policy if base.policy.name in tied else Policy(best)).to_command(),
        "bash",
        wrap_lines=True,
    )
    st.caption("One tile and one mask are weak evidence. Try several places before you adopt this recipe.")


def best_policies(scored: Mapping[str, float]) -> list[str]:
    """The policies whose PSNR in decibels is within TIE_DB of the highest, best first."""
    highest = max(scored.values())
    return sorted(
        (name for name, psnr in scored.items() if highest - psnr < TIE_DB), key=lambda n: -scored[n]
    )


def policy_verdict(scored: Mapping[str, float]) -> str:
    """One sentence in Markdown: how much the policy matters, and which is best unless they tie."""
    best, highest = best_policies(scored), max(scored.values())
    spread = decibels(highest - min(scored.values()))
    if len(best) == len(scored):
        return f"**GSD hardly matters to this network here:** {spread} between policies, so none is best."
    rest = decibels(highest - max(psnr for name, psnr in scored.items() if name not in best))
    names = [f"**{plain(name)}**" for name in best]
    if len(names) > 1:
        tied = f"{', '.join(names[:-1])} and {names[-1]}"
        return f"{tied} tie, {rest} ahead of the next policy; {spread} between the best and the worst."
    return (
        f"{names[0]} is best here, {rest} ahead of the next policy and {spread} ahead of the worst: "
        f"{plain(POLICIES[best[0]].summary)}."
    )


def spectra(scales: Sequence[Scale], _views: Sequence[PageView], rows: Sequence[Reconstruction]) -> None:
    """Power spectra of truth and prediction at chosen scales."""
    if not rows:
        st.info(NO_PICTURE)
        return
    found = range(len(rows))
    name = [metres(scale.gsd_m) for scale in scales]
    start = dict.fromkeys((0, next((n for n in found if scales[n].own), 0), len(rows) - 1))
    chosen = st.multiselect(
        "Scales",
        found,
        list(start),
        format_func=name.__getitem__,
        max_selections=4,
        key=f"spectra {len(scales)}",
        select_all=False,
    )
    pasted = st.toggle(
        "Visible patches restored",
        key="spectra pasted",
        help="Off: the network's output at visible patches too, which the training loss does not cover.",
    )
    if not chosen:
        st.info("Choose at least one scale above.")
        return
    for n in chosen:
        result, gsd = rows[n], rows[n].recipe.gsd
        pair = radial_power(result.target), radial_power(result.pasted if pasted else result.combined)
        st.plotly_chart(
            spectrum_chart({name[n]: pair}, gsd * result.recipe.input_px, gsd * result.recipe.patch_px),
            key=f"spectrum {n}",
        )
    st.caption(
        "Variance summed over rings of equal frequency, Hann window, mean of the three bands. Where the "
        "dotted line (prediction) is "
        "below the solid one (truth), the prediction is too smooth."
    )


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two vectors."""
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))
