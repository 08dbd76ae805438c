"""Zarr stores with the `geoemb:` convention, in a folder or zipped: TESSERA, AlphaEarth mosaics, ours.

Source: github.com/geo-embeddings/embeddings-zarr-convention (README, v1), with `proj:` and `spatial:` of
github.com/zarr-conventions.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geo.tile import Affine6
from ..errors import TableError
from . import alphaearth
from .grid import Floats, VectorGrid, moment
from .zarr_store import MAX_GROUPS, Document, ZarrStore, one_line

PREFIX = "geoemb:"
VERSION = "/v1/"
NAMES = ("embeddings", "embedding")
TEXTS = ("product_id", "model", "source", "pooling", "checkpoint_sha256", "res_policy")
AXES = {
    "y": ("y", "lat", "latitude", "northing", "row"), "x": ("x", "lon", "longitude", "easting", "col"),
    "time": ("time", "year", "date"),
    "band": ("band", "bands", "embedding", "embeddings", "feature", "features", "dim", "channel"),
}  # fmt: skip


def open_grids(path: Path) -> list[VectorGrid]:
    """Describe every group and date of a store as a grid.

    Raises TableError if zarr is not installed, and for a store that lacks `geoemb:` attributes, is damaged or
    uses a codec, a data type or a quantisation that this program does not read.
    """
    if importlib.util.find_spec("zarr") is None:
        raise TableError(f"{path.name} is a Zarr store: install zarr to read it (`pip install zarr`).")
    store = ZarrStore(path)
    attributes = store.attributes("")
    grids: list[VectorGrid] = []
    for group in store.groups():
        mine = {**attributes, **store.attributes(group)}
        array = _vectors_of(store, group, mine)
        if array is not None:
            grids += _grids(store, group, array, mine)
    if not any(key.startswith(PREFIX) for key in attributes) and not any(
        key.startswith(PREFIX) for group in store.groups() for key in store.attributes(group)
    ):
        raise TableError(
            f"{path.name} is a Zarr store without `geoemb:` attributes, so its vectors cannot be told from "
            "other arrays: add geoemb:type, geoemb:dimensions and geoemb:model to its root group."
        )
    if not grids:
        raise TableError(f"{path.name} holds no array of vectors: it needs one called `embeddings`.")
    return grids


def _vectors_of(store: ZarrStore, group: str, attributes: Document) -> str | None:
    """Return the path of the array of vectors in a group: by name, else the only one with enough axes."""
    prefix = f"{group}/" if group else ""
    for name in NAMES:
        if store.array_document(prefix + name):
            return prefix + name
    size = attributes.get(f"{PREFIX}dimensions")
    of_that_size = [
        child
        for child in store.children(group)[: 2 * MAX_GROUPS]
        if len(shape := store.array_document(child).get("shape") or ()) >= 3 and size in shape
    ]
    return of_that_size[0] if len(of_that_size) == 1 else None


@dataclass(frozen=True, eq=False)
class _Layout:
    """An open array with its axes, and an array of scales (per pixel) if it has one."""

    array: Any
    axes: tuple[str, ...]
    scales: Any
    scale_axes: tuple[str, ...]
    factor: NDArray[np.float32] | None
    offset: float
    squared: bool
    masked: float | None

    def read(self, at: int, rows: slice, cols: slice) -> Floats:
        """Read (r, c, d) vectors of one date."""
        stored = _read(self.array, self.axes, at, rows, cols)
        if self.squared:
            vectors = alphaearth.dequantised(stored)
        else:
            vectors = stored.astype(np.float32)
            if self.masked is not None and not math.isnan(self.masked):
                vectors[(stored == self.masked).all(axis=-1)] = np.nan
            if self.factor is not None:
                vectors = vectors * self.factor + np.float32(self.offset)
            if self.scales is not None:
                scale = _read(self.scales, self.scale_axes, at, rows, cols)
                with np.errstate(invalid="ignore"):  # NaN and infinity mean that there is no vector
                    vectors *= scale if scale.ndim == 3 else scale[..., None]
        vectors[~np.isfinite(vectors).all(axis=-1)] = np.nan
        return vectors


def _grids(store: ZarrStore, group: str, path: str, attributes: Document) -> list[VectorGrid]:
    prefix = f"{group}/" if group else ""
    array = store.open(path)
    axes = _axes(store, path, attributes)
    size = dict(zip(axes, array.shape, strict=True))
    crs, transform, notes = _place(store, prefix, attributes, (size["y"], size["x"]))
    layout = _with_scales(store, prefix, array, axes, attributes)
    stem = store.path.stem.removesuffix(".zarr")
    name = f"{stem}-{group}" if group else stem
    found = attributes.get(f"{PREFIX}dimensions")
    if isinstance(found, int) and found != size["band"]:
        raise TableError(
            f"{store.path.name} declares {found} dimensions, but its vectors have {size['band']}."
        )
    gsd, recipe = attributes.get(f"{PREFIX}gsd"), attributes.get("recipe")
    constants: dict[str, Any] = {
        "product_id": store.path.name,
        "model": str(attributes.get(f"{PREFIX}model", "")) or None,
        "source": _first(attributes.get(f"{PREFIX}source_data")),
    }
    if isinstance(recipe, dict):  # `convert` wrote the store
        constants = {name: recipe[name] for name in TEXTS if isinstance(recipe.get(name), str)}
        constants["timestamp"] = moment(recipe.get("timestamp"))
    if isinstance(gsd, int | float) and math.isfinite(gsd) and gsd > 0 and not _is_in_degrees(crs):
        constants["gsd_m"] = float(gsd)
    notes += _version_notes(store.path.name, attributes)
    return [
        VectorGrid(
            "geoemb Zarr", f"{name}-{date.year}" if date and size.get("time", 1) > 1 else name,
            size["y"], size["x"], size["band"],
            lambda rows, cols, at=at: layout.read(at, rows, cols),
            crs=crs, transform=transform, notes=notes if at == 0 else (),
            constants={**constants, **({"timestamp": date} if date else {})},
        )
        for at, date in enumerate(_dates(store, prefix, size.get("time", 1)))
    ]  # fmt: skip


def _axes(store: ZarrStore, path: str, attributes: Document) -> tuple[str, ...]:
    """Return the meaning of each axis, from its name, else from the number of dimensions of the vectors."""
    document = store.array_document(path)
    prefix = f"{path}/"
    named = (
        document.get("dimension_names")
        or store.attributes(path).get("_ARRAY_DIMENSIONS")
        or store.document(f"{prefix}.zattrs").get("_ARRAY_DIMENSIONS")
    )
    shape = document.get("shape") or ()
    if isinstance(named, list) and len(named) == len(shape):
        axes = tuple(
            next((axis for axis, names in AXES.items() if str(name).lower() in names), str(name))
            for name in named
        )
    else:
        size = attributes.get(f"{PREFIX}dimensions")
        rest = ["y", "x"] if len(shape) == 3 else ["time", "y", "x"]
        last = bool(shape) and shape[-1] == size
        at = len(shape) - 1 if last else len(shape) - 3
        axes = (*rest[:at], "band", *rest[at:]) if len(shape) in (3, 4) and size == shape[at] else ()
    if sorted(set(axes) - {"time"}) != ["band", "x", "y"] or len(axes) != len(set(axes)):
        raise TableError(
            f"The axes of {path} in {store.path.name} are not known: name its dimensions time, band, y and x."
        )
    return axes


def _read(array: Any, axes: tuple[str, ...], at: int, rows: slice, cols: slice) -> NDArray[Any]:
    """Read one date of an array as (r, c, d), or (r, c) if it has no axis of values."""
    selected: dict[str, Any] = {"time": at, "y": rows, "x": cols, "band": slice(None)}
    try:
        piece = np.asarray(array[tuple(selected[axis] for axis in axes)])
    except Exception as error:  # a damaged chunk may raise any error
        raise TableError(
            f"A chunk of {array.store_path.path or 'the store'} is damaged ({one_line(error)})."
        ) from error
    left = [axis for axis in axes if axis != "time"]
    return piece.transpose([left.index(axis) for axis in ("y", "x", "band") if axis in left])


def _with_scales(
    store: ZarrStore, prefix: str, array: Any, axes: tuple[str, ...], attributes: Document
) -> _Layout:
    """Say how stored values become vectors. Raises TableError for a quantisation that is not known."""
    how = attributes.get(f"{PREFIX}quantization")
    how = how if isinstance(how, dict) else {}
    method, scale = str(how.get("method", "")), how.get("scale")
    offset, name = how.get("offset", 0), "scales"
    if isinstance(scale, dict):
        name = str(scale.get("array_name", name))
        offset, scale = scale.get("offset", offset), scale.get("scale")
    squared = "127.5" in str(how.get("formula", "")) or method == "signed_square"
    factor: NDArray[np.float32] | None = None
    scales, scale_axes = None, ()
    per_pixel = "/" not in name and bool(store.array_document(prefix + name))
    if np.dtype(array.dtype).kind in "iu" and not squared:
        if per_pixel:
            scales = store.open(prefix + name)
            full = len(scales.shape) == len(axes)
            scale_axes = axes if full else tuple(axis for axis in axes if axis != "band")
            if tuple(scales.shape) != tuple(
                n for n, axis in zip(array.shape, axes, strict=True) if axis in scale_axes
            ):
                raise TableError(
                    f"The array {name} of {store.path.name} does not fit its vectors: copy it again."
                )
        elif isinstance(scale, int | float | list) and method in ("linear", "per_band_scale", "scale"):
            factor = np.asarray(scale, np.float32)
            offset = _first(offset) or 0
        elif how or np.dtype(array.dtype).itemsize == 1:
            raise TableError(
                f"The vectors of {store.path.name} are quantised by {method[:40] or 'an unstated method'!r}, "
                "which this program cannot undo: write them as float32, or with a linear scale."
            )
    fill = getattr(array, "fill_value", None)
    nodata = how.get("nodata", fill if np.dtype(array.dtype).kind in "iu" and fill else None)
    return _Layout(
        array, axes, scales, scale_axes, factor, float(offset) if isinstance(offset, int | float) else 0.0,
        squared, float(nodata) if isinstance(nodata, int | float | np.number) else None,
    )  # fmt: skip


def _place(
    store: ZarrStore, prefix: str, attributes: Document, size: tuple[int, int]
) -> tuple[str | None, Affine6 | None, tuple[str, ...]]:
    """Return CRS, transform and notes, from `proj:` and `spatial:`, else from the arrays x and y."""
    crs = attributes.get("proj:code") or attributes.get("proj:wkt2") or attributes.get("proj:projjson")
    if not crs:
        crs = attributes.get("crs_wkt") or (
            f"EPSG:{attributes['crs_epsg']}" if "crs_epsg" in attributes else None
        )
    crs = json.dumps(crs) if isinstance(crs, dict) else crs
    found = attributes.get("spatial:transform") or attributes.get("transform")
    numbers = [float(v) for v in found[:6] if isinstance(v, int | float)] if isinstance(found, list) else []
    if len(numbers) == 6:
        a, b, c, d, e, f = numbers
        if attributes.get("spatial:registration") == "node":  # the origin is the centre of the first pixel
            c, f = c - (a + b) / 2, f - (d + e) / 2
        transform: Affine6 | None = (a, b, c, d, e, f)
    else:
        transform = _from_centres(store, prefix, size)
    if not isinstance(crs, str) or transform is None:
        note = f"{store.path.name} does not state its CRS and transform, so its rows have no place."
        return None, None, (note,)
    return crs, transform, ()


def _from_centres(store: ZarrStore, prefix: str, size: tuple[int, int]) -> Affine6 | None:
    """Return the transform of even coordinates of pixel centres; None without them."""
    ends: list[tuple[float, float]] = []
    for names, count in ((AXES["x"], size[1]), (AXES["y"], size[0])):
        name = next((n for n in names if store.array_document(prefix + n).get("shape") == [count]), None)
        if name is None or count < 2:
            return None
        centres = np.asarray(store.open(prefix + name)[:], np.float64)
        step = (centres[-1] - centres[0]) / (count - 1)
        if not step or not np.allclose(np.diff(centres), step, rtol=1e-3):
            return None
        ends.append((step, centres[0] - step / 2))
    (across, left), (down, top) = ends
    return (across, 0.0, left, 0.0, down, top)


def _dates(store: ZarrStore, prefix: str, count: int) -> list[datetime.datetime | None]:
    """Return the date of each step of the time axis: years as numbers; None where unknown."""
    if store.array_document(f"{prefix}time").get("shape") != [count]:
        return [None] * count
    years = np.asarray(store.open(f"{prefix}time")[:]).tolist()
    known = all(isinstance(year, int) and 1900 <= year <= 2200 for year in years)
    return [datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) if known else None for year in years]


def _version_notes(name: str, attributes: Document) -> tuple[str, ...]:
    """Say so if the store follows another version of the convention."""
    listed = attributes.get("zarr_conventions")
    for entry in listed if isinstance(listed, list) else ():
        text = (
            str(entry.get("schema_url", ""))
            if isinstance(entry, dict) and entry.get("name") == PREFIX
            else ""
        )
        if text and VERSION not in text:
            return (f"{name} follows another version of the geoemb: convention; it is read as version 1.",)
    return ()


def _is_in_degrees(crs: str | None) -> bool:
    import pyproj
    from pyproj.exceptions import ProjError

    try:
        return crs is not None and pyproj.CRS.from_user_input(crs).is_geographic
    except ProjError:
        return False


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value
