"""The low band as the Scale-MAE paper defines it, computed from a picture (models.md 1.6)."""

from __future__ import annotations

import torch

from ..models.frequency import true_low_band
from .device import to_numpy
from .inputs import InputError
from .results import Bands, Picture


def true_bands(picture: Picture, band_config: tuple[int, int]) -> Bands:
    """Split a picture (3, t, t) at the second number of the band configuration.

    Raises InputError if the picture has no more pixels than that.
    """
    side, blocks = picture.shape[-1], band_config[1]
    if blocks >= side:
        raise InputError(
            f"A picture of {side} px holds no detail finer than {blocks} blocks: "
            "choose a larger input for the true band-pass view."
        )
    low = to_numpy(true_low_band(torch.from_numpy(picture[None]), side, band_config))[0]
    return Bands(low, picture - low, blocks)
