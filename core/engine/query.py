"""A picture as a query: embedded exactly as the rows of a table were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engine.embed import embed
from core.engine.inputs import InputError, feed
from core.engine.loaded import load
from core.geo import TileSpec, open_source
from core.geo.tile import Tile
from core.models.registry import cards
from core.policy import policy_from_text


def embed_like(row: Mapping[str, Any], picture: Path | bytes | Tile, gsd_m: float | None = None) -> NDArray[np.float32]:
    """Embed the centred square of a picture (or a tile) with the model, pooling, policy and size that a table's row names, to (d,).

    A picture that does not know its scale is taken to have `gsd_m`, else the row's. Raises InputError where the model or its very
    weights are not here, and GeoError where the picture cannot be read.
    """
    name, weights = row.get("model"), row.get("checkpoint_sha256")
    card = cards().get(str(name))
    here = card.weights.sha256 if card and card.weights else None
    if card is None or here != weights:
        have = "not known here" if card is None else f"here with weights {str(here or 'untrained')[:12]}"
        raise InputError(
            f"The table was made with {name or 'an unnamed model'} ({str(weights or 'untrained')[:12]}), which is {have}: "
            "a picture can only be compared with the same weights; search by row or by place instead."
        )
    tile = picture if isinstance(picture, Tile) else _tile(picture, gsd_m or row.get("gsd_m"))
    fed = feed(tile, int(row.get("image_size") or card.input_px))
    policy = policy_from_text(str(row["res_policy"])) if row.get("res_policy") else None
    native = tile.native_gsd_m
    return embed(load(card.name), fed.unit[None], gsd_m=fed.tile.gsd, policy=policy, pooling=row.get("pooling"), native_gsd_m=native)[0]


def _tile(picture: Path | bytes, gsd_m: float | None) -> Tile:
    source = open_source(picture, gsd_m=gsd_m or 1.0)
    return source.read(TileSpec(source.ref()))
