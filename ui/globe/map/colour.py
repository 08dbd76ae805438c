"""Colours of the points: the choices, the layer of a choice, and its encoding for the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from earth_mae_components import Legend, encode_colours
from numpy.typing import NDArray

from core.atlas import EmbeddingTable
from core.atlas.analysis.cluster import Clusters, cluster
from core.atlas.analysis.oklab import calm_wheel
from core.atlas.analysis.project import colours
from core.atlas.analysis.where import group_names
from core.atlas.search.neighbors import similarities
from core.viz.theme import CLASSES, HEAT, UNKNOWN, VIRIDIS, colour_map
from ui.globe.map.drawn import Drawn
from ui.globe.panel_api import Layer, shown_layer
from ui.shell import cached, state

pc: Any = pyarrow.compute

_ENCODED = "globe painted"
PROBED_ROWS, RUNS, RUN_ROWS = 1_000_000, 100, 2_000
"""Of longer columns, a hundred runs of rows tell whether colours can show them."""
MAX_NAMED = len(CLASSES) - 1
COLUMN = "column:"
TITLES = {
    "appearance": "Embedding (three components)",
    "groups": "Groups",
    "similar": "Similarity to the selected place",
    "column:recon_loss_low": "Reconstruction loss, low frequencies",
    "column:recon_loss_high": "Reconstruction loss, high frequencies",
    "column:gsd_m": "Ground sample distance",
    "column:timestamp": "Acquisition time",
    "column:source": "Source",
    "column:product_id": "Picture",
}
NOTES = {
    "appearance": "The first three principal components of the vectors: two give the hue, the third the "
    "lightness.",
    "groups": "k-means on the vectors, with the number of groups that has the highest silhouette score.",
    "similar": "Cosine similarity of each vector to that of the selected place. Brighter is more similar.",
}
WHEEL_NOTE = "Similar colours mean similar embeddings. A hue by itself has no meaning."
EXCLUDED_COLUMNS = {
    "unique_id",
    "geometry",
    "bbox",
    "pixel_bbox",
    "grid_cell",
    "grid_row_u",
    "grid_col_r",
    "checkpoint_sha256",
}
LISTED_FIRST = ("column:recon_loss_low", "column:recon_loss_high")


@dataclass(frozen=True, eq=False)
class EncodedLayer:
    """A layer encoded for the browser, with its palette and legend."""

    layer: Layer
    colours: bytes
    palette: tuple[str, ...]
    legend: Legend


def colour_choices(table: EmbeddingTable, place: int | None) -> dict[str, str]:
    """Return what the points can be coloured by, with titles. Columns with a single value are left out."""
    by = ["appearance", "groups", *(["similar"] if place is not None else [])]
    by += sorted(
        (COLUMN + name for name in _columns(table)), key=lambda name: (name not in LISTED_FIRST, name)
    )
    titles = {name: TITLES.get(name, name.removeprefix(COLUMN).replace("_", " ")) for name in by}
    latest = shown_layer()
    return titles if latest is None or not _fits(latest, len(table)) else {**titles, "painted": latest.title}


def encoded_colours(
    table: EmbeddingTable, by: str, place: int | None, drawn: Drawn | None = None
) -> EncodedLayer:
    """Return the encoded colours of a choice; a choice that this table does not have gives "appearance".

    They are those of the rows drawn, by default of all.
    """
    rows, chosen = (None, None) if drawn is None else (drawn.rows, drawn.key)
    if by not in colour_choices(table, place):
        by = "appearance"
    if by == "painted":
        layer, encoded = shown_layer(), state.recall(_ENCODED, None)
        assert layer is not None
        if encoded is None or encoded[:2] != (layer, chosen):
            encoded = (layer, chosen, encode(layer.of(rows)))
            state.keep(_ENCODED, encoded)  # in session state, because the layer belongs to this session
        return encoded[2]
    key = (table.fingerprint, by, place if by == "similar" else None)

    def make() -> EncodedLayer:
        if rows is None:
            return encode(_layer(table, by, place))
        if by == "appearance":
            return encode(Layer(TITLES[by], rgb=colours(table, rows), note=NOTES[by]))
        whole = cached.result_cache("layers", 2).get_or_compute(key, lambda: _layer(table, by, place))
        return encode(whole.of(rows))

    return cached.result_cache("colours", 24).get_or_compute((*key, chosen), make)


def clusters(table: EmbeddingTable, k: int | None = None) -> Clusters:
    """Group a table's rows, once for all users; without `k` the silhouette score chooses the number."""
    return cached.result_cache("clusters", 8).get_or_compute(
        (table.fingerprint, k), lambda: cluster(table, k)
    )


def names_of_groups(table: EmbeddingTable, groups: Clusters) -> tuple[str, ...]:
    """Name the groups of a table after the countries in which they lie, once for all users."""
    return cached.result_cache("names of groups", 32).get_or_compute(
        (table.fingerprint, groups.k), lambda: group_names(groups.labels, groups.k, table.lonlat)
    )


def encode(layer: Layer) -> EncodedLayer:
    """Encode a layer for the browser: 3 bytes per point for `rgb`, otherwise 1."""
    if layer.rgb is not None:
        wheel = tuple("#{:02x}{:02x}{:02x}".format(*one) for one in calm_wheel().tolist())
        return EncodedLayer(
            layer, encode_colours(layer.rgb), (UNKNOWN,), Legend(layer.title, wheel=wheel, note=WHEEL_NOTE)
        )
    return _encode_categories(layer) if layer.categories is not None else _encode_values(layer)


