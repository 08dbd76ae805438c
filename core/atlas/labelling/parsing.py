"""Parses a label file; for the child process of `reading`."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import shapely

from ..errors import LabelError

pd: Any = pandas

IMPORTED_FIRST = ("geopandas", "pyogrio", "pyproj", "pyarrow.parquet")
"""What the child process imports before its memory is limited."""
MOST_FEATURES, MOST_CLASSES, MOST_VERTICES = 500_000, 200, 20_000_000
MOST_COLUMNS = 1000
LABEL_NAMES = ("label", "class", "category", "landcover", "land_cover", "crop", "type", "value", "name")
LON, LAT = ("lon", "longitude", "lng", "long", "centre_lon"), ("lat", "latitude", "centre_lat")
X, Y = ("x", "easting"), ("y", "northing")
WKT = ("wkt", "geometry", "geom", "the_geom")
KINDS = "GeoJSON, GeoPackage (.gpkg), CSV with longitude and latitude, or Parquet"
POINTS, AREAS = (0, 4), (3, 6)


def parse(source: bytes | str, name: str, column: str, kind: str, region: str, crs: str) -> dict[str, Any]:
    """Return the labels of a file as plain arrays; see `reading.Labels`. Raises LabelError."""
    import geopandas as gpd

    os.environ["CPL_VSIL_CURL_ALLOWED_FILENAME"] = "none"  # a file may name others: nothing is fetched
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    problems: list[str] = []
    frame = _frame(data, name, crs, problems)
    if len(frame) > MOST_FEATURES:
        raise LabelError(
            f"{name} holds {len(frame):,} features, more than {MOST_FEATURES:,}: split it, or crop it."
        )
    assert isinstance(frame, gpd.GeoDataFrame)
    if not len(frame):
        raise LabelError(f"{name} holds no features: export it again.")
    chosen = _column(frame, name, column)
    values, classes = _values(frame[chosen], name, chosen, kind)
    shapes, keep = _shapes(frame, name, values, problems)
    regions, region_names = _regions(frame, name, region)
    used = np.unique(values[keep].astype(int)) if classes else np.zeros(0, int)
    if classes:
        values = np.searchsorted(used, np.where(np.isfinite(values), values, 0)).astype(np.float64)
    wkb = shapely.to_wkb(shapes[keep]).tolist()
    return {
        "wkb": b"".join(wkb),
        "lengths": np.array([len(one) for one in wkb], np.int64),
        "values": values[keep],
        "classes": [classes[at] for at in used],
        "kind": "class" if classes else "number",
        "column": chosen,
        "columns": [str(each) for each in frame.columns if each != frame.geometry.name],
        "regions": regions[keep],
        "region_names": region_names,
        "problems": problems,
    }


def _frame(data: bytes, name: str, crs: str, problems: list[str]) -> Any:
    """Open the file as a GeoDataFrame, by its content."""
    try:
        if data[:4] == b"PAR1":
            return _with_crs(_parquet(data, name), name, crs, problems)
        if data[:16] == b"SQLite format 3\0" and data[68:72] in (b"GPKG", b"GP10", b"GP11"):
            return _with_crs(_by_gdal(data), name, crs, problems)
        if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
            return _with_crs(_by_gdal(data), name, crs, problems)
        if _is_text(data):
            _limit_columns(data.lstrip().partition(b"\n")[0].count(b",") + 1, name)
            return _with_crs(_from_columns(pd.read_csv(io.BytesIO(data)), name), name, crs, problems)
    except LabelError:
        raise
    except MemoryError:
        raise
    except Exception as problem:  # GDAL, Arrow and pandas raise errors of many kinds
        raise LabelError(f"{name} cannot be read as labels: save it again as {KINDS}.") from problem
    raise LabelError(f"{name} is not a label file: save it as {KINDS}.")


def _limit_columns(count: int, name: str) -> None:
    if count > MOST_COLUMNS:
        raise LabelError(
            f"{name} has {count:,} columns, more than {MOST_COLUMNS:,}: keep those of the labels."
        )


def _by_gdal(data: bytes) -> Any:
    import pyogrio

    return pyogrio.read_dataframe(io.BytesIO(data), max_features=MOST_FEATURES + 1)


def _parquet(data: bytes, name: str) -> Any:
    import geopandas as gpd
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(io.BytesIO(data))
    if metadata.num_rows > MOST_FEATURES:
        raise LabelError(f"{name} holds {metadata.num_rows:,} features, more than {MOST_FEATURES:,}.")
    _limit_columns(metadata.num_columns, name)
    if b"geo" in (metadata.metadata or {}):
        json.loads((metadata.metadata or {})[b"geo"])
        file: Any = io.BytesIO(data)
        return gpd.read_parquet(file)
    return _from_columns(pq.read_table(io.BytesIO(data)).to_pandas(), name)


def _from_columns(frame: Any, name: str) -> Any:
    """Make points of longitude and latitude (or x and y with a CRS), or shapes of a column of WKT."""
    import geopandas as gpd

    lower = {str(column).strip().lower(): column for column in frame.columns}

    def find(names: tuple[str, ...]) -> Any:
        return next((lower[one] for one in names if one in lower), None)

    wkt, lon, lat, x, y = (find(names) for names in (WKT, LON, LAT, X, Y))
    if lon is not None and lat is not None:
        points = gpd.points_from_xy(pd.to_numeric(frame[lon]), pd.to_numeric(frame[lat]))
        return gpd.GeoDataFrame(frame.drop(columns=[lon, lat]), geometry=points, crs="EPSG:4326")
    if wkt is not None:
        shapes = shapely.from_wkt(frame[wkt].astype("string").to_numpy(object), on_invalid="ignore")
        return gpd.GeoDataFrame(frame.drop(columns=[wkt]), geometry=shapes)
    if x is not None and y is not None:
        points = gpd.points_from_xy(pd.to_numeric(frame[x]), pd.to_numeric(frame[y]))
        return gpd.GeoDataFrame(frame.drop(columns=[x, y]), geometry=points)
    raise LabelError(
        f"{name} does not say where its labels are: it needs columns lon and lat, x and y, or WKT; it has "
        f"{_listed(frame.columns)}."
    )


def _with_crs(frame: Any, name: str, crs: str, problems: list[str]) -> Any:
    """Return the features in WGS84 degrees; `crs`, if given, replaces what the file states."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if not hasattr(frame, "geometry") or "geometry" not in getattr(frame, "columns", ()):
        raise LabelError(f"{name} holds no shapes: export it with its points or polygons.")
    stated = frame.crs
    if stated is None and not crs:
        raise LabelError(
            f"{name} does not state its coordinate system (CRS): name it, for example EPSG:4326 for "
            "longitude and latitude."
        )
    if crs:
        try:
            given = CRS.from_user_input(crs)
        except CRSError:
            raise LabelError(
                f"{crs!r:.60} is not a coordinate system: write it like EPSG:4326 or EPSG:32633."
            ) from None
        frame = frame.set_crs(given, allow_override=True)
        if stated is not None and not given.equals(stated, ignore_axis_order=True):
            problems.append(f"Coordinates are read as {crs:.60}; the file itself says {stated.name}.")
    frame = frame.to_crs("EPSG:4326")
    west, south, east, north = frame.total_bounds
    if west < -360 or east > 360 or south < -90.001 or north > 90.001:
        raise LabelError(
            f"The coordinates of {name} reach from {west:g}, {south:g} to {east:g}, {north:g}, which are not "
            "degrees: name their coordinate system, for example EPSG:32633, or swap longitude and latitude."
        )
    return frame


