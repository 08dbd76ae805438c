"""The tables that can be opened, and the rows, locations and projection of one, shared by all users."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from earth_mae_components import encode_points
from numpy.typing import NDArray

from core.atlas import EmbeddingTable, TableError, open_table
from core.atlas.analysis.project import ProjectionSpec, project
from core.atlas.store.opening import is_product
from core.atlas.store.shards import has_manifest
from core.atlas.store.table import recipe_of
from core.cli.verbs.atlas import WORLD
from core.errors import ExplorerError
from core.geo.catalogue import DATA_VARIABLE
from ui.globe.panel_api import session_tables
from ui.shell import cached, state
from ui.shell.jobs import tables_of
from ui.shell.opened_tables import opened_by

SHIPPED = "The world at 7 to 30 km"
MAX_OPEN_TABLES, MAX_MAP_DATA = 4, 6
PRODUCT_SUFFIXES, MAX_LISTED = (".tif", ".tiff", ".npy", ".npz", ".zarr", ".zip"), 200


@dataclass(frozen=True, eq=False)
class MapData:
    """Rows with their map coordinates: `lonlat` and `plane` are (n, 2) float32, NaN where unknown.

    `points` holds both in the format that the browser fetches; `problems` are sentences about rows that
    cannot be shown.
    """

    table: EmbeddingTable
    lonlat: NDArray[np.float32]
    plane: NDArray[np.float32]
    points: bytes
    problems: tuple[str, ...]

    @property
    def has_locations(self) -> bool:
        """Whether any row has a location."""
        return bool(np.isfinite(self.lonlat).any())


def available_tables() -> dict[str, Path]:
    """Return the tables of this session by name: the world, those in the data folders, the user's own."""
    tables = {SHIPPED: WORLD} if any(WORLD.glob("*.parquet")) else {}
    for text in filter(None, os.environ.get(DATA_VARIABLE, "").split(os.pathsep)):
        folder = Path(text)
        if not folder.is_dir():
            continue
        candidates = [folder, *sorted(child for child in folder.iterdir() if child.is_dir())]
        tables |= {
            child.name: child for child in candidates if has_manifest(child) and any(child.glob("*.parquet"))
        }
        if not has_manifest(folder):
            tables |= {file.stem: file for file in sorted(folder.glob("*.parquet"))}
            tables |= {file.name: file for file in _products(folder)}
    owner = state.owner()
    opened = {each.title: each.table for each in opened_by(owner)}
    return {**tables, **tables_of(owner), **opened, **session_tables()}


def _products(folder: Path) -> list[Path]:
    """Return the embedding rasters, Zarr stores and NumPy files of a data folder."""
    listed = sorted(folder.iterdir())[:MAX_LISTED]
    known = cached.result_cache("products", 4 * MAX_LISTED)
    return [
        each
        for each in listed
        if each.suffix.lower() in PRODUCT_SUFFIXES
        and known.get_or_compute((str(each), each.stat().st_mtime_ns), partial(is_product, each))
    ]


def table_at(path: Path) -> EmbeddingTable:
    """Open a table once for all users, and again when its files change. Raises TableError if it is gone."""
    files = (sorted(path.glob("*.parquet")) if path.is_dir() else []) or [path]
    try:
        stamp = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except OSError:
        raise TableError(f"The table {path.name} no longer exists. Choose another one.") from None
    return cached.result_cache("tables", MAX_OPEN_TABLES).get_or_compute(
        (str(path), stamp), lambda: open_table(path)
    )


def scales(table: EmbeddingTable) -> tuple[float, ...]:
    """Return the GSDs of a table's rows in metres, rounded to three digits; () if unknown."""

    def find() -> tuple[float, ...]:
        gsd = table.columns["gsd_m"].to_numpy().astype(np.float64)
        return tuple(sorted({float(f"{value:.3g}") for value in np.unique(gsd[np.isfinite(gsd)]).tolist()}))

    return cached.result_cache("table scales", 16).get_or_compute(table.fingerprint, find)


def rows_of(table: EmbeddingTable, model: str, gsd_m: float) -> NDArray[np.int64] | None:
    """Return the rows of one model and one GSD (to three digits); None means all.

    Raises TableError if there are none.
    """
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
        raise TableError("No row of this table has this model and scale. Choose another model or scale.")
    return np.flatnonzero(keep)


def recipes(table: EmbeddingTable) -> list[str]:
    """Return for every row the model that produced its vector, written as in `EmbeddingTable.models`."""
    columns = table.columns.select(["model", "checkpoint_sha256", "pooling"])
    combined = columns.combine_chunks()
    names: dict[tuple[object, ...], str] = {}
    rows = zip(*(combined[name].to_pylist() for name in combined.column_names), strict=True)
    return [names.setdefault(row, recipe_of(*row)) for row in rows]


def map_data(path: Path, model: str = "", gsd_m: float = 0.0) -> MapData:
    """Return a table's rows of one model and scale with their map coordinates.

    The default is the table's first model.
    """
    table = table_at(path)
    if len(table.models) > 1 and model not in table.models:
        model = table.models[0]
    elif len(table.models) == 1:
        model = ""
    key = (table.fingerprint, model, gsd_m)
    return cached.result_cache("map data", MAX_MAP_DATA).get_or_compute(
        key, lambda: _build(table, rows_of(table, model, gsd_m))
    )


def _build(table: EmbeddingTable, rows: NDArray[np.int64] | None) -> MapData:
    shown = table if rows is None else table.take(rows)
    problems = (*table.notes, *shown.stored.problems)
    try:
        plane = project(shown, ProjectionSpec()).xy
    except ExplorerError as problem:
        plane, problems = np.zeros((len(shown), 2), np.float32), (*problems, str(problem))
    lonlat = shown.lonlat.astype(np.float32)
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180  # some tables count longitudes from 0 to 360
    lonlat[~(np.abs(lonlat) <= (360, 90)).all(axis=1)] = np.nan
    has_locations = bool(np.isfinite(lonlat).any())
    for array in (lonlat, plane):
        array.flags.writeable = False
    return MapData(
        shown, lonlat, plane, encode_points(lonlat=lonlat if has_locations else None, xy=plane), problems
    )


def row_at(data: MapData, identity: str) -> int | None:
    """Return the row with a unique_id; None if it is not among the rows shown."""
    if not identity:
        return None
    try:
        return data.table.row_of(identity)
    except TableError:
        return None
