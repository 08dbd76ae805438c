"""An encoder alone, as torchgeo, linear probes and fine-tuning leave it behind: tokens, no pictures.

Source: the vision transformer of MAE (arXiv 2111.06377) with static positions, or Scale-MAE's (arXiv 2212.14532) with `gsd_aware`. It has no presets:
it exists so that published encoders can be loaded. Fine-tuned ones may have learned their positions; those are then used instead.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .frequency import Centre
from .layers.vit import VisionTransformer
from .registry import Family, register, size_defaults


class PlainEncoder(VisionTransformer):
    """A vision transformer under MAE's names. With `stored_positions` its own `pos_embed` is used, drawn bicubic to other grids, as
    fine-tuning code does; CLS must have its position added already."""

    def __init__(
        self,
        *,
        gsd_aware: bool = False,
        stored_positions: bool = False,
        centre: Centre = "dataset",
        img_size: int = 224,
        patch_size: int = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__(
            img_size,
            patch_size,
            in_chans,
            embed_dim,
            depth,
            num_heads,
            mlp_ratio,
            gsd_aware=gsd_aware,
            centre=centre,
        )
        self.stored_positions = stored_positions
        self.reset_parameters()

    def positions(self, width: int, grid: int, res: Tensor) -> Tensor:
        """The stored code where there is one; overridden because it is a tensor of this network, not a formula of the grid."""
        if not self.stored_positions:
            return super().positions(width, grid, res)
        own = self.img_size // self.patch_size
        if grid == own:
            return self.pos_embed
        square = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, width, own, own)
        drawn = F.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
        return F.pad(drawn.flatten(2).transpose(1, 2), (0, 0, 1, 0))


register(
    Family(
        name="encoder",
        build=PlainEncoder,
        paper="arXiv 2111.06377",
        description="An encoder alone: tokens of a published vision transformer, without a decoder to paint what is hidden.",
        reconstructs=False,
        two_bands=False,
        gsd_aware=False,
        presets={},
        defaults=size_defaults(PlainEncoder),
    )
)
