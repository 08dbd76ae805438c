"""Runs reconstructing networks on batches of images and masks; arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.base import Reconstructor
from ..models.frequency import area, bilinear
from .batch_sizes import FastestSize, fitting_batches
from .device import Device, device_of, precision, to_device, to_numpy
from .inputs import normalised
from .results import ON_FILL

Pictures = NDArray[np.float32]
BATCH = {"cpu": 4, "mps": 16}
"""Largest batches tried: on few cores larger feature maps fall out of the cache."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predicted images of n inputs: `low` (n, 3, s, s) and `combined` (n, 3, t, t) in 0..1, not clipped.

    `high` (n, 3, t, t) is signed. `fill` (n, 3, t, t) is the fill that the network adds to, None if it has
    none.
    """

    low: Pictures
    high: Pictures
    combined: Pictures
    fill: Pictures | None = None

    def only(self, n: int) -> Predicted:
        """Return the images of the n-th input, (1, ...) each."""
        one = slice(n, n + 1)
        fill = None if self.fill is None else self.fill[one]
        return Predicted(self.low[one], self.high[one], self.combined[one], fill)


def reconstruct_batch(
    model: Reconstructor,
    images: Pictures,
    hidden: NDArray[np.bool_],
    res: Sequence[float] | NDArray[np.float64],
) -> Predicted:
    """Reconstruct n inputs, in their order: images (n, 3, s, s) in 0..1, hidden (n, g, g), res (n,)."""
    batches = list(reconstruct_each(model, images, hidden, res))
    order = np.argsort(np.concatenate([indices for indices, _ in batches]))
    bands = ((batch.low, batch.high, batch.combined) for _, batch in batches)
    low, high, combined = (np.concatenate(band)[order] for band in zip(*bands, strict=True))
    fills = [batch.fill for _, batch in batches if batch.fill is not None]
    return Predicted(low, high, combined, np.concatenate(fills)[order] if fills else None)


def reconstruct_each(
    model: Reconstructor,
    images: Pictures,
    hidden: NDArray[np.bool_],
    res: Sequence[float] | NDArray[np.float64],
    *,
    batch: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[tuple[NDArray[np.int64], Predicted]]:
    """Yield (indices of the inputs, predictions) in batches that fit the device.

    Inputs with equally many visible patches go together. `images` may hold a single picture for all masks:
    (1, 3, s, s).
    """
    on = device_of(model)
    values = np.asarray(res, np.float32)
    counts = (~hidden).sum(axis=(1, 2))
    for count in np.unique(counts):
        members = np.flatnonzero(counts == count)

        def work(piece: slice, members: NDArray[np.int64] = members) -> Predicted:
            indices = members[piece]
            pictures = images if len(images) == 1 else images[indices]
            return _run(model, on, pictures, hidden[indices], values[indices])

        most, key = BATCH.get(on.torch.type, 64), (model.card.name, images.shape[-1])
        fastest = None if batch else FastestSize((on.torch.type, *key), most)
        for piece, predicted in fitting_batches(
            work, len(members), start=batch or most, key=key, say=say, fastest=fastest
        ):
            yield members[piece], predicted


def _run(
    model: Reconstructor, on: Device, images: Pictures, hidden: NDArray[np.bool_], res: NDArray[np.float32]
) -> Predicted:
    n = len(hidden)
    keep = np.stack([np.flatnonzero(~cells) for cells in hidden]).astype(np.int64)
    pictures = np.broadcast_to(normalised(images, model.card), (n, *images.shape[1:]))
    with torch.inference_mode(), precision(on):
        out = model.reconstruct(to_device(pictures, on), to_device(res, on), to_device(keep, on))
    side, twice = images.shape[-1], images.shape[-1] * (2 if model.card.two_bands else 1)
    low, high, combined = _fit(out.low, side), _fit(out.high, twice), _fit(out.combined, twice)
    fill = to_numpy(_fit(out.base, twice)) if model.backbone.centre == ON_FILL else None
    return Predicted(to_numpy(low), to_numpy(high), to_numpy(combined), fill)


def _fit(pictures: Tensor, side: int) -> Tensor:
    """Resize output of heads made for another patch size, so that it aligns with the tile."""
    if pictures.shape[-1] == side:
        return pictures
    return area(pictures, side) if pictures.shape[-1] > side else bilinear(pictures, side)
