"""One place, read and embedded as the rows of a table were, as a row that can join a table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...atlas import TableInfo, make_rows
from ...atlas.store.outline import geometry_columns, outline_of_ring
from ...geo import Entry, Tile, ground
from ...geo.picture import Header
from ...models.registry import cards, default_embedder
from ...policy import policy_to_text
from .outlines import EDGE_POINTS, around_square
from .query import ready_like
from .rows import acquired


@dataclass(frozen=True, eq=False)
class EmbeddedPlace:
    """`vector` (d,) float32, the one row that says how it came about, and what a table of such rows declares."""

    vector: NDArray[np.float32]
    row: pa.Table
    info: TableInfo


def default_recipe() -> dict[str, Any]:
    """Give how the shipped embedding makes a row, in the columns of a table."""
    card = cards()[default_embedder()]
    return {
        "model": card.name,
        "checkpoint_sha256": card.weights.sha256 if card.weights else None,
        "pooling": card.pooling,
    }


def embed_place(like: Mapping[str, Any], tile: Tile, header: Header, entry: Entry) -> EmbeddedPlace:
    """Embed a tile with the model, pooling, policy and size that a table's row names, and say all of it in a row.

    `header` of the picture that the tile was cut from gives its window in source pixels. Raises InputError as `embed_like` does.
    """
    ready = ready_like(like, tile)
    vector, card, fed = ready.embed(), ready.model.card, ready.fed
    pooling, policy = ready.pooling or card.pooling, policy_to_text(ready.policy)
    weights = card.weights.sha256 if card.weights else None
    info = TableInfo(
        card.name, weights, pooling, len(vector), source_data=(tile.ref.source,), licence=card.licence
    )
    said: dict[str, Any] = {
        "product_id": tile.ref.key, "source": tile.ref.source, "timestamp": acquired(entry.when or header.when), "crs": tile.crs, "gsd_m": fed.tile.gsd,
        "native_gsd_m": tile.native_gsd_m, "image_size": fed.side, "valid_fraction": float(fed.valid.mean()), "input_res_m": ready.res,
        "res_policy": policy, "pooling": pooling, "model": card.name, "checkpoint_sha256": weights,
    }  # fmt: skip
    box = _pixel_box(tile, header)
    where = box or (tile.crs, tile.transform)  # of the globe every tile has a frame of its own
    common = f"{said['source']} {said['product_id']} {said['gsd_m']} {fed.side} {card.name} {weights} {pooling} {policy} {where}"
    columns = {name: [value] for name, value in said.items()}
    columns |= {"unique_id": [hashlib.sha256(common.encode()).hexdigest()[:20]], "pixel_bbox": [box]}
    return EmbeddedPlace(vector, make_rows(vector[None], {**columns, **_place(tile)}), info)


def _place(tile: Tile) -> dict[str, Any]:
    """Give centre and outline in degrees; nothing where the place is unknown."""
    if tile.crs is None or tile.transform is None:
        return {}
    edge = around_square(np.arange(4 * EDGE_POINTS) / EDGE_POINTS)
    across, down = (np.append(side, 0.5) for side in edge)
    lon, lat = ground.to_lonlat(tile.crs, tile.transform, across * tile.width, down * tile.height)
    lon = (lon + 180) % 360 - 180
    return {
        "centre_lon": lon[-1:],
        "centre_lat": lat[-1:],
        **geometry_columns([outline_of_ring(lon[:-1], lat[:-1])]),
    }


def _pixel_box(tile: Tile, header: Header) -> list[int] | None:
    """Give left, top, right, bottom of a tile in pixels of the picture that it was cut from."""
    if tile.transform is None or header.transform is None or tile.crs != header.crs:
        return None
    a, b, c, d, e, f = header.transform
    ta, tb, tc, td, te, tf = tile.transform
    there = np.linalg.inv(np.array([[a, b, c], [d, e, f], [0, 0, 1]])) @ np.array(
        [[ta, tb, tc], [td, te, tf], [0, 0, 1]]
    )
    corners = np.round(there @ np.array([[0, tile.width], [0, tile.height], [1, 1]]))[:2]
    left, right = np.clip(corners[0], 0, header.width).astype(int).tolist()
    top, bottom = np.clip(corners[1], 0, header.height).astype(int).tolist()
    return [left, top, right, bottom]
