"""One place, read and embedded as the rows of a table were, as a row that can join a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...atlas import TableInfo, make_rows
from ...atlas.store.outline import geometry_columns
from ...geo import Entry, Tile
from ...geo.picture import Header
from ...models.registry import cards, default_embedder
from ...policy import policy_to_text
from .digests import row_id
from .outlines import rings_of_boxes
from .query import prepare_like
from .rows import acquired


@dataclass(frozen=True, eq=False)
class EmbeddedPlace:
    """The `vector` (d,) float32 of a place, its row, and the declaration of a table of such rows."""

    vector: NDArray[np.float32]
    row: pa.Table
    info: TableInfo


def default_recipe() -> dict[str, Any]:
    """Return how the default embedding model makes a row, as columns of a table."""
    card = cards()[default_embedder()]
    return {
        "model": card.name,
        "checkpoint_sha256": card.weights.sha256 if card.weights else None,
        "pooling": card.pooling,
    }


def embed_place(like: Mapping[str, Any], tile: Tile, header: Header, entry: Entry) -> EmbeddedPlace:
    """Embed a tile with the model, pooling, policy and size of a table's row, and make a row of it.

    `header` and `entry` belong to the picture that the tile was cut from. Raises InputError as `embed_like`
    does.
    """
    query = prepare_like(like, tile)
    vector, card, fed = query.embed(), query.model.card, query.fed
    pooling, policy = query.pooling or card.pooling, policy_to_text(query.policy)
    weights = card.weights.sha256 if card.weights else None
    source, product, gsd_m = tile.ref.source, tile.ref.key, fed.tile.gsd
    info = TableInfo(card.name, weights, pooling, len(vector), source_data=(source,), licence=card.licence)
    box = _pixel_box(tile, header)
    where = box or (tile.crs, tile.transform)  # every tile of the globe has a projection of its own
    values: dict[str, Any] = {
        "unique_id": row_id(source, product, gsd_m, fed.side, card.name, weights, pooling, policy, where),
        "product_id": product, "source": source, "timestamp": acquired(entry.when or header.when),
        "crs": tile.crs, "pixel_bbox": box, "gsd_m": gsd_m, "native_gsd_m": tile.native_gsd_m,
        "image_size": fed.side, "valid_fraction": float(fed.valid.mean()), "input_res_m": query.res,
        "res_policy": policy, "pooling": pooling, "model": card.name, "checkpoint_sha256": weights,
    }  # fmt: skip
    columns = {name: [value] for name, value in values.items()}
    return EmbeddedPlace(vector, make_rows(vector[None], columns | _place_columns(tile)), info)


def _place_columns(tile: Tile) -> dict[str, Any]:
    """Return centre and outline in degrees; nothing if the place is unknown."""
    if tile.crs is None or tile.transform is None:
        return {}
    box = np.array([[0.0, 0.0, tile.width, tile.height]])
    rings = rings_of_boxes(tile.crs, tile.transform, box)
    lon, lat = rings.centre.T
    return {"centre_lon": lon, "centre_lat": lat, **geometry_columns(rings.outlines())}


def _pixel_box(tile: Tile, header: Header) -> list[int] | None:
    """Return left, top, right, bottom of a tile in pixels of the picture that it was cut from."""
    if tile.transform is None or header.transform is None or tile.crs != header.crs:
        return None
    to_picture = np.linalg.inv(_matrix(header.transform)) @ _matrix(tile.transform)
    corners = np.round(to_picture @ np.array([[0, tile.width], [0, tile.height], [1, 1]]))[:2]
    left, right = np.clip(corners[0], 0, header.width).astype(int).tolist()
    top, bottom = np.clip(corners[1], 0, header.height).astype(int).tolist()
    return [left, top, right, bottom]


def _matrix(transform: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array([transform[:3], transform[3:], (0, 0, 1)], np.float64)
