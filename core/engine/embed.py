"""Embeds images: one vector each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.base import Encoder
from ..models.pooling import pooled, poolings, vector_width
from ..policy import Policy
from .batch_sizes import fitting_batches
from .device import device_of, precision, to_device, to_numpy
from .inputs import InputError, normalised, res_of

BATCH = {"mps": 64}
CPU_PATCHES = 2048
"""Patches in a batch: more would fall out of the cache."""


def embed(
    model: Encoder,
    images: NDArray[np.float32] | NDArray[np.uint8],
    *,
    gsd_m: float | Sequence[float] | NDArray[np.float64],
    policy: Policy | None = None,
    pooling: str | None = None,
    native_gsd_m: float | None = None,
    batch: int | None = None,
    say: Callable[[str], None] | None = None,
) -> NDArray[np.float32]:
    """Embed images (n, 3, s, s), float32 in 0..1 or uint8, to float32 (n, d); d is doubled for "cls+mean".

    `gsd_m` is the GSD as fed, one for all or one each; `native_gsd_m` that of the source, which the policy
    training_range needs; `policy` and `pooling` None take the card's. s is a multiple of the patch. Raises
    InputError for a pooling that the model does not offer.
    """
    pooling = pooling or model.card.pooling
    if pooling not in poolings(model):
        raise InputError(
            f"{model.card.name} offers no pooling called {pooling!r:.30}: "
            f"choose one of {', '.join(poolings(model))}."
        )
    policy = policy or Policy(model.card.default_policy)
    gsds = np.broadcast_to(np.asarray(gsd_m, np.float64), (len(images),))
    known = {
        gsd: res_of(model.card, policy, gsd, images.shape[-1], native_gsd_m)
        for gsd in np.unique(gsds).tolist()
    }
    res = np.array([known[gsd] for gsd in gsds.tolist()], np.float32)
    on = device_of(model)

    def work(piece: slice) -> NDArray[np.float32]:
        pictures = images[piece].astype(np.float32, copy=False)
        if images.dtype == np.uint8:
            pictures = pictures / np.float32(255)
        with torch.inference_mode(), precision(on):
            vectors = pooled(
                model, to_device(normalised(pictures, model.card), on), to_device(res[piece], on), pooling
            )
        return to_numpy(vectors)

    side = images.shape[-1] // model.patch_size
    start = batch or (
        max(1, CPU_PATCHES // side**2) if on.torch.type == "cpu" else BATCH.get(on.torch.type, 256)
    )
    done = fitting_batches(
        work, len(images), start=start, key=(model.card.name, "embed", images.shape[-1]), say=say
    )
    vectors = [part for _, part in done]
    return np.concatenate(vectors) if vectors else np.empty((0, vector_width(model, pooling)), np.float32)
