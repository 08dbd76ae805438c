"""Reconstructions that queue for the device; equal requests share one call of the network."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..models.base import Encoder
from .reconstruct import (
    Pictures,
    Predicted,
    ReconstructionRequest,
    draw,
    finish,
    prepare,
    reconstruct_batch,
    require_reconstructor,
)
from .results import Reconstruction
from .turns import Turns


@dataclass(frozen=True, eq=False)
class _Ready:
    """One request to the network: a picture (3, s, s), the cells hidden from it (g, g), and its res."""

    image: Pictures
    hidden: NDArray[np.bool_]
    res: float


def reconstruct_in_turn(
    model: Encoder,
    wanted: ReconstructionRequest,
    queue: Turns,
    token: Hashable = None,
    on_place: Callable[[int], None] | None = None,
) -> Reconstruction:
    """A reconstruction as `reconstruct` makes it, waiting for the device in a queue.

    Equal work of others there shares the call.

    Only the network itself runs in the turn. Work is equal where model, input size and the number of visible
    patches are. Raises what `reconstruct` raises, and Superseded where the same `token` has asked for
    something newer.
    """
    painter = require_reconstructor(model)
    ready = prepare(model, wanted.tile, wanted.policy, wanted.size_px)
    drawn = draw(wanted.mask, ready.grid)
    cells = drawn[1].hidden

    def paint(asked: Sequence[_Ready]) -> list[Predicted]:
        images, hidden = np.stack([one.image for one in asked]), np.stack([one.hidden for one in asked])
        out = reconstruct_batch(painter, images, hidden, [one.res for one in asked])
        return [out.only(n) for n in range(len(asked))]

    kind = (painter, ready.fed.side, int(cells.sum()))
    out = queue.share(kind, _Ready(ready.fed.unit, cells, ready.res), paint, token, on_place)
    return finish(painter, ready, wanted.policy, drawn, out)
