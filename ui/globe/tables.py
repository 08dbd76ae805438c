"""The tables that can be opened, and the rows, locations and projection of one, shared by all users."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from earth_mae_components import encode_points, encode_surface
from numpy.typing import NDArray

from core.atlas import EmbeddingTable, TableError, open_table
from core.atlas.analysis.project import ProjectionSpec, fit_note, project
from core.atlas.analysis.surface import surface_rows, tile_sides
from core.atlas.store.opening import is_product
from core.atlas.store.shards import has_manifest
from core.atlas.store.table import recipe_of
from core.cli.verbs.atlas import WORLD
from core.errors import ExplorerError
from core.geo.catalogue import DATA_VARIABLE
from core.geo.land import land_share
from ui.globe.globe_state import GlobePageView, globe_view, set_globe_view
from ui.globe.panel_api import session_tables
from ui.shell import cached, state
from ui.shell.jobs import tables_of
from ui.shell.opened_tables import opened_by

SHIPPED = "The world at 7 to 30 km"
MAX_OPEN_TABLES, MAX_MAP_DATA = 4, 6
WHOLE_ROWS = 1_000_000
"""Tables of up to this many rows are drawn whole; of larger ones the browser draws a part."""
PRODUCT_SUFFIXES, MAX_LISTED = (".tif", ".tiff", ".npy", ".npz", ".zarr", ".zip"), 200
LAND_ROWS = 1_000_000
"""Rows that are compared with the coasts at a time, at 150 bytes each."""
LAND_AROUND, LAND_SHARE = 0.35, 0.25
"""A row is land if a quarter of the ground within about a third of its tile is: coasts count as land."""


@dataclass(frozen=True)
class Surface:
    """The rows that fill the map, called by the points route; equal for the same table."""

    table: EmbeddingTable
    land_only: bool

    def __call__(self) -> bytes:
        """Return the encoded rows; no pixels if the tiles cover too little of the Earth."""

        def make() -> bytes:
            rows = surface_rows(self.table, land_only=self.land_only)
            return encode_surface(np.zeros((0, 0), np.int32) if rows is None else rows)

        key = (self.table.fingerprint, self.land_only)
        return cached.result_cache("surfaces", MAX_MAP_DATA).get_or_compute(key, make)


@dataclass(frozen=True, eq=False)
class MapData:
    """Rows with their map coordinates: `lonlat` and `plane` are (n, 2) float32, NaN where unknown.

    `points` holds both in the format that the browser fetches, if it draws the whole table (see
    `ui.globe.map.drawn`); `problems` are sentences about rows that
    cannot be shown.
    """

    table: EmbeddingTable
    lonlat: NDArray[np.float32]
    plane: NDArray[np.float32]
    points: bytes
    problems: tuple[str, ...]
    surface: Surface

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


def shows_land_only(view: GlobePageView, table: EmbeddingTable) -> bool:
    """Tell whether the sea is left out: as the user chose, or by default in the table of the app."""
    land_only = view.table in ("", SHIPPED) if view.land_only is None else view.land_only
    return land_only and has_land_and_sea(table)


def scales(table: EmbeddingTable) -> tuple[float, ...]:
    """Return the GSDs of a table's rows in metres, rounded to three digits; () if unknown."""

    def find() -> tuple[float, ...]:
        known = [gsd for gsd in table.columns["gsd_m"].unique().to_pylist() if gsd is not None]
        return tuple(sorted({float(f"{gsd:.3g}") for gsd in known if np.isfinite(gsd)}))

    return cached.result_cache("table scales", 16).get_or_compute(table.fingerprint, find)


def land_rows(table: EmbeddingTable) -> NDArray[np.bool_]:
    """Return which rows (n,) show mostly land around their centre, or have no location."""

    def find() -> NDArray[np.bool_]:
        starts = range(0, len(table), LAND_ROWS)
        return np.concatenate([_on_land(table, slice(start, start + LAND_ROWS)) for start in starts])

    return cached.result_cache("land rows", 8).get_or_compute(table.fingerprint, find)


