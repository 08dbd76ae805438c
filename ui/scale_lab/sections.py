"""The tabs under the Scale Lab's rows: curves over scale, response to res, spectra."""

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
from core.policy import POLICIES, Policy, res_text
from core.session import PageView
from core.units import metres
from core.viz.scales import drift_chart, error_chart, spectrum_chart
from ui.pickers import page_view
from ui.scale_lab.accuracy import accuracy
from ui.shell import cached, state
from ui.shell.escaping import plain

RES = tuple(float(f"{res:.3g}") for res in np.geomspace(0.1, 300, 17))
TABS = ("Curves", "Sensitivity to the scale input", "Spectrum", "Patches")
COMPARED = tuple(name for name, policy in POLICIES.items() if not policy.takes_value)
CLOSE = 1.02
DECIMALS = 4
"""Decimals shown of an error; policies whose errors agree to these decimals tie."""

NO_PICTURE = (
    "This network has no decoder, so there is no reconstruction to compare. "
    "Curves and Patches show its embeddings."
)


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
    errors: dict[float, Any] = {}
    if rows:
        with st.spinner(f"{len(tried)} values of res", show_time=True):
            done = {
                n: out
                for n, out in cached.reconstructions(tried, state.session_id())
                if not isinstance(out, ExplorerError)
            }
        errors = {res[n]: band_errors(out) or {} for n, out in done.items()}
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
        _best_policy(
            base, at, {name: errors[value]["combined"] for name, value in at.items() if errors.get(value)}
        )
    else:
        st.caption(f"{NO_PICTURE} To compare policies, use kNN over scales under Curves.")


def _res_text(base: PageView, policy: str, res: float) -> str:
    ready = cached.prepared(base)
    return res_text(Policy(policy), res, gsd_m=ready.fed.tile.gsd, native_gsd_m=ready.tile.native_gsd_m)


def _best_policy(base: PageView, at: Mapping[str, float], scored: Mapping[str, float]) -> None:
    """List the policies by error, and show the best one with its recipe."""
    if not scored:
        st.caption("No patch is hidden at this scale, so there is no error to compare.")
        return
    ranked = sorted(scored.items(), key=lambda item: item[1])
    table = [
        {"Policy": name, "res": round(at[name], 3), "Error": round(error, DECIMALS)} for name, error in ranked
    ]
    error = st.column_config.NumberColumn(format=f"%.{DECIMALS}f")
    st.dataframe(table, hide_index=True, width="stretch", column_config={"Error": error})
    tied = lowest_errors(scored)
    best = tied[0]
    if len(tied) > 1:
        st.markdown(
            f"**{plain(', '.join(tied[:-1]))}** and **{plain(tied[-1])}** tie at {scored[best]:.{DECIMALS}f}."
        )
    else:
        st.markdown(
            f"**{plain(best)}** (res {_res_text(base, best, at[best])}) has the lowest error here: "
            f"{plain(POLICIES[best].summary)}."
        )
    if max(scored.values()) < CLOSE * scored[best]:
        st.caption(
            "All policies are within 2 %: this network hardly depends "
            "on res here, and the ranking may be chance."
        )
    if base.policy.name not in tied and st.button(f"Use {plain(best)}", icon=":material/check:"):
        state.jump(replace(page_view.current_view(), policy=Policy(best)))
    st.code(
        replace(base, policy=base.policy if base.policy.name in tied else Policy(best)).to_command(),
        "bash",
        wrap_lines=True,
    )
    st.caption("One tile and one mask are weak evidence. Try several places before you adopt this recipe.")


def lowest_errors(scored: Mapping[str, float]) -> list[str]:
    """The policies with the lowest error to the decimals shown; several if they tie."""
    error = min(round(value, DECIMALS) for value in scored.values())
    return [name for name, value in scored.items() if round(value, DECIMALS) == error]


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
