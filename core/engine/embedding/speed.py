"""How fast an embedding run will be, measured by running the network on noise; shown with the plan."""

from __future__ import annotations

import time

import numpy as np

from ...masking import Mask
from ...models.base import Encoder, Reconstructor
from ...policy import Policy
from ..embed import embed
from .losses import tile_losses

TILES = 2


def tiles_per_second(
    model: Encoder,
    tile_px: int,
    *,
    policy: Policy | None = None,
    pooling: str | None = None,
    mask: Mask | None = None,
    tiles: int = TILES,
) -> float:
    """Measure one call of the network after a first one; with a mask, of the reconstruction pass as well.

    A call takes `tiles` images, on an accelerator a whole batch, because few images do not fill it.
    """
    noise = np.random.default_rng(0).random((tiles, 3, tile_px, tile_px), np.float32)

    def once() -> float:
        start = time.perf_counter()
        embed(model, noise, gsd_m=1.0, native_gsd_m=1.0, policy=policy, pooling=pooling)
        if mask is not None and isinstance(model, Reconstructor):
            tile_losses(model, noise, np.ones(tiles), mask)
        return time.perf_counter() - start

    once()
    return tiles / max(once(), 1e-9)
