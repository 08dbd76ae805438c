"""The sections under the Scale Lab's rows: curves along the scale axis, the response to res, spectra."""

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
from core.judge import BANDS, band_errors
from core.policy import POLICIES, Policy
from core.session import PageView
from core.units import metres
from core.viz.scales import drift_chart, error_chart, spectrum_chart
from ui.pickers import page_view
from ui.scale_lab.accuracy import accuracy
from ui.shell import cached, state
from ui.shell.escaping import plain

RES = tuple(float(f"{res:.3g}") for res in np.geomspace(0.1, 300, 17))
TABS = ("Curves", "Response to res", "Spectrum", "Patches")
COMPARED = tuple(name for name, policy in POLICIES.items() if not policy.takes_value)
CLOSE = 1.02
TOLD = 4
"""Decimals that an error is told with; policies that agree in them tie."""

NO_PICTURE = "This network has no decoder: it paints nothing that could be compared. Curves and patches show what its embeddings do."


def curves(scales: Sequence[Scale], views: Sequence[PageView], rows: Sequence[Reconstruction]) -> None:
    """Error per band, where the network paints, and embedding drift against the GSD as fed."""
    gsds = [scale.gsd_m for scale in scales]
    own = next((n for n, scale in enumerate(scales) if scale.own), None)
    own_at, axis = {} if own is None else {"own scale": scales[own].gsd_m}, "metres per pixel as fed"
    left, right = st.columns(2, gap="medium")
    if rows:
        errors = [band_errors(row) for row in rows]
        bands = {band: [e and e[band] for e in errors] for band in BANDS}
        with left:
            st.markdown("**Error of each band**")
            st.plotly_chart(error_chart(gsds, bands, axis, own_at), key="error by scale")
            st.caption("Over hidden pixels, each scale at its own size.")
    with right if rows else left:
        st.markdown("**Embedding drift**")
        if own is not None:
            vectors = cached.vectors(views)
            st.plotly_chart(
                drift_chart(gsds, [cosine(vector, vectors[own]) for vector in vectors], axis, own_at),
                key="drift by scale",
            )
            st.caption("Cosine between the whole picture's vector here and at the tile's own scale.")
    accuracy(views[0] if own is None else views[own])


def response(scales: Sequence[Scale], views: Sequence[PageView], rows: Sequence[Reconstruction]) -> None:
    """Error and drift of one scale against res; each policy is a mark, and the best is named with its recipe."""
    model = views[0].model
    card = cached.card_of(model)
    if not card.gsd_aware:
        st.info(
            f"{plain(model)} has static positions: no policy changes what it makes. Choose a model that is told its scale, such as Scale-MAE."
        )
        return
    start = next((n for n, scale in enumerate(scales) if scale.own), 0)
    steps = range(len(scales))
    chosen = st.select_slider(
        "At", steps, start, format_func=lambda n: metres(scales[n].gsd_m), key=f"response {len(scales)}"
    )
    base = replace(views[chosen], selection="")
    ready = cached.prepared(base)
    at = {
        name: res_of(card, Policy(name), ready.fed.tile.gsd, ready.fed.side, ready.tile.native_gsd_m)
        for name in COMPARED
    }
    res = sorted({*RES, *at.values()})
    asked = [replace(base, policy=Policy("manual", value)) for value in res]
    left, right = st.columns(2, gap="medium")
    errors: dict[float, Any] = {}
    if rows:
        with st.spinner(f"{len(asked)} values of res", show_time=True):
            done = {
                n: out
                for n, out in cached.reconstructions(asked, state.session_id())
                if not isinstance(out, ExplorerError)
            }
        errors = {res[n]: band_errors(out) or {} for n, out in done.items()}
        bands = {band: [errors.get(value, {}).get(band) for value in res] for band in BANDS}
        with left:
            st.markdown("**Error of each band**")
            st.plotly_chart(error_chart(res, bands, "res", at), key="error by res")
    with right if rows else left, st.spinner(f"{len(asked)} values of res", show_time=True):
        own = cached.vectors([base])[0]
        drift = [cosine(vector, own) for vector in cached.vectors(asked)]
        st.markdown("**Embedding drift**")
        st.plotly_chart(drift_chart(res, drift, "res", at), key="drift by res")
    if rows:
        _winner(
            base, at, {name: errors[value]["combined"] for name, value in at.items() if errors.get(value)}
        )
    else:
        st.caption(f"{NO_PICTURE} Which policy serves it is seen by kNN over scales, under Curves.")


def _winner(base: PageView, at: Mapping[str, float], scored: Mapping[str, float]) -> None:
    """The policies by their error, the best one with its recipe."""
    if not scored:
        st.caption("Nothing is hidden at this scale, so there is no error to compare.")
        return
    ranked = sorted(scored.items(), key=lambda item: item[1])
    rows_said = [
        {"Policy": name, "res": round(at[name], 3), "Error, combined": round(error, TOLD)}
        for name, error in ranked
    ]
    error = st.column_config.NumberColumn(format=f"%.{TOLD}f")
    st.dataframe(rows_said, hide_index=True, width="stretch", column_config={"Error, combined": error})
    tied = least(scored)
    best = tied[0]
    if len(tied) > 1:
        st.markdown(
            f"**{plain(', '.join(tied[:-1]))}** and **{plain(tied[-1])}** tie at {scored[best]:.{TOLD}f}: nothing here tells them apart."
        )
    else:
        st.markdown(
            f"**{plain(best)}** (res {at[best]:.3g}) has the least error here: {POLICIES[best].summary}."
        )
    if max(scored.values()) < CLOSE * scored[best]:
        st.caption(
            "All policies lie within 2 %: here this network hardly listens to its res, and the winner may be chance."
        )
    if base.policy.name not in tied and st.button(f"Use {plain(best)}", icon=":material/check:"):
        state.jump(replace(page_view.current_view(), policy=Policy(best)))
    st.code(
        replace(base, policy=base.policy if base.policy.name in tied else Policy(best)).to_command(),
        "bash",
        wrap_lines=True,
    )
    st.caption(
        "One tile under one mask decides little: try several places before you write this recipe down."
    )


def least(scored: Mapping[str, float]) -> list[str]:
    """The policies with the least error, as errors are told; several where they tie."""
    error = min(round(value, TOLD) for value in scored.values())
    return [name for name, value in scored.items() if round(value, TOLD) == error]


def spectra(scales: Sequence[Scale], _views: Sequence[PageView], rows: Sequence[Reconstruction]) -> None:
    """How much of truth and prediction lies at which wavelength, at chosen scales."""
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
        "True pixels pasted",
        key="spectra pasted",
        help="Off: as painted, visible patches too, which training never compared.",
    )
    if not chosen:
        st.info("Choose at least one scale above.")
        return
    for n in chosen:
        made, gsd = rows[n], rows[n].recipe.gsd
        pair = radial_power(made.target), radial_power(made.pasted if pasted else made.combined)
        st.plotly_chart(
            spectrum_chart({name[n]: pair}, gsd * made.recipe.input_px, gsd * made.recipe.patch_px),
            key=f"spectrum {n}",
        )
    st.caption(
        "Variance summed over rings of equal frequency, Hann window, mean of three bands. Where the dotted line lies below the solid one, the network paints too smoothly."
    )


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two vectors."""
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))
