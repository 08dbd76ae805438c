"""The CRS, affine transform, bands and nodata value of a DataArray, as rioxarray and odc-geo write them."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from ..geo import ground
from ..geo.tile import RGB, Affine6, GeoError

SPATIAL_REF = "spatial_ref"
PAIRS = (("y", "x"), ("latitude", "longitude"), ("lat", "lon"))
"""Names of the two spatial dimensions: projected CRS, odc-geo's for degrees, and the short form."""
NODATA = ("_FillValue", "nodata", "missing_value")
EVEN = 1e-3
"""Largest deviation of one step between coordinates from the mean step, as a share of it."""


@dataclass(frozen=True)
class Georeference:
    """Where the pixels of a DataArray lie; `y` and `x` are its spatial dimensions.

    `crs` as WKT, `transform` (a, 0, c, 0, e, f) of north-up or south-up pixels; `crs_name` is the coordinate
    that holds the CRS.
    """

    y: Hashable
    x: Hashable
    crs: str
    transform: Affine6
    crs_name: str


def georeference(array: xr.DataArray) -> Georeference:
    """Read the georeference of an array; raises GeoError, which says what to add, if it has none."""
    y, x = spatial_dims(array)
    crs_name, stored = _stored(array)
    crs = stored.get("crs_wkt") or stored.get("spatial_ref") or array.attrs.get("crs")
    if crs is None:
        raise GeoError(
            'This array has no CRS: set it, for example da.rio.write_crs("EPSG:32633"), '
            'or "EPSG:4326" for latitude and longitude.'
        )
    text = str(crs)
    if not ground.usable_crs(text):
        raise GeoError(f"The CRS {text!r:.60} is not a map projection or degrees: set another one.")
    transform = _transform(array, y, x, str(stored.get("GeoTransform", "")))
    found = Georeference(y, x, text, transform, crs_name)
    _require_on_earth(found, array.sizes[y], array.sizes[x])
    return found


def spatial_dims(array: xr.DataArray) -> tuple[Hashable, Hashable]:
    """Return the names of the last two dimensions; raises GeoError if they are not y and x, in this order."""
    names = next((pair for pair in PAIRS if set(pair) <= set(array.dims)), None)
    if names is None:
        raise GeoError(
            f"This array has the dimensions {_listed(array.dims)}: rename its spatial ones to y and x."
        )
    if array.dims[-2:] != names:
        y, x = names
        raise GeoError(
            f"The dimensions {_listed(array.dims)} are in another order than (band, {y}, {x}): "
            f'use da.transpose(..., "{y}", "{x}").'
        )
    return names


def band_dim(array: xr.DataArray) -> Hashable | None:
    """Return the dimension of the bands, None if there is none.

    Raises GeoError if there is a dimension beside it, such as time, or time in its place.
    """
    others = array.dims[:-2]
    if len(others) == 1 and (others[0] == "time" or array[others[0]].dtype.kind == "M"):
        raise GeoError(
            f"This array has the dimension {others[0]} but no bands: "
            f"choose one date with da.isel({others[0]}=0)."
        )
    if len(others) > 1:
        extra = next((name for name in others if name != "band"), others[0])
        raise GeoError(
            f"This array also has the dimension {extra}, but one picture is needed: "
            f"choose one with da.isel({extra}=0)."
        )
    return others[0] if others else None


def band_names(array: xr.DataArray) -> tuple[str, ...]:
    """Return the names of the bands: `long_name` as rioxarray keeps them, else the coordinate's values."""
    dim = band_dim(array)
    if dim is None:
        return (str(array.name or "value"),)
    stated = array.attrs.get("long_name")
    if isinstance(stated, tuple | list) and len(stated) == array.sizes[dim]:
        return tuple(map(str, stated))
    values = array[dim].values.tolist() if dim in array.coords else range(1, array.sizes[dim] + 1)
    return tuple(str(value) for value in values)


def require_pixels(array: xr.DataArray) -> None:
    """Raise GeoError if an array has no pixels, or values other than real numbers."""
    if not array.size:
        raise GeoError(f"This array is empty ({_listed(array.shape)} values): select a larger part of it.")
    if array.dtype.kind not in "biuf":
        way = "abs(da)" if array.dtype.kind == "c" else 'da.astype("float32")'
        raise GeoError(f"This array holds {array.dtype} values, but a network needs real numbers: use {way}.")


def rgb_of(names: tuple[str, ...], chosen: RGB | tuple[str, str, str] | None) -> RGB:
    """Return the 0-based bands to feed: as chosen by number or name, else those called red, green and blue,
    else the first three, or the only one three times.

    Raises GeoError for a band that does not exist.
    """
    if chosen is None:
        lower = [name.lower() for name in names]
        if {"red", "green", "blue"} <= set(lower):
            return lower.index("red"), lower.index("green"), lower.index("blue")
        return (0, 1, 2) if len(names) >= 3 else (0, 0, 0)
    selected = [names.index(band) if band in names else band for band in chosen]
    for band in selected:
        if not isinstance(band, int) or not 0 <= band < len(names):
            raise GeoError(
                f"There is no band {band!r:.40}: choose three names of {_listed(names[:12])}, "
                f"or numbers from 0 to {len(names) - 1}."
            )
    if len(selected) != 3:
        raise GeoError(f"{len(selected)} bands are chosen, but a network takes three: name three.")
    red, green, blue = (int(band) for band in selected)
    return red, green, blue


