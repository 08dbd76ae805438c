"""Reconstruction losses per tile: how well a network predicts the low and the high band of hidden patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...masking import Mask
from ...models.base import Reconstructor
from ...models.frequency import area, bilinear, high_target
from ..device import device_of, to_numpy
from ..prediction import BATCH, Pictures, reconstruct_each
from ..results import enlarge


@dataclass(frozen=True, eq=False)
class TileLosses:
    """Mean squared error of the low band and mean absolute error of the high band, (n,) each."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]


def tile_losses(model: Reconstructor, images: Pictures, res: NDArray[np.float64], mask: Mask) -> TileLosses:
    """Hide the same patches of every image (n, 3, s, s) in 0..1 and score what the network predicts there.

    Low: at the size of the low head, against the area mean (models.md 1.6). High: against the image minus a
    mosaic of band_config[0] blocks a side.
    """
    hidden = np.broadcast_to(mask.hidden, (len(images), *mask.hidden.shape))
    size = BATCH.get(device_of(model).torch.type, 64)  # fixed, so that a resumed run cuts the same batches
    parts = [part for _, part in reconstruct_each(model, images, hidden, res, batch=size)]
    predicted_low, predicted_high = (
        np.concatenate([getattr(part, band) for part in parts]) for band in ("low", "high")
    )
    truth = torch.from_numpy(images)
    low = to_numpy(area(truth, predicted_low.shape[-1]))
    side = predicted_high.shape[-1]
    truth_high = truth if side == images.shape[-1] else bilinear(truth, side)
    high = to_numpy(high_target(truth_high, model.band_config))
    hidden_low, hidden_high = enlarge(mask.hidden, low.shape[-1]), enlarge(mask.hidden, side)
    return TileLosses(
        ((predicted_low - low) ** 2)[:, :, hidden_low].mean(axis=(1, 2)).astype(np.float32),
        np.abs(predicted_high - high)[:, :, hidden_high].mean(axis=(1, 2)).astype(np.float32),
    )
