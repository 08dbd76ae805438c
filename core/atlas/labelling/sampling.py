"""Labels placed on the rows of a table: the class or number that each tile gets, and what did not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ...geo.ground import MEAN_EARTH_RADIUS_M
from ...units import metres
from ..analysis.label import Marks
from ..errors import LabelError
from ..store.table import EmbeddingTable
from .outlines import bounds_of, on_sphere, outlines_of
from .reading import Kind, Labels

POINT_TYPES = (0, 4)
TOUCH = 1e-6
"""Shares below this are polygons that only touch a tile."""


@dataclass(frozen=True)
class SamplingSpec:
    """How labels are placed on rows.

    `rule` "majority" gives a tile the class that covers most of it (or the mean number), if polygons cover
    `min_share` of it; "share" gives it the share that the class `of_class` covers, from 0 to 1. A point
    belongs to the tile with the nearest centre, if that tile holds it or is at most `distance_m` away.
    `background` is a class for tiles that no label touches, in the rectangle around all labels ("": none).
    """

    rule: Literal["majority", "share"] = "majority"
    min_share: float = 0.5
    distance_m: float = 0.0
    background: str = ""
    of_class: str = ""

    def __post_init__(self) -> None:
        """Raise LabelError for values out of range."""
        if self.rule not in ("majority", "share"):
            raise LabelError(f"The rule is majority or share; {self.rule!r:.40} is neither.")
        if not 0 < self.min_share <= 1:
            raise LabelError(
                f"The smallest share must be greater than 0 and at most 1; {self.min_share:g} is not."
            )
        if not 0 <= self.distance_m <= 1e7:
            raise LabelError(f"The distance must be 0 to 10,000 km; {metres(self.distance_m)} is not.")


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled rows of a table: `rows` (s,), `values` (s,) float64, `regions` (s,), -1 where unknown.

    Values are numbers, or positions in `classes`. `problems` are sentences on overlaps and on what was left
    out.
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    regions: NDArray[np.int64]
    kind: Kind
    classes: tuple[str, ...]
    region_names: tuple[str, ...]
    title: str
    problems: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of labelled rows."""
        return len(self.rows)


def class_marks(samples: Samples) -> dict[str, Marks]:
    """Return each class with its labelled rows as yes and those of other classes as no; {} for numbers."""
    of = {
        name: (samples.rows[samples.values == at], samples.rows[samples.values != at])
        for at, name in enumerate(samples.classes)
    }
    return {name: Marks(tuple(yes.tolist()), tuple(no.tolist())) for name, (yes, no) in of.items()}


