"""Semantic segmentation with any encoder: four of its blocks feed a UperNet head.

Sources: UperNet (arXiv 1807.10221) and the pyramid that MAE and Scale-MAE make of a plain ViT (evenly spaced
blocks at 4, 2, 1 and 1/2 times the patch grid). `segmentation-models-pytorch` has UperNet for encoders that
it builds itself by name, not for a network at hand, so the head is written here.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Encoder
from .scale_contrast import ScaleContrast
from .tinymim import TinyMIM

POOL_GRIDS = (1, 2, 3, 6)
LEVELS = 4


class Segmenter(nn.Module):
    """A copy of an encoder with a new UperNet head; with `frozen`, only the head learns."""

    def __init__(self, encoder: Encoder, classes: int, *, frozen: bool) -> None:
        super().__init__()
        self.card, self.encoder, self.frozen = encoder.card, copy.deepcopy(encoder), frozen
        blocks = self.blocks()
        usable = len(blocks) - (frozen and isinstance(encoder, TinyMIM) and encoder.distilled)
        self.levels = [max(0, round(usable * (n + 1) / LEVELS) - 1) for n in range(LEVELS)]
        self.head = UperNet(encoder.embed_dim, encoder.embed_dim // 2, classes)
        self.encoder.requires_grad_(False)
        if not frozen:
            for part in self.stem_and_blocks():
                part.requires_grad_(True)

    def blocks(self) -> nn.ModuleList:
        """The encoder's transformer blocks."""
        return (
            self.encoder.blocks if isinstance(self.encoder, ScaleContrast) else self.encoder.backbone.blocks
        )

    def stem_and_blocks(self) -> list[nn.Module]:
        """The encoder's parts from input to output: the stem, then each block."""
        if isinstance(self.encoder, ScaleContrast):
            return [nn.ModuleList([self.encoder.stages, self.encoder.proj]), *self.encoder.blocks]
        return [self.encoder.backbone.patch_embed, *self.encoder.backbone.blocks]

    def train(self, mode: bool = True) -> Segmenter:
        """Switch to training; a frozen encoder stays as it is at inference."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, images: Tensor, res: Tensor) -> Tensor:
        """Logits (b, classes, 4g, 4g) of normalised images (b, c, s, s) with g x g patches and res (b,)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            outputs = self._block_outputs(images, res)
        grid = images.shape[-1] // self.encoder.patch_size
        return self.head(
            [outputs[level][:, 1:].transpose(1, 2).unflatten(2, (grid, grid)) for level in self.levels]
        )

    def _block_outputs(self, images: Tensor, res: Tensor) -> dict[int, Tensor]:
        """Tokens (b, 1 + g*g, d) after each block, CLS first."""
        outputs: dict[int, Tensor] = {}
        hooks = [
            block.register_forward_hook(partial(_keep, outputs, n)) for n, block in enumerate(self.blocks())
        ]
        try:
            if isinstance(self.encoder, ScaleContrast):
                self.encoder.encode(images, res)
            else:
                backbone = self.encoder.backbone
                backbone.tokens_before(len(backbone.blocks), images, res, None)
        finally:
            for hook in hooks:
                hook.remove()
        return outputs

    def learning_groups(self, lr: float, layer_decay: float, weight_decay: float) -> list[dict[str, object]]:
        """Parameter groups with layer-wise learning-rate decay; weight decay applies to matrices only."""
        groups: list[dict[str, object]] = []
        for depth, part in enumerate(reversed([*self.stem_and_blocks(), self.head])):
            for matrices in (True, False):
                params = [p for p in part.parameters() if p.requires_grad and (p.ndim > 1) == matrices]
                if params:
                    scale = layer_decay**depth
                    decay = weight_decay if matrices else 0.0
                    groups.append({"params": params, "lr": lr * scale, "scale": scale, "weight_decay": decay})
        return groups


def _keep(outputs: dict[int, Tensor], number: int, _: nn.Module, __: tuple[Any, ...], tokens: Tensor) -> None:
    """Keep the output of a block; a forward hook once its first two arguments are given."""
    outputs[number] = tokens


class UperNet(nn.Module):
    """Pyramid pooling on the coarsest level, a feature pyramid over all four, and a classifier.

    `channels` is half the encoder's width here: 512 for ViT-L, as in the paper.
    """

    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.pyramid = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(width, width, 2, 2), nn.BatchNorm2d(width), nn.GELU(),
                    nn.ConvTranspose2d(width, width, 2, 2),
                ),
                nn.ConvTranspose2d(width, width, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
        )  # fmt: skip
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(grid), _conv(width, channels, 1)) for grid in POOL_GRIDS
        )
        self.top = _conv(width + len(POOL_GRIDS) * channels, channels, 3)
        self.lateral = nn.ModuleList(_conv(width, channels, 1) for _ in range(LEVELS - 1))
        self.smooth = nn.ModuleList(_conv(channels, channels, 3) for _ in range(LEVELS - 1))
        self.fuse = _conv(LEVELS * channels, channels, 3)
        self.classify = nn.Conv2d(channels, classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits (b, classes, 4g, 4g) of four levels (b, d, g, g), from shallow to deep blocks."""
        levels = [scale(feature) for scale, feature in zip(self.pyramid, features, strict=True)]
        top = levels[-1]
        pooled = [_resized(pool(top), top) for pool in self.pools]
        merged = [self.top(torch.cat([top, *pooled], 1))]
        for lateral, level in zip(reversed(self.lateral), reversed(levels[:-1]), strict=True):
            merged.append(lateral(level) + _resized(merged[-1], level))
        finest = merged[-1]
        smooth = [merged[0], *(conv(level) for conv, level in zip(self.smooth, merged[1:], strict=True))]
        return self.classify(self.fuse(torch.cat([_resized(level, finest) for level in smooth], 1)))


def _conv(before: int, after: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, size, padding=size // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def _resized(level: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(level, size=like.shape[-2:], mode="bilinear", align_corners=False)