def _on_land(table: EmbeddingTable, rows: slice) -> NDArray[np.bool_]:
    share = land_share(table.lonlat[rows], tile_sides(table, rows) * LAND_AROUND)
    return ~(share < LAND_SHARE)


def has_land_and_sea(table: EmbeddingTable) -> bool:
    """Tell whether "land only" would leave out some rows of a table, of a large one of a part of its rows."""

    def find() -> bool:
        step = -(-len(table) // LAND_ROWS)
        land = land_rows(table) if step == 1 else _on_land(table, slice(None, None, 10 * step))
        return bool(land.any() and not land.all())

    return cached.result_cache("land and sea", 16).get_or_compute(table.fingerprint, find)


def rows_of(
    table: EmbeddingTable, model: str, gsd_m: float, land_only: bool = False
) -> NDArray[np.int64] | None:
    """Return the rows of one model and one GSD (to three digits), maybe without the sea; None means all.

    Raises TableError if there are none.
    """
    keep = np.ones(len(table), bool)
    if model:
        names = np.array(recipes(table), object)
        keep &= names == model
    if gsd_m:
        gsd = table.columns["gsd_m"].to_numpy().astype(np.float64)
        keep &= np.abs(gsd - gsd_m) <= 0.006 * gsd_m
    if land_only and has_land_and_sea(table):
        keep &= land_rows(table)
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


def map_data(path: Path, model: str = "", gsd_m: float = 0.0, land_only: bool = False) -> MapData:
    """Return a table's rows of one model and scale with their map coordinates.

    The default is the table's first model.
    """
    table = table_at(path)
    if len(table.models) > 1 and model not in table.models:
        model = table.models[0]
    elif len(table.models) == 1:
        model = ""
    key = (table.fingerprint, model, gsd_m, land_only)
    return cached.result_cache("map data", MAX_MAP_DATA).get_or_compute(
        key, lambda: _build(table, rows_of(table, model, gsd_m, land_only), land_only)
    )


def shown_data(path: Path, whole: EmbeddingTable) -> MapData:
    """Return the rows that the page's view asks for; the sea is included if the selected place lies there."""
    view = globe_view()
    land_only = shows_land_only(view, whole)
    data = map_data(path, view.model, view.gsd_m, land_only)
    if land_only and view.place and row_at(data, view.place) is None:
        set_globe_view(replace(view, land_only=False), remember=False)
        return map_data(path, view.model, view.gsd_m)
    return data


def _build(table: EmbeddingTable, rows: NDArray[np.int64] | None, land_only: bool) -> MapData:
    shown = table if rows is None else table.take(rows)
    problems = (*table.notes, *shown.stored.problems)
    try:
        plane = project(shown, ProjectionSpec()).xy
        problems = (*problems, *filter(None, [fit_note(shown)]))
    except ExplorerError as problem:
        plane, problems = np.zeros((len(shown), 2), np.float32), (*problems, str(problem))
    lonlat = shown.lonlat.astype(np.float32)
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180  # some tables count longitudes from 0 to 360
    lonlat[~(np.abs(lonlat) <= (360, 90)).all(axis=1)] = np.nan
    has_locations = bool(np.isfinite(lonlat).any())
    for array in (lonlat, plane):
        array.flags.writeable = False
    points = b""
    if len(shown) <= WHOLE_ROWS:
        points = encode_points(lonlat=lonlat if has_locations else None, xy=plane)
    return MapData(shown, lonlat, plane, points, problems, Surface(shown, land_only))


def row_at(data: MapData, identity: str) -> int | None:
    """Return the row with a unique_id; None if it is not among the rows shown."""
    if not identity:
        return None
    try:
        return data.table.row_of(identity)
    except TableError:
        return None