@dataclass(frozen=True, eq=False)
class _Hits:
    """Pairs of a row and a label: with the share of the tile that the label covers, 1 for points."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    share: NDArray[np.float64]


def sample(table: EmbeddingTable, labels: Labels, spec: SamplingSpec = SamplingSpec()) -> Samples:
    """Place labels on the rows of a table that have a vector.

    Raises LabelError if no label lies on a row, or if fewer than two classes or different numbers are left.
    """
    table.require_one_model()
    problems = list(labels.problems)
    point = np.isin(shapely.get_type_id(labels.shapes), POINT_TYPES)
    areas, points = _polygon_hits(table, labels, ~point), _point_hits(table, labels, point, spec.distance_m)
    on_polygon = np.zeros(len(table), bool)
    on_polygon[areas.rows] = True
    free = ~on_polygon[points.rows]
    hits = _Hits(
        *(
            np.concatenate([a, b[free]])
            for a, b in zip(vars(areas).values(), vars(points).values(), strict=True)
        )
    )
    outside = len(labels) - len(np.union1d(areas.labels, points.labels))
    if outside == len(labels):
        raise LabelError(_nowhere(table, labels, point, spec.distance_m))
    if outside:
        problems.append(f"{outside:,} of {len(labels):,} labels lie on no tile of the table.")
    if spec.rule == "share":
        return _shares(table, labels, spec, hits, problems)
    return _majority(table, labels, spec, hits, problems)


def _majority(
    table: EmbeddingTable, labels: Labels, spec: SamplingSpec, hits: _Hits, problems: list[str]
) -> Samples:
    size = len(table)
    total = np.bincount(hits.rows, hits.share, size)
    order = np.lexsort((hits.share, hits.rows))
    last = np.flatnonzero(np.r_[np.diff(hits.rows[order]) > 0, True]) if len(order) else order
    region = np.full(size, -1, np.int64)
    region[hits.rows[order][last]] = labels.regions[hits.labels[order][last]]
    classes = labels.classes
    if labels.kind == "number":
        values = np.bincount(hits.rows, hits.share * labels.values[hits.labels], size)
        values = np.divide(values, total, out=np.full(size, np.nan), where=total > 0)
        covered = total
    else:
        width = len(classes)
        keys, back = np.unique(
            hits.rows * width + labels.values[hits.labels].astype(np.int64), return_inverse=True
        )
        shares = np.bincount(back, hits.share, len(keys))
        order = np.lexsort((-keys, shares, keys // width))  # ties: the first class
        rows = keys[order] // width
        best = order[np.flatnonzero(np.r_[np.diff(rows) > 0, True])]
        values, covered = np.full(size, np.nan), np.zeros(size)
        values[keys[best] // width] = keys[best] % width
        covered[keys[best] // width] = shares[best]
        several = np.bincount(keys // width, minlength=size) > 1
        if several.any():
            problems.append(
                f"{several.sum():,} tiles lie under labels of different classes: each got the class that "
                "covers most of it."
            )
    overlapping = total > 1 + 1e-3
    areal = np.isin(np.arange(size), hits.rows[hits.share < 1]) & overlapping
    if areal.any():
        problems.append(f"On {areal.sum():,} tiles, polygons overlap each other.")
    reached = covered >= spec.min_share - 1e-9
    few = (total > TOUCH) & ~reached
    if few.any():
        problems.append(
            f"{few.sum():,} tiles are left out because their label covers less than "
            f"{spec.min_share:.0%} of them."
        )
    values[~reached] = np.nan
    if labels.kind == "class" and spec.background:
        classes, values = _with_background(table, labels, spec, values, total <= TOUCH)
    rows = np.flatnonzero(np.isfinite(values))
    if not len(rows):
        message = f"No label covers {spec.min_share:.0%} of any tile: use a smaller share, or smaller tiles."
        repaired = (problem for problem in labels.problems if "repaired" in problem)
        raise LabelError(" ".join([message, *repaired]))
    return _finished(labels, rows, values[rows], region[rows], classes, labels.kind, labels.column, problems)


def _shares(
    table: EmbeddingTable, labels: Labels, spec: SamplingSpec, hits: _Hits, problems: list[str]
) -> Samples:
    """Return the share of each tile inside the rectangle around the labels that one class covers."""
    if labels.kind != "class":
        raise LabelError("The rule share needs classes: use it on a column of classes, or choose majority.")
    name = spec.of_class or (labels.classes[0] if len(labels.classes) == 1 else "")
    if name not in labels.classes:
        raise LabelError(
            f"Name the class whose share is to be mapped; the classes are {', '.join(labels.classes[:12])}."
        )
    if (np.isin(shapely.get_type_id(labels.shapes), POINT_TYPES)).any():
        raise LabelError("The rule share needs polygons: points cover no share of a tile.")
    in_class = labels.values[hits.labels] == labels.classes.index(name)
    share = np.minimum(np.bincount(hits.rows[in_class], hits.share[in_class], len(table)), 1.0)
    rows = np.flatnonzero(_inside(table, labels) | (share > 0))
    region = np.full(len(table), -1, np.int64)
    region[hits.rows] = labels.regions[hits.labels]
    return _finished(labels, rows, share[rows], region[rows], (), "number", f"share of {name}", problems)


def _finished(
    labels: Labels, rows: NDArray[np.int64], values: NDArray[np.float64], regions: NDArray[np.int64],
    classes: tuple[str, ...], kind: Kind, title: str, problems: list[str],
) -> Samples:  # fmt: skip
    """Drop classes without rows, and require two classes or numbers."""
    found = np.unique(values)
    if kind == "class":
        lost = [name for at, name in enumerate(classes) if at not in found]
        if lost:
            problems.append(
                f"No tile got the {'class' if len(lost) == 1 else 'classes'} {', '.join(lost[:8])}."
            )
        classes = tuple(classes[int(at)] for at in found)
        values = np.searchsorted(found, values).astype(np.float64)
    if len(found) < 2:
        what = f"the class {classes[0]}" if classes else f"the value {found[0]:g}"
        raise LabelError(
            f"All {len(rows):,} labelled tiles have {what}: at least two are needed. Add labels of other "
            "places, or name a background class for tiles that no label touches."
        )
    return Samples(rows, values, regions, kind, classes, labels.region_names, title, tuple(problems))


def _with_background(
    table: EmbeddingTable,
    labels: Labels,
    spec: SamplingSpec,
    values: NDArray[np.float64],
    free: NDArray[np.bool_],
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Give untouched tiles the background class: at most as many as have labels, chosen with a fixed seed."""
    classes = labels.classes if spec.background in labels.classes else (*labels.classes, spec.background)
    rows = np.flatnonzero(free & _inside(table, labels))
    most = max(int(np.isfinite(values).sum()), 1)
    if len(rows) > most:
        rows = np.random.default_rng(0).choice(rows, most, replace=False)
    values = values.copy()
    values[rows] = classes.index(spec.background)
    return classes, values


