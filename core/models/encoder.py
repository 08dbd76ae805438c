"""An encoder without a decoder, as published by torchgeo and by linear probes and fine-tuning.

Source: the vision transformer of MAE (arXiv 2111.06377) with static positions, or Scale-MAE's (arXiv
2212.14532) with `gsd_aware`. It has no presets: it exists so that published encoders can be loaded. Some
fine-tuned encoders learned their positions; those are used as stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .layers.vit import VisionTransformer, VitConfig
from .registry import Family, register


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(VitConfig):
    """Sizes of an encoder; `stored_positions` uses the file's own `pos_embed` instead of the formula."""

    gsd_aware: bool = False
    stored_positions: bool = False
    in_chans: int = 3


class PlainEncoder(VisionTransformer):
    """A vision transformer under MAE's names.

    With `stored_positions` its own `pos_embed` is used, interpolated bicubically to other grids, as
    fine-tuning code does; the position of CLS must already be part of `cls_token`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, in_chans=config.in_chans, gsd_aware=config.gsd_aware)
        self.stored_positions = config.stored_positions
        self.reset_parameters()

    def positions(self, width: int, grid: int, res: Tensor) -> Tensor:
        """Positions for one grid: the stored table if there is one, else the formula."""
        if not self.stored_positions:
            return super().positions(width, grid, res)
        own = self.img_size // self.patch_size
        if grid == own:
            return self.pos_embed
        square = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, width, own, own)
        resized = F.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
        return F.pad(resized.flatten(2).transpose(1, 2), (0, 0, 1, 0))


register(
    Family(
        name="encoder",
        title="Vision transformer",
        network=PlainEncoder,
        config=EncoderConfig,
        paper="arXiv 2111.06377",
        description="A published vision transformer without a decoder: embeddings only, no reconstruction.",
        reconstructs=False,
        two_bands=False,
        gsd_aware=False,
        presets={},
    )
)
