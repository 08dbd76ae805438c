"""The form of the panel "Label", from a file: the file, its columns, and settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.atlas.labelling.estimators import TITLES
from core.atlas.labelling.reading import LabelColumns, Labels, read_labels
from core.atlas.labelling.sampling import SamplingSpec
from core.atlas.labelling.validation import ModelSpec
from ui.shell import cached, uploads
from ui.shell.escaping import plain

UPLOAD_MB = 100
TYPES = ["geojson", "json", "gpkg", "csv", "parquet", "geoparquet"]
RULES = {"majority": "the class that covers most of it", "share": "the share of one class"}
AUTOMATIC, NONE = "automatic", "none"


@dataclass(frozen=True)
class LabelChoices:
    """What the user chose: how labels are read, placed and learned from."""

    columns: LabelColumns
    sampling: SamplingSpec
    model: ModelSpec


def ask() -> tuple[Labels | None, str, LabelChoices]:
    """Let the user upload a file and choose; return its labels (None without a file), digest and settings."""
    file = st.file_uploader(
        f"Labels: GeoJSON, GeoPackage, CSV with lon and lat, or Parquet; at most {UPLOAD_MB} MB",
        type=TYPES,
        max_upload_size=UPLOAD_MB,
        key="label file",
    )
    crs = ""
    if file is not None:
        crs = st.text_input(
            "Coordinate system, if the file states none or a wrong one",
            placeholder="EPSG:4326",
            max_chars=40,
            key="label crs",
        )
    labels, digest, read = None, "", LabelColumns(crs=crs.strip())
    if file is not None:
        content = uploads.content(file, UPLOAD_MB)
        digest = hashlib.sha256(content).hexdigest()
        first = _read(content, file.name, digest, read)
        read = _columns(first, read.crs)
        labels = _read(content, file.name, digest, read)
        _describe(labels)
    with st.expander("Settings", icon=":material/tune:"):
        choices = LabelChoices(read, _sampling(labels), _model(labels))
    return labels, digest, choices


def _read(content: bytes, name: str, digest: str, read: LabelColumns) -> Labels:
    return cached.result_cache("label files", 4).get_or_compute(
        (digest, read), lambda: read_labels(content, name[:80], read)
    )


def _columns(labels: Labels, crs: str) -> LabelColumns:
    """Let the user choose the columns of labels and regions."""
    names = list(labels.columns)
    column = st.selectbox(
        "Column with the labels",
        names,
        names.index(labels.column) if labels.column in names else 0,
        format_func=plain,
        key=f"label column {labels.name}",
    )
    kind = st.segmented_control(
        "Type of label",
        [AUTOMATIC, "class", "number"],
        default=AUTOMATIC,
        required=True,
        key="label kind",
        help="Text and up to 30 different whole numbers are classes unless you choose otherwise.",
    )
    region = st.selectbox(
        "Column with regions (each is left out once)",
        [NONE, *names],
        format_func=plain,
        key=f"label region {labels.name}",
    )
    kinds: Any = "" if kind in (None, AUTOMATIC) else kind
    return LabelColumns(column or "", kinds, "" if region in (None, NONE) else region, crs)


def _describe(labels: Labels) -> None:
    what = (
        f"{len(labels.classes):,} classes"
        if labels.kind == "class"
        else f"numbers from {labels.values.min():g} to {labels.values.max():g}"
    )
    st.markdown(f"**{len(labels):,}** labels, {plain(what)}")
    for sentence in labels.problems:
        st.caption(f":orange[:material/info:] {plain(sentence)}")


def _sampling(labels: Labels | None) -> SamplingSpec:
    """Let the user choose how labels are placed on tiles."""
    classes = () if labels is None else labels.classes
    rule, of_class = "majority", ""
    if classes:
        rule = st.segmented_control(
            "A tile gets",
            list(RULES),
            format_func=RULES.__getitem__,
            default="majority",
            required=True,
            key="label rule",
        )
        if rule == "share":
            of_class = st.selectbox("Class", classes, format_func=plain, key="label of class") or ""
    least = st.slider(
        "Minimum share of a tile that its label must cover", 0.05, 1.0, 0.5, 0.05, key="label share",
        help="Tiles that are covered less get no label.",
    )  # fmt: skip
    distance = st.number_input(
        "Points: maximum distance from a tile's centre, in metres",
        0.0,
        1e7,
        0.0,
        key="label distance",
        help="0: only points inside a tile count.",
    )
    background = ""
    if classes and rule == "majority":
        background = st.text_input(
            "Class of tiles that no label touches", placeholder="none", max_chars=40, key="label background"
        )
    chosen: Any = rule or "majority"
    return SamplingSpec(chosen, least, distance, background.strip(), of_class)


def _model(labels: Labels | None) -> ModelSpec:
    """Let the user choose method and blocks."""
    kind = "class" if labels is None else labels.kind
    method: Any = st.selectbox(
        "Method", list(TITLES), format_func=lambda name: TITLES[name][kind], key=f"label method {kind}"
    )
    block = st.number_input(
        "Side of a spatial block in km",
        0.001,
        10_000.0,
        value=None,
        placeholder="a tenth of the labels' extent",
        key="label block",
        help="Tiles of one block are never split between training and test.",
    )
    return ModelSpec(method or "linear", block_km=block)