def nodata_of(array: xr.DataArray) -> float | None:
    """Return the value that marks missing pixels beside NaN, from the attributes or the encoding."""
    for place in (array.attrs, array.encoding):
        for name in NODATA:
            if place.get(name) is not None:
                try:
                    return float(np.asarray(place[name]).item())
                except (TypeError, ValueError):
                    raise GeoError(
                        f"The nodata value {place[name]!r:.40} in {name} is not a number: "
                        "set one with da.rio.write_nodata."
                    ) from None
    return None


def coordinates(where: Georeference, height: int, width: int, step_px: int = 1) -> dict[Hashable, Any]:
    """Return the coordinates of a grid of pixels of `step_px` source pixels: centres, and the CRS."""
    a, _, c, _, e, f = where.transform
    attributes = {"crs_wkt": where.crs, "spatial_ref": where.crs}
    return {
        where.y: f + e * step_px * (np.arange(height) + 0.5),
        where.x: c + a * step_px * (np.arange(width) + 0.5),
        where.crs_name: xr.Variable((), 0, attributes),
    }


def _stored(array: xr.DataArray) -> tuple[str, dict[str, Any]]:
    """Return the coordinate that describes the CRS (CF: the grid mapping), and its attributes."""
    stated = array.encoding.get("grid_mapping") or array.attrs.get("grid_mapping") or SPATIAL_REF
    for name in (stated, SPATIAL_REF, *(str(key) for key, one in array.coords.items() if one.ndim == 0)):
        attributes = array.coords[name].attrs if name in array.coords else {}
        if "crs_wkt" in attributes or "spatial_ref" in attributes:
            return str(name), dict(attributes)
    stored = dict(array.coords[stated].attrs) if stated in array.coords else {}
    return SPATIAL_REF, stored


def _transform(array: xr.DataArray, y: Hashable, x: Hashable, text: str) -> Affine6:
    """Return the affine transform from the coordinates, else from GDAL's GeoTransform."""
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        raise GeoError(
            f"The GeoTransform {text!r:.60} is not six numbers: set another with da.rio.write_transform."
        ) from None
    if len(numbers) == 6 and (numbers[2] or numbers[4]):
        raise GeoError(
            "The pixels of this array are rotated against its CRS: "
            "reproject it first, for example with da.rio.reproject(da.rio.crs)."
        )
    steps = [_step(array, name) for name in (x, y)]
    if all(step is not None for step in steps):
        a, e = (float(step or 0.0) for step in steps)
        first_x, first_y = (float(array[name].values[0]) for name in (x, y))
        if a < 0:
            raise GeoError(f'The coordinate {x} decreases: sort it with da.sortby("{x}").')
        return (a, 0.0, first_x - a / 2, 0.0, e, first_y - e / 2)
    if len(numbers) == 6:
        return (numbers[1], 0.0, numbers[0], 0.0, numbers[5], numbers[3])
    raise GeoError(
        f"This array has no resolution: give it the coordinates {y} and {x} of its pixel centres, "
        "or a transform with da.rio.write_transform."
    )


def _step(array: xr.DataArray, name: Hashable) -> float | None:
    """Return the step between coordinates, None without any; raises GeoError if it varies."""
    if name not in array.coords or array.coords[name].ndim != 1 or array.sizes[name] < 2:
        return None
    if array.coords[name].dtype.kind not in "iuf":
        raise GeoError(
            f"The coordinate {name} holds {array.coords[name].dtype} values: "
            "give it the positions of the pixel centres as numbers."
        )
    values = array.coords[name].values.astype(np.float64)
    step = float(values[-1] - values[0]) / (len(values) - 1)
    if not math.isfinite(step) or step == 0 or np.abs(np.diff(values) - step).max() > EVEN * abs(step):
        raise GeoError(
            f"The coordinate {name} is not evenly spaced, so the array has no single resolution: "
            "reproject it to a regular grid."
        )
    return step


def _require_on_earth(where: Georeference, height: int, width: int) -> None:
    cols, rows = np.array([0, width / 2, width]), np.array([0, height / 2, height])
    lon, _ = ground.to_lonlat(where.crs, where.transform, cols, rows)
    gsd = ground.ground_gsd(where.crs, where.transform, width / 2, height / 2)
    ys = where.transform[5] + where.transform[4] * rows
    beyond = pyproj.CRS.from_user_input(where.crs).is_geographic and bool((np.abs(ys) > 90.001).any())
    if beyond or not (np.isfinite(lon).all() and np.isfinite(gsd).all() and min(gsd) > 0):
        raise GeoError(
            f"The coordinates of this array lie outside its CRS: are {where.y} and {where.x} swapped, "
            "or is the CRS another one?"
        )


def _listed(names: Any) -> str:
    return "(" + ", ".join(map(str, names)) + ")"
