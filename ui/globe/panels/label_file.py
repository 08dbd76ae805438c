"""The panel "Label", from a file: labels are placed on tiles, cross-validated, and mapped to all tiles."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import streamlit as st

from core.atlas.labelling.estimators import TITLES
from core.atlas.labelling.mapping import LabelMap, label_map
from core.atlas.labelling.reading import Labels
from core.atlas.labelling.report import areas, class_raster, columns, errors_of, raster_columns, report
from core.atlas.labelling.sampling import Samples, sample
from core.viz.evaluation import confusion_figure
from core.viz.theme import CLASSES, HEAT, VIRIDIS, colour_map
from ui.globe import panel_api as api
from ui.globe.panel_api import Layer, PanelContext
from ui.globe.panels.downloads import downloads
from ui.globe.panels.label_form import LabelChoices, ask
from ui.shell import cached, state
from ui.shell.escaping import plain

WAYS = {"random": "Random folds", "blocks": "Spatial blocks", "regions": "Leave one region out"}
MEASURES = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
    "r2": "R²", "rmse": "RMSE", "mae": "MAE",
}  # fmt: skip
LAYERS = ("Prediction", "Uncertainty", "Errors")
FLATTERED = 0.02
_CHOSEN, _LEARNED = "globe label file chosen", "globe label file learned"


def draw(context: PanelContext) -> None:
    """Let the user upload labels and choose settings; show accuracy, areas, maps and downloads."""
    context.table.require_one_model()
    api.ring_rows([])
    left, right = st.columns([1, 1.6], gap="large")
    with left:
        labels, digest, choices = ask()
    with right:
        if labels is None:
            _explain()
            return
        key = (context.table.fingerprint, digest, choices)
        results = cached.result_cache("label maps", 6)
        if st.button("Learn and map", type="primary", icon=":material/model_training:", key="label file run"):
            state.keep(_CHOSEN, key)
        if state.recall(_CHOSEN, None) != key:
            st.caption("Press the button to validate the labels and map every tile with these settings.")
            return
        found = results.get_or_compute(key, lambda: _learn(context, labels, choices))
        state.keep(_LEARNED, (context.table.fingerprint, found.samples))
        _results(context, found)


def learned_from(context: PanelContext) -> Samples | None:
    """Return the labelled rows of the open table that this session last learned from; None without any."""
    fingerprint, samples = state.recall(_LEARNED, ("", None))
    return samples if fingerprint == context.table.fingerprint else None


def _explain() -> None:
    st.info(
        "Upload points or polygons with a class (land cover, crop) or a number (height, yield). Each tile "
        "gets the label that lies on it; a classifier or a regression learns from them, is tested at random "
        "and by spatial block, and then maps every tile with its uncertainty.",
        icon=":material/layers:",
    )


def _learn(context: PanelContext, labels: Labels, choices: LabelChoices) -> LabelMap:
    """Place, validate and map, with a progress bar; leaving the panel stops it."""
    bar = st.progress(0.0, "Placing the labels on the tiles")
    try:
        steps = label_map(context.table, sample(context.table, labels, choices.sampling), choices.model)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return _read_only(end.value)
            bar.progress(step.done / max(step.total, 1), plain(step.what))
    finally:
        bar.empty()


def _read_only(found: LabelMap) -> LabelMap:
    for array in (found.values, found.uncertainty, found.probability):
        if array is not None:
            array.flags.writeable = False
    return found


def _results(context: PanelContext, found: LabelMap) -> None:
    samples = found.samples
    st.markdown(
        f"**{plain(TITLES[found.spec.method][samples.kind])}** learned from **{len(samples):,}** labelled "
        "tiles"
    )
    st.dataframe([_row(way) for way in found.assessment.ways], hide_index=True, width="stretch")
    _reading(found)
    for sentence in found.problems:
        st.caption(f":orange[:material/info:] {plain(sentence)}")
    _layers(context, found)
    if found.assessment.strictest.confusion is not None:
        _classes(found)
    if found.assessment.curve:
        with st.expander("Would more labels help?", icon=":material/show_chart:"):
            name = MEASURES[next(iter(found.assessment.strictest.measures))]
            st.line_chart(
                {"labelled tiles": [rows for rows, _ in found.assessment.curve],
                 name: [score for _, score in found.assessment.curve]},
                x="labelled tiles", y=name, height=220,
            )  # fmt: skip
            st.caption("A curve that still rises at its right end says that more labels would help.")
    st.markdown("**Download**")
    about = report(found)
    downloads(
        context, f"{samples.title} map", columns(context.table, found), raster_columns(found), about,
        key="label file",
    )  # fmt: skip
    if found.probability is not None and np.isfinite(context.lonlat).all(axis=1).any():
        st.download_button(
            "COG of classes", lambda: class_raster(context.table, found), "classes.tif", "image/tiff",
            key="label file classes", icon=":material/download:", on_click="ignore",
            help="One band of class numbers with a colour and a name each.",
        )  # fmt: skip


def _row(way: Any) -> dict[str, str]:
    first = next(iter(way.measures))
    low, high = way.interval
    return {
        "validated by": WAYS[way.name],
        **{MEASURES[name]: f"{value:.3f}" for name, value in way.measures.items()},
        f"95 % of {MEASURES[first]}": f"{low:.3f} to {high:.3f}",
        "folds": way.note,
    }


def _reading(found: LabelMap) -> None:
    """Say what the numbers mean for the map."""
    ways = {way.name: next(iter(way.measures.values())) for way in found.assessment.ways}
    if "blocks" in ways:
        if ways["random"] - ways["blocks"] > FLATTERED:
            st.caption("Random folds flatter the map: test tiles have neighbours among the training tiles.")
        st.caption("Expect the value of the spatial blocks away from your labels.")
    if found.assessment.calibration_error is not None:
        before, after = found.assessment.calibration_error
        st.caption(
            f"Probabilities are calibrated: expected calibration error {after:.3f} on held-out tiles "
            f"({before:.3f} before)."
        )


def _layers(context: PanelContext, found: LabelMap) -> None:
    """Let the user colour the maps by prediction, uncertainty or errors."""
    layers = layers_of(context, found)
    name = st.segmented_control(
        "Show on the maps", LAYERS, default=LAYERS[0], required=True, key="label file layer"
    )
    api.offer_layer(layers[name or LAYERS[0]], family=tuple(each.title for each in layers.values()))


def layers_of(context: PanelContext, found: LabelMap) -> dict[str, Layer]:
    """Return the layers of a map: prediction, uncertainty, and errors of held-out predictions."""
    title, wrong = found.samples.title, errors_of(context.table, found)
    if found.probability is None:
        most = max(float(np.nanquantile(np.abs(wrong), 0.98)), 1e-9)
        return {
            "Prediction": Layer(f"Predicted {title}", values=found.values, palette=colour_map(VIRIDIS)),
            "Uncertainty": Layer(
                f"Half width of {title}", values=found.uncertainty, palette=colour_map(HEAT),
                note="Half width of a 90 % interval, from held-out errors.",
            ),
            "Errors": Layer(
                f"Error of {title}", values=wrong, palette=colour_map(VIRIDIS), limits=(-most, most),
                note="Held-out prediction minus label; grey tiles have no label.",
            ),
        }  # fmt: skip
    codes = np.where(np.isfinite(found.values), found.values, -1).astype(np.int32)
    right = np.where(np.isfinite(wrong), 1 - np.nan_to_num(wrong), -1).astype(np.int32)
    return {
        "Prediction": Layer(
            f"Predicted {title}", categories=codes, names=found.samples.classes,
            note="The most likely class of each tile.",
        ),
        "Uncertainty": Layer(
            f"Uncertainty of {title}", values=found.uncertainty, palette=colour_map(HEAT), limits=(0.0, 1.0),
            note="Entropy of the calibrated probabilities: 0 is certain, 1 is equally likely classes.",
        ),
        "Errors": Layer(
            f"Errors of {title}", categories=right, names=("right", "wrong"), palette=CLASSES[:2],
            note="Held-out predictions of labelled tiles; grey tiles have no label.",
        ),
    }  # fmt: skip


def _classes(found: LabelMap) -> None:
    """Show the confusion matrix and the areas of the classes."""
    assert found.assessment.strictest.confusion is not None
    with st.expander("Confusion matrix", icon=":material/grid_on:"):
        st.plotly_chart(
            confusion_figure(
                found.assessment.strictest.confusion, [html.escape(name) for name in found.samples.classes]
            ),
            key="label confusion",
        )
        st.caption(f"Held-out predictions, {plain(found.assessment.strictest.note)}.")
    with st.expander("Area of each class", icon=":material/square_foot:", expanded=True):
        st.dataframe([_area(record) for record in areas(found)], hide_index=True, width="stretch")
        st.caption(
            "Counted on the map, and corrected by its errors with a 95 % interval (Olofsson et al. 2014). "
            "The intervals hold if your labels are a random sample of the ground; labels that somebody "
            "picked give an indication only."
        )


def _area(record: dict[str, Any]) -> dict[str, str]:
    def share(name: str, half: str) -> str:
        if record[name] is None:
            return "unknown"
        return f"{record[name]:.1%}" + ("" if record[half] is None else f" ± {record[half]:.1%}")

    km2 = (
        "unknown"
        if record["km2"] is None
        else f"{_figures(record['km2'])} ± {_figures(record['km2_half_width'])}"
    )
    return {
        "class": record["class"],
        "on the map": f"{record['mapped_share']:.1%}",
        "corrected": share("share", "share_half_width"),
        "km²": km2,
        "user's accuracy": share("users_accuracy", "users_half_width"),
        "producer's accuracy": share("producers_accuracy", "producers_half_width"),
    }


def _figures(value: float) -> str:
    """Write an area without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