def rgb_of(encoded: EncodedLayer) -> NDArray[np.uint8]:
    """Return the colours as (n, 3) RGB, for pictures drawn on the server."""
    if encoded.layer.rgb is not None:
        return encoded.layer.rgb
    table = np.array([[int(text[at : at + 2], 16) for at in (1, 3, 5)] for text in encoded.palette], np.uint8)
    return table[np.frombuffer(encoded.colours, np.uint8, offset=16)]


def _layer(table: EmbeddingTable, by: str, place: int | None) -> Layer:
    title, note = TITLES.get(by, by.removeprefix(COLUMN).replace("_", " ")), NOTES.get(by, "")
    if by == "appearance":
        return Layer(title, rgb=colours(table), note=note)
    if by == "groups":
        groups = clusters(table)
        return Layer(title, categories=groups.labels, names=names_of_groups(table, groups), note=note)
    if by == "similar":
        assert place is not None
        values = similarities(table, table.vectors_of([place])[0]).copy()
        values[~table.stored.usable] = np.nan
        low = float(np.nanpercentile(values, 40))
        return Layer(title, values=values, palette=colour_map(HEAT), note=note, limits=(low, 1.0))
    return _of_column(table.columns[by.removeprefix(COLUMN)], title)


def _of_column(column: pa.ChunkedArray, title: str) -> Layer:
    if _is_number(column.type):
        return Layer(title, values=pc.cast(column, pa.float32()).to_numpy())
    if pa.types.is_timestamp(column.type):
        day = pc.cast(pc.cast(column, pa.timestamp("s")), pa.int64()).to_numpy().astype(np.float64)
        return Layer(title, values=(1970 + day / 31_556_952).astype(np.float32), note="Year")
    counts = sorted(pc.value_counts(column).to_pylist(), key=lambda pair: -pair["counts"])
    counts = [pair for pair in counts if pair["values"] is not None]
    named = [pair["values"] for pair in counts[:MAX_NAMED]]
    at = pc.fill_null(pc.index_in(column, pa.array(named, column.type)), -1).to_numpy().astype(np.int64)
    if len(counts) > len(named):
        at[(at < 0) & pc.is_valid(column).to_numpy()] = len(named)
    more = (f"{len(counts) - len(named):,} others",) if len(counts) > len(named) else ()
    return Layer(title, categories=at, names=(*(str(name)[:40] for name in named), *more))


def _columns(table: EmbeddingTable) -> tuple[str, ...]:
    """Return the columns with more than one value that colours can show."""

    def find() -> tuple[str, ...]:
        names: list[str] = []
        for name in table.columns.column_names:
            column = table.columns[name]
            kind = column.type
            if name in EXCLUDED_COLUMNS or not (
                _is_number(kind) or pa.types.is_timestamp(kind) or _is_word(kind)
            ):
                continue
            column = _probe(column)
            distinct = pc.count_distinct(column).as_py()
            if distinct > 1 and (not _is_word(kind) or distinct < max(2, len(column) // 2)):
                names.append(name)
        return tuple(names)

    return cached.result_cache("colour columns", 16).get_or_compute(table.fingerprint, find)


def _probe(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return all of a column, or a hundred runs of rows of a long one."""
    if len(column) <= PROBED_ROWS:
        return column
    starts = np.linspace(0, len(column) - RUN_ROWS, RUNS).astype(int).tolist()
    return pa.chunked_array([chunk for at in starts for chunk in column.slice(at, RUN_ROWS).chunks])


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_word(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)


def _fits(layer: Layer, count: int) -> bool:
    return any(
        array is not None and len(array) == count for array in (layer.values, layer.categories, layer.rgb)
    )


def _encode_categories(layer: Layer) -> EncodedLayer:
    assert layer.categories is not None
    palette = (*(layer.palette or CLASSES)[:255], UNKNOWN)
    unknown = len(palette) - 1
    at = np.where(layer.categories < 0, unknown, layer.categories % unknown).astype(np.uint8)
    present = set(np.unique(layer.categories).tolist())
    entries = tuple((name, n % unknown) for n, name in enumerate(layer.names) if n in present)
    if -1 in present:
        entries = (*entries, ("unknown", unknown))
    return EncodedLayer(layer, encode_colours(at), palette, Legend(layer.title, entries))


def _encode_values(layer: Layer) -> EncodedLayer:
    """Encode values as positions in a palette.

    Position 1 is grey for unknown values; the legend's colour ramp skips it.
    """
    assert layer.values is not None
    values = np.asarray(layer.values, np.float32)
    known = np.isfinite(values)
    low, high = layer.limits or (
        tuple(np.percentile(values[known], [2, 98]).tolist()) if known.any() else (0.0, 1.0)
    )
    if high <= low:
        high = low + (abs(low) or 1.0) * 1e-6
    ramp = layer.palette or colour_map(VIRIDIS)
    share = ((np.where(known, values, low) - low) / (high - low)).clip(0, 1)
    at = np.rint(share * (len(ramp) - 1)).astype(np.uint8)
    at = np.where(known, at + (at >= 1), 1).astype(np.uint8)
    palette = (ramp[0], UNKNOWN, *ramp[1:])
    return EncodedLayer(
        layer, encode_colours(at), palette, Legend(layer.title, (), (f"{low:.4g}", f"{high:.4g}"))
    )
