"""A classifier on top of any encoder: mean of the patch tokens, LayerNorm, linear layer (fine-tuning of
MAE, SDMAE and TinyMIM)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .base import Encoder
from .scale_contrast import ScaleContrast


class Classifier(nn.Module):
    """A copy of an encoder with a new head.

    The untrained last layers of a distilled student are trained here, too.
    """

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.card, self.encoder = encoder.card, copy.deepcopy(encoder)
        self.fc_norm = nn.LayerNorm(encoder.embed_dim, eps=1e-6)
        self.head = nn.Linear(encoder.embed_dim, classes)
        nn.init.trunc_normal_(self.head.weight, std=2e-5)
        nn.init.zeros_(self.head.bias)
        learning = [*self.stem_and_blocks(), self.fc_norm, self.head]
        self.requires_grad_(False)
        for part in learning:
            part.requires_grad_(True)

    def stem_and_blocks(self) -> list[nn.Module]:
        """The encoder's parts from input to output: the stem, then each block."""
        if isinstance(self.encoder, ScaleContrast):
            stem: nn.Module = nn.ModuleList([self.encoder.stages, self.encoder.proj])
            return [stem, *self.encoder.blocks]
        backbone = self.encoder.backbone
        return [backbone.patch_embed, *backbone.blocks]

    def forward(self, images: Tensor, res: Tensor) -> Tensor:
        """Logits (b, classes) of normalised images (b, c, s, s) with their res (b,)."""
        if isinstance(self.encoder, ScaleContrast):
            tokens = self.encoder.encode(images, res)
        else:
            backbone = self.encoder.backbone
            tokens = backbone.tokens_before(len(backbone.blocks), images, res, None)
        return self.head(self.fc_norm(tokens[:, 1:].mean(1)))

    def learning_groups(self, lr: float, layer_decay: float, weight_decay: float) -> list[dict[str, object]]:
        """Parameter groups with layer-wise learning-rate decay; weight decay applies to matrices only."""
        parts = [*self.stem_and_blocks(), nn.ModuleList([self.fc_norm, self.head])]
        groups: list[dict[str, object]] = []
        for depth, part in enumerate(reversed(parts)):
            for matrices in (True, False):
                found = [p for p in part.parameters() if p.requires_grad and (p.ndim > 1) == matrices]
                scale = layer_decay**depth
                groups.append(
                    {
                        "params": found,
                        "lr": lr * scale,
                        "scale": scale,
                        "weight_decay": weight_decay if matrices else 0.0,
                    }
                )
        return [group for group in groups if group["params"]]


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