def _inside(table: EmbeddingTable, labels: Labels) -> NDArray[np.bool_]:
    """Return which usable rows (n,) have their centre in the rectangle around all labels."""
    west, south, east, north = shapely.total_bounds(labels.shapes)
    lon, lat = table.lonlat.T
    return table.stored.usable & (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)


def _polygon_hits(table: EmbeddingTable, labels: Labels, polygon: NDArray[np.bool_]) -> _Hits:
    """Pair rows with the polygons that cover part of their outline, or hold their centre."""
    which = np.flatnonzero(polygon)
    nothing = _Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    if not len(which):
        return nothing
    west, south, east, north = shapely.total_bounds(labels.shapes[which])
    sides = bounds_of(table)
    near = (
        table.stored.usable
        & (sides[2] >= west)
        & (sides[0] <= east)
        & (sides[3] >= south)
        & (sides[1] <= north)
    )
    rows = np.flatnonzero(near)
    tree = shapely.STRtree(labels.shapes[which])
    at, _ = tree.query(shapely.box(*sides[:, rows]))
    rows = rows[np.unique(at)]
    if not len(rows):
        return nothing
    outlines = outlines_of(table, rows)
    polygons = labels.shapes[which]
    shapely.prepare(polygons)
    at, hit = tree.query(outlines, predicate="intersects")
    share = np.ones(len(at))
    whole = shapely.area(outlines)
    inside = shapely.covers(polygons[hit], outlines[at])
    border = np.flatnonzero(~inside & (whole[at] > 0))
    cut = shapely.area(shapely.intersection(outlines[at[border]], polygons[hit[border]]))
    share[border] = cut / whole[at[border]]
    kept = share > TOUCH
    return _Hits(rows[at[kept]], which[hit[kept]], share[kept])


def _point_hits(table: EmbeddingTable, labels: Labels, point: NDArray[np.bool_], distance_m: float) -> _Hits:
    """Pair points with the row of the nearest centre, if its outline holds the point or it is near enough."""
    which = np.flatnonzero(point)
    centres = np.flatnonzero(table.stored.usable & np.isfinite(table.lonlat).all(axis=1))
    if not len(which) or not len(centres):
        return _Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    parts, of = shapely.get_parts(labels.shapes[which], return_index=True)
    lonlat = shapely.get_coordinates(parts)
    chord, nearest = KDTree(on_sphere(table.lonlat[centres])).query(on_sphere(lonlat))
    metres = 2 * MEAN_EARTH_RADIUS_M * np.arcsin(np.clip(chord / 2, 0, 1))
    rows = centres[nearest]
    kept = metres <= distance_m
    far = np.flatnonzero(~kept)
    if len(far):
        unique, back = np.unique(rows[far], return_inverse=True)
        kept[far] = shapely.intersects(outlines_of(table, unique)[back], parts[far])
    return _Hits(rows[kept], which[of[kept]], np.ones(int(kept.sum())))


def _nowhere(table: EmbeddingTable, labels: Labels, point: NDArray[np.bool_], distance_m: float) -> str:
    if not np.isfinite(table.lonlat).all(axis=1).any():
        return f"{table.name} does not say where its rows are, so labels cannot be placed on them."
    lon, lat = table.lonlat.T
    spans = [
        f"{w:.3f} to {e:.3f} east and {s:.3f} to {n:.3f} north"
        for w, s, e, n in (
            shapely.total_bounds(labels.shapes),
            (np.nanmin(lon), np.nanmin(lat), np.nanmax(lon), np.nanmax(lat)),
        )
    ]
    hint = (
        "choose the table of that place, or give a distance for points between tiles."
        if point.any() and not distance_m
        else "choose the table of that place, or check the CRS of the labels."
    )
    return (
        f"None of the {len(labels):,} labels lies on a tile: the labels span {spans[0]} degrees, the table "
        f"{spans[1]}: {hint}"
    )
