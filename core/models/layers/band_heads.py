"""Scale-MAE's way from a map of tokens to two pictures: a small pyramid of deconvolutions, and a
convolutional head for each band.

Source: models.md 1.3 and 1.5, from Scale-MAE (arXiv 2212.14532) and its released configuration; names and
shapes are the released ones.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of a map (b, c, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FeaturePyramid(nn.Module):
    """Deconvolve a g x g map to 4g (high) and 2g (low). Progressive: the 4g map is made from the 2g map."""

    def __init__(self, width: int, progressive: bool) -> None:
        super().__init__()
        self.progressive = progressive
        self.fpn2 = nn.Sequential(nn.ConvTranspose2d(width, width, 2, 2))
        steps: list[nn.Module] = [ChannelNorm(width), nn.GELU(), nn.ConvTranspose2d(width, width, 2, 2)]
        self.fpn1 = nn.Sequential(*steps if progressive else [nn.ConvTranspose2d(width, width, 2, 2), *steps])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.fpn2(x)
        return low, self.fpn1(low if self.progressive else x)


class PairConv(nn.Conv2d):
    """A 3x3 convolution with two channels per group, (b, 2n, h, w) -> (b, n, h, w).

    It is computed as the sum of two depthwise convolutions, because the grouped kernel takes two to four
    times as long on CPUs, forward and backward.
    """

    def __init__(self, groups: int) -> None:
        super().__init__(2 * groups, groups, 3, padding=1, groups=groups)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the name of what is overridden)
        first = F.conv2d(input[:, 0::2], self.weight[:, :1], self.bias, padding=1, groups=self.groups)
        return first + F.conv2d(input[:, 1::2], self.weight[:, 1:], padding=1, groups=self.groups)


class ConvBlock(nn.Module):
    """Grouped 3x3 and 1x1 convolutions beside a 1x1 residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.convs = nn.Sequential(nn.GELU(), PairConv(half), nn.GELU(), nn.Conv2d(half, width, 1))
        self.residual = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x) + self.residual(x)


class BandHead(nn.Module):
    """From a map to a picture `enlarge` times as large: (b, d, m, m) -> (b, 3, enlarge * m, enlarge * m)."""

    def __init__(self, decoder_width: int, width: int, layers: int, enlarge: int) -> None:
        super().__init__()
        half, quarter, first = width // 2, width // 4, enlarge // 2
        self.proj = nn.Conv2d(decoder_width, width, 1)
        self.conv_blocks = nn.ModuleList(ConvBlock(width) for _ in range(layers))
        self.pred = nn.Sequential(
            ChannelNorm(width),
            nn.ConvTranspose2d(width, half, first, first),
            nn.GELU(),
            PairConv(quarter),
            nn.GELU(),
            nn.Conv2d(quarter, half, 1),
            nn.GELU(),
            nn.ConvTranspose2d(half, 3, 2, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x)
        for block in self.conv_blocks:
            x = block(x)
        return self.pred(x)
