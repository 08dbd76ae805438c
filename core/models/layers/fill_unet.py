"""A small U-Net that turns a fill of the hidden pixels and a transformer's tokens into two bands.

Ours, not from any paper.

A masked autoencoder sees the whole picture but few pixels of it well; the harmonic fill of the visible pixels
is exact at their rims and knows nothing else. The U-Net sees the fill at full resolution and the decoder's
tokens at its bottom, and predicts what must be added to the fill: the low band at the input's size and the
high band at twice that size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import ModelInputError
from .fill_join import JoinBlock, he_convolutions, start_near_zero

RES_CENTRE, RES_SPAN = 4.25, 3.75
"""Middle and half width of the range of `res` under the policy log_gsd."""


class FillUNet(nn.Module):
    """`tokens` (b, d, g, g), `known` (b, c, s, s), `hidden` (b, 1, s, s) and `res` (b,) -> low (b, c, s,
    s) and high (b, c, 2s, 2s), s = patch * g.

    `known` holds visible pixels and their harmonic fill, `hidden` is 1 where it is fill. There is one level
    for each halving from s/2 down to g, `widths` channels wide, each two blocks of 3x3 convolutions on the
    way down and up.
    """

    def __init__(self, token_width: int, patch: int, widths: Sequence[int], channels: int = 3) -> None:
        super().__init__()
        if patch != 2 ** len(widths):
            levels = int(math.log2(patch)) if patch > 1 else 0
            raise ModelInputError(
                f"A U-Net over patches of {patch} px needs {levels} widths for a power of two, not "
                f"{len(widths)}."
            )
        pairs = list(pairwise(widths))
        self.channels = channels
        self.enter = nn.Conv2d(4 * (channels + 1), widths[0], 3, padding=1)
        self.down = nn.ModuleList(JoinBlock(width) for width in widths[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2) for fine, coarse in pairs)
        self.tokens = nn.Conv2d(token_width, widths[-1], 1)
        self.scale = nn.Linear(1, widths[-1])
        self.bottom = nn.Sequential(JoinBlock(widths[-1]), JoinBlock(widths[-1]))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, 2) for fine, coarse in reversed(pairs))
        self.up = nn.ModuleList(JoinBlock(width) for width in reversed(widths[:-1]))
        self.low, self.high = (
            nn.Conv2d(widths[0], 4 * channels, 3, padding=1),
            nn.Conv2d(widths[0], 16 * channels, 3, padding=1),
        )
        for part in (self.enter, self.shrink, self.tokens, self.grow, self.low, self.high):
            he_convolutions(part)
        for head in (self.low, self.high):
            start_near_zero(head)

    def forward(self, tokens: Tensor, known: Tensor, hidden: Tensor, res: Tensor) -> tuple[Tensor, Tensor]:
        x = F.pixel_unshuffle(torch.cat([known, hidden], dim=1), 2)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        skipped: list[Tensor] = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            x = block(x)
            skipped.append(x)
            x = shrink(x)
        scale = self.scale(((res - RES_CENTRE) / RES_SPAN)[:, None].to(x.dtype))
        x = self.bottom(x + self.tokens(tokens) + scale[:, :, None, None])
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(grow(x) + skipped.pop())
        x = F.relu(x)
        return F.pixel_shuffle(self.low(x), 2), F.pixel_shuffle(self.high(x), 4)
