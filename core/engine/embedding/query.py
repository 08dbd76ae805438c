"""A picture as a search query: embedded exactly as the rows of a table were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas.formats.patch_raster import POOLING
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
class PreparedQuery:
    """A tile as network input, with the model and the settings that made a row of a table."""

    model: Encoder
    fed: Fed
    policy: Policy
    pooling: str | None
    native_gsd_m: float

    @property
    def res(self) -> float:
        """What the positional encoding receives."""
        return res_of(self.model.card, self.policy, self.fed.tile.gsd, self.fed.side, self.native_gsd_m)

    def embed(self) -> NDArray[np.float32]:
        """Return the vector (d,); for a table of patches, the mean of the tile's own patches."""
        unit = self.fed.unit[None]
        if self.pooling == POOLING:
            return patch_vectors(self.model, unit, np.array([self.res], np.float32))[0].mean(axis=(0, 1))
        return embed(
            self.model, unit, gsd_m=self.fed.tile.gsd, policy=self.policy, pooling=self.pooling,
            native_gsd_m=self.native_gsd_m,
        )[0]  # fmt: skip


def embed_like(
    row: Mapping[str, Any], picture: Path | bytes | Tile, gsd_m: float | None = None
) -> NDArray[np.float32]:
    """Embed the centred square of a picture (or a tile) as a table's row was embedded, to (d,).

    Model, pooling, policy and size are those of the row. A picture that does not state its GSD is taken to
    have `gsd_m`, else the row's. Raises InputError if that model or its weights are missing, and GeoError if
    the picture cannot be read.
    """
    return prepare_like(row, picture, gsd_m).embed()


def prepare_like(
    row: Mapping[str, Any], picture: Path | bytes | Tile, gsd_m: float | None = None
) -> PreparedQuery:
    """Load the model of a row and make its input from a picture; raises the errors of `embed_like`."""
    name, weights = row.get("model"), row.get("checkpoint_sha256")
    card = cards().get(str(name))
    present = card.weights.sha256 if card and card.weights else None
    if card is None or present != weights:
        which = "unknown here" if card is None else f"here with weights {str(present or 'untrained')[:12]}"
        raise InputError(
            f"The table was made with {name or 'an unnamed model'} ({str(weights or 'untrained')[:12]}), "
            f"which is {which}: a picture can only be compared with the same weights; "
            "search by row or by place instead."
        )
    tile = picture if isinstance(picture, Tile) else _read(picture, gsd_m or row.get("gsd_m"))
    fed = feed(tile, int(row.get("image_size") or card.input_px))
    stated = row.get("res_policy")
    policy = policy_from_text(str(stated)) if stated else Policy(card.default_policy)
    return PreparedQuery(load(card.name), fed, policy, row.get("pooling"), tile.native_gsd_m)


def _read(picture: Path | bytes, gsd_m: float | None) -> Tile:
    source = open_source(picture, gsd_m=gsd_m or 1.0)
    if source.info.count > 1:
        raise InputError(
            f"{source.info.title} holds {source.info.count:,} pictures: name one of them to search with."
        )
    return source.read(TileSpec(source.ref()))
