"""The sections under the Scale Lab's rows: curves along the scale axis, the response to res, spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from core.engine.reconstruct import res_of
from core.engine.results import Reconstruction
from core.engine.scales import Scale
from core.errors import ExplorerError
from core.evaluation.spectrum import radial_power
from core.judge import BANDS, band_errors
from core.policy import POLICIES, Policy
from core.session import View
from core.viz.scales import drift_chart, error_chart, spectrum_chart
from ui import cached, controls, state
from ui.scale_accuracy import accuracy

RES = tuple(float(f"{res:.3g}") for res in np.geomspace(0.1, 300, 17))
COMPARED = tuple(name for name in POLICIES if name != "manual")
CLOSE = 1.02

Rows = dict[int, Reconstruction]


def curves(view: View, scales: Sequence[Scale], views: Sequence[View], rows: Rows) -> None:
    """Error per band and embedding drift against the GSD as fed."""
    found = sorted(rows)
    gsds = [scales[n].gsd_m for n in found]
    errors = [band_errors(rows[n]) for n in found]
    own = next(n for n, scale in enumerate(scales) if scale.own)
    vectors = dict(zip(found, cached.vectors([views[n] for n in found]), strict=True))
    own_at, axis = {"own scale": scales[own].gsd_m}, "metres per pixel as fed"
    bands = {band: [e and e[band] for e in errors] for band in BANDS}
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Error of each band**")
        st.plotly_chart(error_chart(gsds, bands, axis, own_at), key="error by scale")
    with right:
        st.markdown("**Embedding drift**")
        if own in vectors:
            drift = [cosine(vectors[n], vectors[own]) for n in found]
            st.plotly_chart(drift_chart(gsds, drift, axis, own_at), key="drift by scale")
    st.caption(
        "Left: over hidden pixels, each scale at its own size. Right: cosine between the whole picture's vector here and at the tile's own scale."
    )
    accuracy(view)


def response(view: View, scales: Sequence[Scale], views: Sequence[View], rows: Rows) -> None:
    """Error and drift of one scale against res; each policy is a mark, and the best is named with its recipe."""
    card = cached.card_of(view.model)
    if not card.gsd_aware:
        st.info(f"{view.model} has static positions: no policy changes what it paints. Choose a model that is told its scale, such as Scale-MAE.")
        return
    found = sorted(rows)
    start = next((n for n in found if scales[n].own), found[0])
    chosen = st.select_slider("At", found, start, format_func=lambda n: controls.metres(scales[n].gsd_m), key=f"response {len(scales)}")
    made, base = rows[chosen], replace(views[chosen], selection="")
    at = {name: res_of(card, Policy(name), made.recipe.gsd, made.recipe.input_px, made.recipe.native_gsd_m) for name in COMPARED}
    asked = [replace(base, policy=Policy("manual", res)) for res in sorted({*RES, *at.values()})]
    with st.spinner(f"{len(asked)} values of res", show_time=True):
        done = {n: out for n, out in cached.reconstructions(asked, state.session_id()) if not isinstance(out, ExplorerError)}
    errors = {asked[n].policy.value: band_errors(out) for n, out in done.items()}
    res = sorted(errors)
    own = cached.vectors([base])[0]
    drift = [cosine(vector, own) for vector in cached.vectors([replace(base, policy=Policy("manual", value)) for value in res])]
    left, right = st.columns(2, gap="medium")
    bands = {band: [(errors[r] or {}).get(band) for r in res] for band in BANDS}
    left.plotly_chart(error_chart(res, bands, "res", at), key="error by res")
    right.plotly_chart(drift_chart(res, drift, "res", at), key="drift by res")
    scored = {name: errors[value]["combined"] for name, value in at.items() if errors.get(value)}
    if not scored:
        st.caption("Nothing is hidden at this scale, so there is no error to compare.")
        return
    best = min(scored, key=scored.__getitem__)
    ranked = sorted(scored.items(), key=lambda item: item[1])
    rows_said = [{"Policy": name, "res": round(at[name], 3), "Error, combined": round(error, 5)} for name, error in ranked]
    st.dataframe(rows_said, hide_index=True, width="stretch")
    st.markdown(f"**{best}** (res {at[best]:.3g}) has the least error here: {POLICIES[best]}.")
    if max(scored.values()) < CLOSE * scored[best]:
        st.caption("All policies lie within 2 %: here this network hardly listens to its res, and the winner may be chance.")
    winner = replace(view, policy=Policy(best))
    if best != view.policy.name and st.button(f"Use {best}", icon=":material/check:"):
        state.jump(winner)
    st.code(replace(base, policy=Policy(best)).to_command(), "bash", wrap_lines=True)
    st.caption("One tile under one mask decides little: try several places before you write this recipe down.")


def spectra(_view: View, scales: Sequence[Scale], _views: Sequence[View], rows: Rows) -> None:
    """How much of truth and prediction lies at which wavelength, at chosen scales."""
    found = sorted(rows)
    name = {n: controls.metres(scales[n].gsd_m) for n in found}
    start = dict.fromkeys((found[0], next((n for n in found if scales[n].own), found[0]), found[-1]))
    chosen = st.multiselect("Scales", found, list(start), format_func=name.__getitem__, max_selections=4, key=f"spectra {len(scales)}")
    pasted = st.toggle("True pixels pasted", key="spectra pasted", help="Off: as painted, visible patches too, which training never compared.")
    if not chosen:
        st.info("Choose at least one scale above.")
        return
    for n in chosen:
        made, gsd = rows[n], rows[n].recipe.gsd
        pair = radial_power(made.target), radial_power(made.pasted if pasted else made.combined)
        st.plotly_chart(spectrum_chart({name[n]: pair}, gsd * made.recipe.input_px, gsd * made.recipe.patch_px), key=f"spectrum {n}")
    st.caption(
        "Radially averaged, Hann window, mean of three bands. Where the dotted line lies below the solid one, the network paints too smoothly."
    )


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two vectors."""
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))
