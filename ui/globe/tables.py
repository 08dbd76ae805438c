"""Which tables there are, and one of them made ready to be shown: its rows, places and projection, shared by all users."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from earth_mae_components import encode_points
from numpy.typing import NDArray

from core.atlas import EmbeddingTable, TableError, open_table
from core.atlas.analysis.project import ProjectionSpec, project
from core.atlas.store.shards import has_manifest
from core.atlas.store.table import recipe_of
from core.cli.verbs.atlas import WORLD
from core.errors import ExplorerError
from core.geo.catalogue import DATA_VARIABLE
from ui.globe.desk import own_tables
from ui.shell import cached, state
from ui.shell.jobs import tables_of

SHIPPED = "The world at 7 to 30 km"
OPEN_AT_ONCE, SHOWN_AT_ONCE = 4, 6


@dataclass(frozen=True, eq=False)
class Scene:
    """Rows ready to be shown: `lonlat` and `plane` (n, 2) float32, NaN where unknown; `points` what the browser fetches."""

    table: EmbeddingTable
    lonlat: NDArray[np.float32]
    plane: NDArray[np.float32]
    points: bytes
    problems: tuple[str, ...]

    @property
    def placed(self) -> bool:
        """Whether any row says where it is."""
        return bool(np.isfinite(self.lonlat).any())


def known() -> dict[str, Path]:
    """The tables that this session can open, by name: the shipped world, those in the folders given at start, this session's own."""
    found = {SHIPPED: WORLD} if any(WORLD.glob("*.parquet")) else {}
    for text in filter(None, os.environ.get(DATA_VARIABLE, "").split(os.pathsep)):
        folder = Path(text)
        if not folder.is_dir():
            continue
        candidates = [folder, *sorted(child for child in folder.iterdir() if child.is_dir())]
        found |= {
            child.name: child for child in candidates if has_manifest(child) and any(child.glob("*.parquet"))
        }
        if not has_manifest(folder):
            found |= {file.stem: file for file in sorted(folder.glob("*.parquet"))}
    return {**found, **tables_of(state.owner()), **own_tables()}


def table_at(path: Path) -> EmbeddingTable:
    """A table, opened once for all users; opened again when its files changed."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    try:
        stamp = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except OSError:
        raise TableError(f"The table {path.name} is no longer there: choose another.") from None
    return cached.shelf("tables", OPEN_AT_ONCE).once((str(path), stamp), lambda: open_table(path))


def scales(table: EmbeddingTable) -> tuple[float, ...]:
    """The GSDs of a table's rows in metres, rounded to three figures; () where they are unknown."""

    def find() -> tuple[float, ...]:
        gsd = table.columns["gsd_m"].to_numpy().astype(np.float64)
        return tuple(sorted({float(f"{value:.3g}") for value in np.unique(gsd[np.isfinite(gsd)]).tolist()}))

    return cached.shelf("table scales", 16).once(table.fingerprint, find)


def rows_of(table: EmbeddingTable, model: str, gsd_m: float) -> NDArray[np.int64] | None:
    """The rows of one model and one GSD (three figures); None for all. Raises TableError where none is left."""
    keep = np.ones(len(table), bool)
    if model:
        names = np.array(recipes(table), object)
        keep &= names == model
    if gsd_m:
        gsd = table.columns["gsd_m"].to_numpy().astype(np.float64)
        keep &= np.abs(gsd - gsd_m) <= 0.006 * gsd_m
    if keep.all():
        return None
    if not keep.any():
        raise TableError("No row of this table has that model and that scale: choose others.")
    return np.flatnonzero(keep)


def recipes(table: EmbeddingTable) -> list[str]:
    """For every row, how its vector was made, in the words of `EmbeddingTable.models`."""
    columns = table.columns.select(["model", "checkpoint_sha256", "pooling"])
    combined = columns.combine_chunks()
    words: dict[tuple[object, ...], str] = {}
    rows = zip(*(combined[name].to_pylist() for name in combined.column_names), strict=True)
    return [words.setdefault(row, recipe_of(*row)) for row in rows]


def scene(path: Path, model: str = "", gsd_m: float = 0.0) -> Scene:
    """A table's rows of one model and scale, ready to be shown. A table that mixes models is shown by its first."""
    table = table_at(path)
    if len(table.models) > 1 and model not in table.models:
        model = table.models[0]
    elif len(table.models) == 1:
        model = ""
    key = (table.fingerprint, model, gsd_m)
    return cached.shelf("scenes", SHOWN_AT_ONCE).once(key, lambda: _made(table, rows_of(table, model, gsd_m)))


def _made(table: EmbeddingTable, rows: NDArray[np.int64] | None) -> Scene:
    shown = table if rows is None else table.take(rows)
    problems = shown.stored.problems
    try:
        plane = project(shown, ProjectionSpec()).xy
    except ExplorerError as problem:
        plane, problems = np.zeros((len(shown), 2), np.float32), (*problems, str(problem))
    lonlat = shown.lonlat.astype(np.float32)
    lonlat[~(np.abs(lonlat) <= (360, 90)).all(axis=1)] = np.nan
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180  # some tables count longitudes from 0 to 360
    placed = bool(np.isfinite(lonlat).any())
    for array in (lonlat, plane):
        array.flags.writeable = False
    return Scene(shown, lonlat, plane, encode_points(lonlat=lonlat if placed else None, xy=plane), problems)


def row_at(scene: Scene, identity: str) -> int | None:
    """The row of an identity among those on show; None where it is not among them."""
    if not identity:
        return None
    try:
        return scene.table.row_of(identity)
    except TableError:
        return None
