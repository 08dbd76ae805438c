"""What a decoder imagined, joined with the smooth continuation of the visible pixels.

Ours, no paper's; every published file goes without.

A masked autoencoder sees the whole picture but few pixels of it well; the harmonic fill of the visible pixels
is exact at their rims and knows nothing else. A few residual convolutions over the grid of patches see both,
and say what must be added to the fill.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class JoinBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, quiet at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        he_convolutions(self)
        self.second.weight.data.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class FillJoin(nn.Module):
    """Convolutions over the grid of patches that see a decoder's output and the pixels around.

    `imagined` (b, n, g, g), `known` (b, c, s, s) and `hidden` (b, 1, s, s) give (b, made, g, g); s is g
    patches. `known` holds visible pixels and their harmonic fill, `hidden` is 1 where it is fill.
    """

    def __init__(
        self, imagined: int, made: int, patch: int, channels: int = 3, width: int = 128, depth: int = 3
    ) -> None:
        super().__init__()
        self.patch = patch
        self.enter = nn.Conv2d(imagined + (channels + 1) * patch**2, width, 1)
        self.blocks = nn.ModuleList(JoinBlock(width) for _ in range(depth))
        self.leave = nn.Conv2d(width, made, 1)
        he_convolutions(self.enter)
        he_convolutions(self.leave)

    def forward(self, imagined: Tensor, known: Tensor, hidden: Tensor) -> Tensor:
        around = F.pixel_unshuffle(torch.cat([known, hidden], dim=1), self.patch)
        x = self.enter(torch.cat([imagined, around], dim=1).contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        return self.leave(F.relu(x))


def he_convolutions(part: nn.Module) -> None:
    """He-normal kernels and zero biases for every convolution in `part`.

    A transposed one whose stride equals its kernel feeds `in_channels` values into each of its outputs.
    PyTorch's default initialisation shrinks the signal in a deep head until nothing is learnt.
    """
    for module in part.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            inputs = (
                module.in_channels if isinstance(module, nn.ConvTranspose2d) else module.weight[0].numel()
            )
            nn.init.normal_(module.weight, std=(2 / inputs) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def start_near_zero(last: nn.Module) -> None:
    """Shrink a last layer so that a network which works on top of a fill starts as that fill."""
    for parameter in last.parameters():
        parameter.data.mul_(0.01)
