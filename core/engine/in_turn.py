"""Reconstructions that queue for the device; equal requests share one call of the network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..models.base import Encoder
from ..policy import Policy
from .device import device_of, one_thread
from .embed import embed
from .inputs import Fed
from .prediction import Pictures, Predicted, reconstruct_batch
from .reconstruct import ReconstructionRequest, finish, mask_on_grid, prepare, require_reconstructor
from .results import Reconstruction
from .turns import Turns


@dataclass(frozen=True, eq=False)
class _NetworkInput:
    """The input of one request: a picture (3, s, s), the cells hidden from it (g, g), and its res."""

    image: Pictures
    hidden: NDArray[np.bool_]
    res: float


def reconstruct_in_turn(
    model: Encoder,
    request: ReconstructionRequest,
    queue: Turns,
    token: Hashable = None,
    on_place: Callable[[int], None] | None = None,
) -> Reconstruction:
    """Reconstruct like `reconstruct`, waiting for the device in a queue.

    Only the network runs in the turn; requests of others with the same model, input size and number of
    visible patches share its call. Raises the errors of `reconstruct`, and Superseded if the same `token` has
    sent a newer request.
    """
    network = require_reconstructor(model)
    prepared = prepare(model, request.tile, request.policy, request.size_px)
    mask = mask_on_grid(request.mask, prepared.grid)
    cells = mask[1].hidden

    def run(inputs: Sequence[_NetworkInput]) -> list[Predicted]:
        images, hidden = np.stack([each.image for each in inputs]), np.stack([each.hidden for each in inputs])
        with _threads(model, queue):
            out = reconstruct_batch(network, images, hidden, [each.res for each in inputs])
        return [out.only(n) for n in range(len(inputs))]

    kind = (network, prepared.fed.side, int(cells.sum()))
    input_ = _NetworkInput(prepared.fed.unit, cells, prepared.res)
    out = queue.share(kind, input_, run, token, on_place)
    return finish(network, prepared, request.policy, mask, out)


def embed_in_turn(
    model: Encoder,
    fed: Fed,
    queue: Turns,
    policy: Policy,
    pooling: str | None = None,
    *,
    native_gsd_m: float | None = None,
) -> NDArray[np.float32]:
    """Embed one input like `embed`, to (d,), waiting for the device in a queue.

    Requests of others with the same model, input size, policy and pooling share the network's call. Raises
    InputError.
    """

    def run(inputs: Sequence[Fed]) -> list[NDArray[np.float32]]:
        images = np.stack([each.unit for each in inputs])
        gsds = [each.tile.gsd for each in inputs]
        with _threads(model, queue):
            return list(
                embed(model, images, gsd_m=gsds, policy=policy, pooling=pooling, native_gsd_m=native_gsd_m)
            )

    kind = ("embed", model, fed.side, policy, pooling, native_gsd_m)
    return queue.share(kind, fed, run)


def _threads(model: Encoder, queue: Turns) -> contextlib.AbstractContextManager[None]:
    """One thread a request while others wait or run beside it; all of them for one that is alone."""
    return one_thread(device_of(model)) if queue.waiting() > 1 else contextlib.nullcontext()
