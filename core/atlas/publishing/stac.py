"""STAC items and collections for written vectors, with the embedding extension (`emb:`).

Source: github.com/geo-embeddings/embeddings-stac-specification (README and schema, v0.0.1), STAC 1.0.0.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import shapely

from ...files import write_atomic
from ..errors import TableError
from ..store.table import EmbeddingTable
from .window import MODEL_PAGES

VERSION = "1.0.0"
EXTENSION = "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"
MEDIA = {
    ".parquet": "application/vnd.apache.parquet",
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".zarr": "application/vnd+zarr",
}


def write_stac(table: EmbeddingTable, asset: Path, *, kind: str = "pixel") -> tuple[Path, Path]:
    """Write `<name>.item.json` and `<name>.collection.json` beside a written file; return both paths.

    `kind` is pixel or chip. Raises TableError if no row of the table has a place.
    """
    item, collection = (asset.with_name(f"{asset.stem}.{what}.json") for what in ("item", "collection"))
    described = stac_item(table, asset, collection.name)
    write_atomic(item, _json(described))
    write_atomic(collection, _json(stac_collection(table, described, item.name, kind=kind)))
    return item, collection


def stac_item(table: EmbeddingTable, asset: Path, collection: str) -> dict[str, Any]:
    """Return an item for a written file, whose footprint and times are those of the table's rows."""
    shapes = shapely.from_wkb(table.columns["geometry"].drop_null().to_numpy())
    if not len(shapes):
        raise TableError(f"{table.name} does not say where its rows are, which a STAC item has to.")
    west, south, east, north = bounds = [float(side) for side in shapely.total_bounds(shapes)]
    outline = json.loads(shapely.to_geojson(shapely.box(west, south, east, north)))
    times = sorted({time for time in table.columns["timestamp"].to_pylist() if time is not None})
    sources = sorted({str(name) for name in table.columns["product_id"].to_pylist() if name})[:100]
    return {
        "type": "Feature", "stac_version": VERSION, "stac_extensions": [EXTENSION], "id": asset.stem,
        "collection": f"{asset.stem}-embeddings", "bbox": bounds, "geometry": outline,
        "properties": {**_when(times), "emb:runtime_parameters": _parameters(table)},
        "links": [
            {"rel": "collection", "href": f"./{collection}", "type": "application/json"},
            *({"rel": "emb:source-data", "href": f"urn:source:{name}"} for name in sources[:10]),
        ],
        "assets": {
            "embeddings": {"href": f"./{asset.name}", "type": MEDIA[asset.suffix], "roles": ["data"]},
        },
    }  # fmt: skip


def stac_collection(table: EmbeddingTable, item: dict[str, Any], name: str, *, kind: str) -> dict[str, Any]:
    """Return the collection of one item."""
    times = item["properties"]
    begin, end = (times.get(f"{which}_datetime") or times["datetime"] for which in ("start", "end"))
    sources = [{"rel": "emb:source-data", "href": _source(table)}]
    gsd = _only(table, "gsd_m")
    return {
        "type": "Collection", "stac_version": VERSION, "stac_extensions": [EXTENSION],
        "id": item["collection"], "license": "other",
        "description": f"{table.dim}-dimensional embeddings by {', '.join(table.models)}.",
        "extent": {"spatial": {"bbox": [item["bbox"]]}, "temporal": {"interval": [[begin, end]]}},
        "emb:type": kind, "emb:dimensions": table.dim, "data_type": "float32",
        **({"gsd": float(gsd)} if gsd else {}),
        "links": [
            {"rel": "item", "href": f"./{name}", "type": "application/geo+json"},
            *({"rel": "emb:model", "href": address} for address in _models(table)),
            *sources,
        ],
    }  # fmt: skip


def _when(times: Sequence[datetime.datetime]) -> dict[str, Any]:
    if not times:  # a time is required: that of writing, which the title says
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        return {"datetime": _text(now), "title": "Acquisition time unknown: the time is that of writing"}
    if len(times) == 1:
        return {"datetime": _text(times[0])}
    return {"datetime": None, "start_datetime": _text(times[0]), "end_datetime": _text(times[-1])}


def _text(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _parameters(table: EmbeddingTable) -> dict[str, Any]:
    names = ("model", "checkpoint_sha256", "pooling", "res_policy", "image_size", "input_res_m")
    return {name: value for name in names if (value := _only(table, name)) is not None}


def _only(table: EmbeddingTable, column: str) -> Any:
    """Return the value of a column if all rows share it."""
    values = table.columns[column].unique().to_pylist()
    return values[0] if len(values) == 1 else None


def _models(table: EmbeddingTable) -> list[str]:
    names = [str(name) for name in table.columns["model"].unique().to_pylist() if name] or ["unknown"]
    return [MODEL_PAGES.get(name) or (name if "://" in name else f"urn:model:{name}") for name in names]


def _source(table: EmbeddingTable) -> str:
    name = str(_only(table, "source") or table.name)
    return name if "://" in name else f"urn:source:{name.replace(' ', '-')}"


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()
