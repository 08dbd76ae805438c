"""A table of embeddings: one or many files or folders read as one; vectors are read on first use."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from ...geo.ground import MEAN_EARTH_RADIUS_M, on_sphere
from ...net.object_store import is_address
from ...shown import Shown
from ..errors import TableError
from ..schema import COLUMNS, VECTOR
from . import frames
from .conditions import matching_rows
from .grid_rows import Bounds
from .integrity import require_memory
from .mapped import MappedTable, can_map, find_mapped, how_to_map, make_mapped, take_rows
from .mixture import RECIPE, mixture, recipe_of, recipes_of
from .opening import open_parts
from .reading import TablePart, read_columns
from .remote import downloaded
from .vectors import StoredVectors, read_stored

pc: Any = pyarrow.compute
PLACE_ROWS = 1_000_000


@final
class EmbeddingTable(Shown):
    """Rows of places with a vector each, from `open_table` or, in memory, `EmbeddingTable.from_rows`."""

    def __init__(
        self, length: int, columns: Callable[[], pa.Table], vectors: Callable[[], StoredVectors],
        *, name: str, fingerprint: str, folder: Path | None = None, notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """Take the functions that read columns and vectors on first use.

        `notes` are sentences about the files, such as what was left out of a large raster.
        """
        self._length, self._columns, self._vectors = length, columns, vectors
        self.name, self.fingerprint, self.folder, self.notes = name, fingerprint, folder, notes

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    @classmethod
    def from_rows(cls, rows: pa.Table, name: str = "in memory") -> EmbeddingTable:
        """Wrap rows made by `make_rows`; raises TableError if there are none."""
        if not rows.num_rows:
            raise TableError("The table has no rows: embed something first, or widen the filter.")
        columns = rows.drop_columns([VECTOR])
        digest = hashlib.sha256()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        digest.update(sink.getvalue())
        part = TablePart.of_rows(rows)
        return cls(
            rows.num_rows,
            lambda: columns,
            lambda: read_stored([part], columns),
            name=name,
            fingerprint=digest.hexdigest(),
        )

    @cached_property
    def columns(self) -> pa.Table:
        """Everything but the vectors, as an Arrow table with the columns of `core.atlas.schema.COLUMNS`."""
        return self._columns()

    @cached_property
    def stored(self) -> StoredVectors:
        """The vectors as stored.

        Raises TableError if no row has a usable one, or widths differ.
        """
        return self._vectors()

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors as (n, d) float32 in the network's own values; zeros where a row has none."""
        if self.stored.scale is None:
            return self.stored.values
        return self.stored.values.astype(np.float32) * self.stored.scale[:, None]

    def vectors_of(self, rows: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """Return the vectors of some rows as (m, d) float32, without converting the others."""
        at = np.asarray(rows, np.int64)
        values = self.stored.values[at].astype(np.float32)
        return values if self.stored.scale is None else values * self.stored.scale[at, None]

    def unit_rows(self, rows: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """Return unit vectors of some rows as (m, d) float32; zeros where a row is not usable."""
        at = np.asarray(rows, np.int64)
        return self.stored.values[at].astype(np.float32) * self.stored.inverse_norm[at, None]

    def to_torch(self) -> dict[str, Any]:
        """The rows as a batch of torchgeo's embedding data sets: tensors `embedding` (n, d) float32, and `x`
        and `y` (n,) float64, longitude and latitude in degrees, NaN where the place is unknown.
        """
        torch = importlib.import_module(
            "torch"
        )  # on request only: tables are read and searched without torch
        lonlat = torch.from_numpy(np.ascontiguousarray(self.lonlat.T))
        return {"embedding": torch.from_numpy(self.vectors.copy()), "x": lonlat[0], "y": lonlat[1]}

    def to_arrow(self) -> pa.Table:
        """All columns and `embedding`, a list of d float32 per row, null where not usable.

        The geometry is that of `to_geopandas`, marked as GeoArrow WKB in WGS84.
        """
        return frames.arrow(self)

    def to_geopandas(self) -> Any:
        """A GeoDataFrame in EPSG:4326 with all columns: outlines, or centres where a row has no outline."""
        return frames.geopandas(self)

    def to_xarray(self) -> Any:
        """A Dataset: `embedding` (row, feature), NaN where not usable, and the columns as coordinates."""
        return frames.xarray(self)

    @property
    def dim(self) -> int:
        """The number of values in a vector."""
        return int(self.stored.values.shape[1])

    @cached_property
    def lonlat(self) -> NDArray[np.float64]:
        """Centres as (n, 2) longitude and latitude in degrees, NaN where the place is unknown."""
        return np.stack([self.columns[name].to_numpy() for name in ("centre_lon", "centre_lat")], axis=1)

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Every distinct recipe of the vectors as short text: model, weights and pooling."""
        keys = self.recipes.select(["model", "checkpoint_sha256", "pooling"]).to_pylist()
        return tuple(sorted({recipe_of(**row) for row in keys}))

    def require_one_model(self, among: NDArray[np.bool_] | None = None) -> None:
        """Raise TableError if rows (those of the (n,) `among`, else all) cannot be compared.

        These are rows of different models, weights or poolings, of pictures of different sizes, and under
        policies that gave the network different numbers.
        """
        message = mixture(self.recipes)
        if message and among is not None:
            message = mixture(recipes_of(self.columns.select(list(RECIPE)).filter(pa.array(among))))
        if message:
            raise TableError(message)

    @cached_property
    def recipes(self) -> pa.Table:
        """The distinct recipes of the rows, as from `store.mixture.recipes_of`."""
        return recipes_of(self.columns)

    def where(self, condition: str) -> EmbeddingTable:
        """Keep the rows for which a condition holds; raises FilterError, and TableError if none is left."""
        return self.take(self.rows_where(condition))

    def rows_where(self, condition: str) -> NDArray[np.int64]:
        """Return the numbers of the rows for which a SQL condition holds (see `store.conditions`)."""
        return matching_rows(self.columns, condition)

    def take(self, rows: NDArray[np.int64]) -> EmbeddingTable:
        """Keep some rows, in the order given; vectors are still read on first use."""
        rows = np.asarray(rows, np.int64)
        if not len(rows):
            raise TableError("No row is left: widen the filter or the selection.")
        self._require_memory_for(len(rows))
        key = hashlib.sha256(self.fingerprint.encode() + rows.tobytes()).hexdigest()
        return EmbeddingTable(
            len(rows), lambda: take_rows(self.columns, rows), lambda: self.stored.take(rows),
            name=self.name, fingerprint=key, folder=self.folder, notes=self.notes,
        )  # fmt: skip

    def _require_memory_for(self, count: int) -> None:
        """Raise TableError if a copy of so many rows of a mapped table is too large."""
        if "columns" in vars(self) and "stored" in vars(self):
            needed = (self.columns.nbytes + self.stored.values.nbytes) * count / len(self)
            require_memory(f"A selection of {count:,} rows", needed, advice="select fewer rows")

    def row_of(self, unique_id: str) -> int:
        """Find a row by its `unique_id`, else by its number; raises TableError if there is none."""
        row = pc.index(self.columns["unique_id"], unique_id).as_py()
        if row >= 0:
            return int(row)
        if unique_id.isdecimal() and int(unique_id) < len(self):
            return int(unique_id)
        raise TableError(
            f"There is no row {unique_id!r} in {self.name}: "
            f"give a unique_id of the table, or a number below {len(self):,}."
        )

    def nearest_place(self, lon: float, lat: float, among: NDArray[np.bool_] | None = None) -> int:
        """Find the usable row (of the (n,) `among`, if given) whose centre is nearest to a place in degrees.

        Raises TableError for an invalid place, and for a table without places.
        """
        if not (np.isfinite([lon, lat]).all() and abs(lon) <= 360 and abs(lat) <= 90):
            raise TableError(
                f"{lon:g}, {lat:g} is not a place on Earth: give longitude, then latitude, in degrees."
            )
        here, best, closest = on_sphere(np.array([[lon, lat]]))[0], -1, -np.inf
        candidates = self.stored.usable if among is None else self.stored.usable & among
        for start in range(0, len(self), PLACE_ROWS):  # of ten million rows at once: 600 MB
            block = slice(start, start + PLACE_ROWS)
            closeness = np.where(candidates[block], on_sphere(self.lonlat[block]) @ here, np.nan)
            if np.isfinite(closeness).any() and np.nanmax(closeness) > closest:
                best, closest = start + int(np.nanargmax(closeness)), np.nanmax(closeness)
        if best < 0:
            raise TableError(
                f"{self.name} does not say where its rows are: search by row or by image instead."
            )
        return best

    def distance_km(self, row: int, lon: float, lat: float) -> float:
        """Return the distance in km on a sphere from a row's centre to a place in degrees.

        NaN if the row has no place.
        """
        here, there = on_sphere(np.array([[lon, lat], self.lonlat[row]]))
        return (
            float(np.arctan2(np.linalg.norm(np.cross(here, there)), here @ there))
            * MEAN_EARTH_RADIUS_M
            / 1000
        )


def open_table(*paths: str | Path, bounds: Bounds | None = None) -> EmbeddingTable:
    """Open embeddings of any known product as one table: Parquet, rasters, Zarr stores and NumPy files.

    Only the footers of Parquet files are read now; pixels of rasters become rows at once, and those of a
    large raster are thinned (`notes` then says so). `bounds` (west, south, east, north in degrees; east may
    exceed 180) keeps what lies in an area, with every pixel if they fit. A table at s3://BUCKET/FOLDER is
    downloaded first, once. Raises TableError for a missing path, a file that is damaged or holds no vectors,
    and a table without rows.
    """
    if not paths:
        raise TableError("No table is given: name a folder or a .parquet file of embeddings.")
    files = [downloaded(str(path)) if is_address(path) else Path(path) for path in paths]
    if len(files) == 1:
        copy = find_mapped(files[0])
        if copy is not None:
            table = _of_copy(copy, files[0])
            return table if bounds is None else _within(table, bounds)
    parts = [part for path in files for part in open_parts(path, bounds)]
    length = sum(part.rows for part in parts)
    if not length:
        raise TableError(f"{files[0].name} has 0 rows: embed something into it first, or open another table.")
    digest = hashlib.sha256("\n".join(part.fingerprint for part in parts).encode()).hexdigest()
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    needed = sum(part.decoded_bytes for part in parts)
    if len(files) == 1 and can_map(files[0], needed):
        table = _of_copy(make_mapped(files[0], parts, digest, notes), files[0])
        return table if bounds is None else _within(table, bounds)
    if len(files) == 1:
        require_memory(files[0].name, needed, advice=how_to_map(files[0], needed))
    else:
        require_memory("The tables together", needed, advice="open one of them at a time")
    first = files[0] if files[0].is_dir() else files[0].parent
    name = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
    table = EmbeddingTable(
        length,
        lambda: read_columns(parts),
        lambda: read_stored(parts, table.columns),
        name=name,
        fingerprint=digest,
        folder=first,
        notes=notes,
    )
    return table if bounds is None else _within(table, bounds)


def _of_copy(copy: MappedTable, folder: Path) -> EmbeddingTable:
    table = EmbeddingTable(
        copy.columns.num_rows,
        lambda: copy.columns,
        lambda: copy.stored,
        name=folder.name,
        fingerprint=copy.fingerprint,
        folder=folder,
        notes=copy.notes,
    )
    table.recipes = copy.recipes
    return table


def _within(table: EmbeddingTable, bounds: Bounds) -> EmbeddingTable:
    """Keep the rows whose centre lies in an area; raises TableError if there are none."""
    west, south, east, north = bounds
    lon, lat = table.lonlat.T
    rows = np.flatnonzero(((lon - west) % 360 <= east - west) & (lat >= south) & (lat <= north))
    if not len(rows):
        raise TableError(f"No part of {table.name} lies in that area: choose another one.")
    return table.take(rows)


__all__ = ["COLUMNS", "EmbeddingTable", "StoredVectors", "open_table", "recipe_of"]
