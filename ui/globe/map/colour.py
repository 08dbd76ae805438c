"""What the colours of the points mean: what can be chosen, the layer for a choice, and that layer as the browser receives it."""

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
from core.atlas.analysis.project import colours
from core.atlas.search.neighbors import similarities
from core.viz.theme import CLASSES, HEAT, UNKNOWN, VIRIDIS, colour_map
from ui.globe.desk import Layer, painted
from ui.shell import cached, state

pc: Any = pyarrow.compute

_ENCODED = "globe painted"
MOST_NAMED = len(CLASSES) - 1
COLUMN = "column:"
TITLES = {
    "appearance": "What the network sees",
    "groups": "Groups",
    "similar": "Likeness to the place in hand",
    "column:recon_loss_low": "Reconstruction loss, low frequencies",
    "column:recon_loss_high": "Reconstruction loss, high frequencies",
    "column:gsd_m": "Ground sample distance",
    "column:timestamp": "Time of acquisition",
    "column:source": "Source",
    "column:product_id": "Picture",
}
NOTES = {
    "appearance": "The first three principal axes of the vectors as red, green and blue: alike in colour, alike to the network.",
    "groups": "k-means on the vectors; the number of groups has the best silhouette.",
    "similar": "Cosine of each vector with that of the place in hand: light is alike.",
}
NO_CHOICE = {
    "unique_id",
    "geometry",
    "bbox",
    "pixel_bbox",
    "grid_cell",
    "grid_row_u",
    "grid_col_r",
    "checkpoint_sha256",
}
FIRST = ("column:recon_loss_low", "column:recon_loss_high")


@dataclass(frozen=True, eq=False)
class Painted:
    """Colours as the browser receives them, with their palette and legend."""

    layer: Layer
    colours: bytes
    palette: tuple[str, ...]
    legend: Legend


def choices(table: EmbeddingTable, place: int | None) -> dict[str, str]:
    """What the points can be coloured by, with the words for it: only columns that say something are among them."""
    by = ["appearance", "groups", *(["similar"] if place is not None else [])]
    by += sorted((COLUMN + name for name in _columns(table)), key=lambda name: (name not in FIRST, name))
    found = {name: TITLES.get(name, name.removeprefix(COLUMN).replace("_", " ")) for name in by}
    latest = painted()
    return found if latest is None or not _fits(latest, len(table)) else {**found, "painted": latest.title}


def paint_by(table: EmbeddingTable, by: str, place: int | None) -> Painted:
    """The colours for a choice; one that has no meaning for this table gives the appearance."""
    if by not in choices(table, place):
        by = "appearance"
    if by == "painted":
        layer, kept = painted(), state.recall(_ENCODED, None)
        assert layer is not None
        if kept is None or kept.layer is not layer:
            kept = encode(layer)
            state.keep(_ENCODED, kept)  # the session's own, and gone with it
        return kept
    key = (table.fingerprint, by, place if by == "similar" else None)
    return cached.shelf("colours", 24).once(key, lambda: encode(_layer(table, by, place)))


def clusters(table: EmbeddingTable, k: int | None = None) -> Clusters:
    """A table's groups, made once for all users; without `k` their number is chosen by silhouette."""
    return cached.shelf("clusters", 8).once((table.fingerprint, k), lambda: cluster(table, k))


def encode(layer: Layer) -> Painted:
    """A layer as the browser receives it: 3 bytes a point for `rgb`, else 1."""
    if layer.rgb is not None:
        return Painted(layer, encode_colours(layer.rgb), (UNKNOWN,), Legend(layer.title))
    return _classes(layer) if layer.categories is not None else _run(layer)


def rgb_of(made: Painted) -> NDArray[np.uint8]:
    """The colours as (n, 3) red, green, blue, for pictures drawn here."""
    if made.layer.rgb is not None:
        return made.layer.rgb
    table = np.array([[int(text[at : at + 2], 16) for at in (1, 3, 5)] for text in made.palette], np.uint8)
    return table[np.frombuffer(made.colours, np.uint8, offset=16)]


def _layer(table: EmbeddingTable, by: str, place: int | None) -> Layer:
    title, note = TITLES.get(by, by.removeprefix(COLUMN).replace("_", " ")), NOTES.get(by, "")
    if by == "appearance":
        return Layer(title, rgb=colours(table), note=note)
    if by == "groups":
        found = clusters(table)
        return Layer(
            title, categories=found.labels, names=tuple(f"Group {n + 1}" for n in range(found.k)), note=note
        )
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
    named = [pair["values"] for pair in counts[:MOST_NAMED]]
    at = pc.fill_null(pc.index_in(column, pa.array(named, column.type)), -1).to_numpy().astype(np.int64)
    if len(counts) > len(named):
        at[(at < 0) & pc.is_valid(column).to_numpy()] = len(named)
    more = (f"{len(counts) - len(named):,} others",) if len(counts) > len(named) else ()
    return Layer(title, categories=at, names=(*(str(name)[:40] for name in named), *more))


def _columns(table: EmbeddingTable) -> tuple[str, ...]:
    """Columns with more than one value that a colour can tell."""

    def find() -> tuple[str, ...]:
        names: list[str] = []
        for name in table.columns.column_names:
            column = table.columns[name]
            kind = column.type
            if name in NO_CHOICE or not (_is_number(kind) or pa.types.is_timestamp(kind) or _is_word(kind)):
                continue
            distinct = pc.count_distinct(column).as_py()
            if distinct > 1 and (not _is_word(kind) or distinct < max(2, len(table) // 2)):
                names.append(name)
        return tuple(names)

    return cached.shelf("colour columns", 16).once(table.fingerprint, find)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_word(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)


def _fits(layer: Layer, count: int) -> bool:
    return any(
        array is not None and len(array) == count for array in (layer.values, layer.categories, layer.rgb)
    )


def _classes(layer: Layer) -> Painted:
    assert layer.categories is not None
    wanted = layer.palette or CLASSES
    palette = (*wanted[:255], UNKNOWN)
    unknown = len(palette) - 1
    at = np.where(layer.categories < 0, unknown, layer.categories % unknown).astype(np.uint8)
    there = set(np.unique(layer.categories).tolist())
    entries = tuple((name, n % unknown) for n, name in enumerate(layer.names) if n in there)
    if -1 in there:
        entries = (*entries, ("not known", unknown))
    return Painted(layer, encode_colours(at), palette, Legend(layer.title, entries))


def _run(layer: Layer) -> Painted:
    """Palette positions along a run of colours; position 1 is the grey of what is not known, which the legend's ramp passes over."""
    assert layer.values is not None
    values = np.asarray(layer.values, np.float32)
    known = np.isfinite(values)
    low, high = layer.limits or (
        tuple(np.percentile(values[known], [2, 98]).tolist()) if known.any() else (0.0, 1.0)
    )
    if high <= low:
        high = low + (abs(low) or 1.0) * 1e-6
    colours_of_run = layer.palette or colour_map(VIRIDIS)
    share = ((np.where(known, values, low) - low) / (high - low)).clip(0, 1)
    at = np.rint(share * (len(colours_of_run) - 1)).astype(np.uint8)
    at = np.where(known, at + (at >= 1), 1).astype(np.uint8)
    palette = (colours_of_run[0], UNKNOWN, *colours_of_run[1:])
    return Painted(layer, encode_colours(at), palette, Legend(layer.title, (), (f"{low:.4g}", f"{high:.4g}")))