def _column(frame: Any, name: str, column: str) -> str:
    """Choose the column of labels."""
    names = [str(each) for each in frame.columns if each != frame.geometry.name]
    if column:
        if column not in names:
            raise LabelError(f"{name} has no column {column!r:.60}: its columns are {_listed(names)}.")
        return column
    known = [each for each in names if each.lower() in LABEL_NAMES]
    ordered = sorted(known, key=lambda each: LABEL_NAMES.index(each.lower()))
    if ordered or len(names) == 1:
        return (ordered or names)[0]
    if not names:
        raise LabelError(f"{name} has shapes but no column with a class or a number: add one.")
    likely = [each for each in names if 2 <= frame[each].nunique() <= min(MOST_CLASSES, len(frame) / 2)]
    if not likely:
        raise LabelError(f"Name the column of {name} that holds the labels: {_listed(names)}.")
    return likely[0]


def _values(column: Any, name: str, title: str, kind: str) -> tuple[Any, list[str]]:
    """Return values (m,), NaN where missing, and the names of the classes (none for numbers)."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    whole = numeric and bool((column.dropna() % 1 == 0).all())
    if kind == "number" or (not kind and numeric and not (whole and column.nunique() <= 30)):
        numbers = pd.to_numeric(column, errors="coerce").astype(float)
        if kind == "number" and not numeric and numbers.notna().mean() < 0.5:
            raise LabelError(
                f"The column {title} of {name} does not hold numbers: use it as classes, or choose another."
            )
        return numbers.where(np.isfinite(numbers)).to_numpy(float), []
    text = column.dropna()
    text = text.astype(int).astype(str) if whole else text.astype(str).str.strip().str[:80]
    text = text[text != ""]
    classes = sorted(text.unique(), key=lambda each: (len(each), each) if whole else (0, each))
    if len(classes) > MOST_CLASSES:
        raise LabelError(
            f"The column {title} of {name} has {len(classes):,} different values, more than {MOST_CLASSES} "
            "classes: choose another column, or use it as numbers."
        )
    if not classes:
        raise LabelError(f"The column {title} of {name} is empty: choose another one.")
    codes = pd.Categorical(text.reindex(column.index), categories=classes).codes.astype(float)
    return np.where(codes < 0, np.nan, codes), list(classes)


def _shapes(frame: Any, name: str, values: Any, problems: list[str]) -> tuple[Any, Any]:
    """Return repaired shapes (m,) and which can be used (m,); say what was repaired or left out."""
    shapes = np.asarray(frame.geometry.values, object)
    shapes = shapely.force_2d(shapes)
    if int(shapely.get_num_coordinates(shapes).sum()) > MOST_VERTICES:
        raise LabelError(f"The shapes of {name} have over {MOST_VERTICES:,} vertices: simplify them.")
    kinds = shapely.get_type_id(shapes)
    area = np.isin(kinds, AREAS)
    broken = area & ~shapely.is_valid(shapes)
    if broken.any():
        shapes[broken] = [_polygons(shape) for shape in shapely.make_valid(shapes[broken])]
        problems.append(f"{_count(broken, 'polygon', 'was', 'were')} invalid and repaired.")
    bounds = shapely.bounds(shapes)
    placed = np.isfinite(bounds).all(axis=1) & ~shapely.is_empty(shapes)
    point, usable_kind = np.isin(kinds, POINTS), np.isin(kinds, (*POINTS, *AREAS))
    unlabelled = ~np.isfinite(values)
    for mask, what in (
        (~placed, "without a place"),
        (placed & ~usable_kind, "that is neither a point nor a polygon"),
        (placed & usable_kind & unlabelled, "without a label"),
    ):
        if mask.any():
            problems.append(f"{_count(mask, 'feature', 'is', 'are')} left out: {what}.")
    keep = placed & usable_kind & ~unlabelled
    if not keep.any():
        raise LabelError(f"{name} holds no usable label. {' '.join(problems)}")
    if (keep & point).any() and (keep & area).any():
        problems.append(
            f"{name} mixes {(keep & point).sum():,} points and {(keep & area).sum():,} polygons: both are "
            "used, and the polygon counts where a tile has both."
        )
    return shapes, keep


def _polygons(shape: Any) -> Any:
    """Return the polygons of a repaired shape as one flat shape."""
    parts = shapely.get_parts(shape)
    parts = shapely.get_parts(parts[np.isin(shapely.get_type_id(parts), AREAS)])
    return shapely.multipolygons(parts) if len(parts) != 1 else parts[0]


def _regions(frame: Any, name: str, region: str) -> tuple[Any, list[str]]:
    if not region:
        return np.full(len(frame), -1, np.int64), []
    if region not in frame.columns:
        raise LabelError(f"{name} has no column {region!r:.60} of regions: {_listed(frame.columns)}.")
    codes, names = pd.factorize(frame[region].astype("string"), sort=True)
    return codes.astype(np.int64), [str(each)[:80] for each in names]


def _count(mask: Any, noun: str, one: str, many: str) -> str:
    count = int(mask.sum())
    return f"{count:,} {noun} {one}" if count == 1 else f"{count:,} {noun}s {many}"


def _listed(names: Any) -> str:
    shown = [str(each)[:40] for each in list(names)[:12]]
    return ", ".join(shown) + (" ..." if len(names) > 12 else "")


def _is_text(data: bytes) -> bool:
    try:
        data[:4096].decode("utf-8")
    except UnicodeDecodeError as problem:
        return problem.start > 4000  # a character cut in two at the end
    return b"\0" not in data[:4096]
