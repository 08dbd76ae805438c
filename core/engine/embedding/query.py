"""A picture as a query: embedded exactly as the rows of a table were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas.store.patch_rasters import POOLING
from ...geo import TileSpec, open_source
from ...geo.tile import Tile
from ...models.base import Encoder
from ...models.registry import cards
from ...policy import Policy, policy_from_text
from ..embed import embed
from ..inputs import Fed, InputError, feed, res_of
from ..loaded import load
from ..tokens import patch_vectors


@dataclass(frozen=True, eq=False)
class Ready:
    """A tile brought to what a table's row says that its network was fed; `res` as the positional code receives it."""

    model: Encoder
    fed: Fed
    policy: Policy
    pooling: str | None
    native_gsd_m: float

    @property
    def res(self) -> float:
        """What the positional code receives."""
        return res_of(self.model.card, self.policy, self.fed.tile.gsd, self.fed.side, self.native_gsd_m)

    def embed(self) -> NDArray[np.float32]:
        """Give the vector (d,); beside the patches of a raster, the mean of the picture's own patches."""
        unit, gsd_m = self.fed.unit[None], self.fed.tile.gsd
        if self.pooling == POOLING:
            return patch_vectors(self.model, unit, np.array([self.res], np.float32))[0].mean(axis=(0, 1))
        return embed(
            self.model,
            unit,
            gsd_m=gsd_m,
            policy=self.policy,
            pooling=self.pooling,
            native_gsd_m=self.native_gsd_m,
        )[0]


def embed_like(
    row: Mapping[str, Any], picture: Path | bytes | Tile, gsd_m: float | None = None
) -> NDArray[np.float32]:
    """Embed the centred square of a picture (or a tile) with the model, pooling, policy and size that a table's row names, to (d,).

    A picture that does not know its scale is taken to have `gsd_m`, else the row's. Raises InputError where the model or its very
    weights are not here, and GeoError where the picture cannot be read.
    """
    return ready_like(row, picture, gsd_m).embed()


def ready_like(row: Mapping[str, Any], picture: Path | bytes | Tile, gsd_m: float | None = None) -> Ready:
    """Load the very network that made a row and bring a picture to what it was fed; raises as `embed_like` does."""
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
    policy = (
        policy_from_text(str(row["res_policy"])) if row.get("res_policy") else Policy(card.default_policy)
    )
    return Ready(load(card.name), fed, policy, row.get("pooling"), tile.native_gsd_m)


def _tile(picture: Path | bytes, gsd_m: float | None) -> Tile:
    source = open_source(picture, gsd_m=gsd_m or 1.0)
    if source.info.count > 1:
        raise InputError(
            f"{source.info.title} holds {source.info.count:,} pictures: name one of them, for a search starts from one."
        )
    return source.read(TileSpec(source.ref()))
