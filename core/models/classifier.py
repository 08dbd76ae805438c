"""A classifier on top of any encoder: pooled tokens, LayerNorm, linear layer (fine-tuning of MAE, SDMAE and
TinyMIM)."""

from __future__ import annotations

import copy
import re
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .base import Encoder
from .layers.vit import prepare_timm
from .scale_contrast import ScaleContrast

Pooling = Literal["mean", "cls"]

_ENCODER = r"^encoder\.(?:encoder\.|student\.)?"
_STEM = _ENCODER + r"(?:cls_token|patch_embed|stages|proj)\b"
_BLOCKS = _ENCODER + r"blocks\.(\d+)\."
_LEARNS = re.compile(f"{_STEM}|{_BLOCKS}|^fc_norm|^head")


class Classifier(nn.Module):
    """A copy of an encoder with a new head on the mean of the patch tokens or on CLS.

    CLS, the stem and every block are trained, those that distillation left untrained included; `drop_path`
    is the rate of stochastic depth in the last block, rising linearly from 0 in the first.
    """

    def __init__(
        self, encoder: Encoder, classes: int, *, pooling: Pooling = "mean", drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.card, self.encoder, self.pooling = encoder.card, copy.deepcopy(encoder), pooling
        self.fc_norm = nn.LayerNorm(encoder.embed_dim, eps=1e-6)
        self.head = nn.Linear(encoder.embed_dim, classes)
        nn.init.trunc_normal_(self.head.weight, std=2e-5)
        nn.init.zeros_(self.head.bias)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(bool(_LEARNS.match(name)))
        _drop_paths(self._blocks(), drop_path)

    def forward(self, images: Tensor, res: Tensor) -> Tensor:
        """Logits (b, classes) of normalised images (b, c, s, s) with their res (b,)."""
        if isinstance(self.encoder, ScaleContrast):
            tokens = self.encoder.encode(images, res)
        else:
            backbone = self.encoder.backbone
            tokens = backbone.tokens_before(len(backbone.blocks), images, res, None)
        pooled = tokens[:, 0] if self.pooling == "cls" else tokens[:, 1:].mean(1)
        return self.head(self.fc_norm(pooled))

    def group_matcher(self, *, coarse: bool = False) -> dict[str, str]:  # noqa: ARG002  (timm's interface)
        """Regular expressions of the layers for layer-wise learning-rate decay: the stem, then each block."""
        return {"stem": _STEM, "blocks": _BLOCKS}

    def learning_groups(self, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups with their `lr_scale`: 1 for the head, times `layer_decay` a layer below.

        Weight decay applies to matrices only.
        """
        prepare_timm()
        from timm.optim._param_groups import param_groups_layer_decay

        return param_groups_layer_decay(
            self, weight_decay, no_weight_decay_list=["*cls_token"], layer_decay=layer_decay
        )

    def _blocks(self) -> nn.ModuleList:
        encoder = self.encoder
        return encoder.blocks if isinstance(encoder, ScaleContrast) else encoder.backbone.blocks


def _drop_paths(blocks: nn.ModuleList, rate: float) -> None:
    """Set stochastic depth of timm's blocks (Huang et al. 2016), whatever it was in pretraining."""
    from timm.layers.drop import DropPath, calculate_drop_path_rates

    rates: Any = calculate_drop_path_rates(rate, len(blocks))
    for block, here in zip(blocks, rates, strict=True):
        branches: Any = block
        branches.drop_path1, branches.drop_path2 = (
            DropPath(float(here)) if here else nn.Identity() for _ in range(2)
        )


@torch.no_grad()
def turned(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip and rotate each image at random (one of the eight symmetries of a square)."""
    ways = torch.randint(8, (len(images),), generator=generator).tolist()
    return torch.stack(
        [
            torch.rot90(one.flip(2) if way >= 4 else one, way % 4, (1, 2))
            for one, way in zip(images, ways, strict=True)
        ]
    )


@torch.no_grad()
def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip each image from left to right with a chance of one half."""
    flip = torch.rand(len(images), generator=generator).lt(0.5).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)
