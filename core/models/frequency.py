"""Low and high frequencies, and what pixels are expressed relative to.

Source: models.md 1.6, from Scale-MAE (arXiv 2212.14532) section 3 and its released configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .harmonic import harmonic_fill

Centre = Literal["dataset", "visible_mean", "visible_harmonic"]


def area(images: Tensor, side: int) -> Tensor:
    """Average by area to side x side: (b, c, h, w) -> (b, c, side, side)."""
    return F.interpolate(images, size=(side, side), mode="area")


def bilinear(images: Tensor, side: int) -> Tensor:
    """Resize bilinearly to side x side, with pixel centres aligned."""
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def mosaic(images: Tensor, blocks: int, side: int) -> Tensor:
    """Low-pass filter: average to blocks x blocks, then resize bilinearly to side x side."""
    return bilinear(area(images, blocks), side)


def low_target(targets: Tensor, side: int, band_config: tuple[int, int]) -> Tensor:
    """Target of the low head at `side` px.

    The released code uses the second band only where it equals 224.
    """
    if band_config[1] == 224:
        targets = area(targets, 224)
    return area(targets, side)


def high_target(targets: Tensor, band_config: tuple[int, int]) -> Tensor:
    """Target of the high head: everything finer than band_config[0] blocks a side."""
    return targets - mosaic(targets, band_config[0], targets.shape[-1])


def true_low_band(targets: Tensor, side: int, band_config: tuple[int, int]) -> Tensor:
    """The paper's low band: down to band_config[1] blocks, then up to `side` (not the target that the
    released weights were trained on)."""
    return mosaic(targets, band_config[1], side)


def combine(low: Tensor, high: Tensor, blocks: int) -> Tensor:
    """Add the low-pass filtered low band to the high residual, at the size of `high`."""
    return mosaic(low, blocks, high.shape[-1]) + high


def hidden_pixels(keep: Tensor, grid: int, side: int) -> Tensor:
    """1 where a pixel is hidden: positions of visible patches (b, k) -> (b, 1, side, side)."""
    cells = torch.ones(len(keep), grid * grid, device=keep.device).scatter(1, keep, 0.0)
    return F.interpolate(cells.reshape(-1, 1, grid, grid), size=(side, side), mode="nearest")


def masked_mean(error: Tensor, hidden: Tensor, log_each: bool = False) -> Tensor:
    """Mean of an error (b, ...) where `hidden` is 1 (same shape, or one channel of it), over the batch.

    `log_each` averages the logarithm of each image's own mean instead: every image then counts by its
    decibels, as in PSNR, and one with nearly flat visible pixels cannot outweigh the rest. 0.001 of the
    visible variance is added first.
    """
    if log_each:
        shares = (error * hidden).flatten(1).sum(1) / hidden.expand_as(error).flatten(1).sum(1).clamp(min=1)
        return (shares + 1e-3).log().mean()
    return (error * hidden).sum() / hidden.sum().clamp(min=1)


@dataclass(frozen=True)
class Centring:
    """Pixels relative to a base: pixel = base + scale * network value.

    `base` (b, c, s, s), `scale` (b, 1, 1, 1); `offset` (b, c, 1, 1) is subtracted from visible pixels before
    the encoder.
    """

    base: Tensor
    scale: Tensor
    offset: Tensor

    def enter(self, images: Tensor) -> Tensor:
        return (images - self.offset) / self.scale

    def relative(self, images: Tensor) -> Tensor:
        """A true image in the decoder's space, at any size (the base is resized)."""
        return (images - self.base_at(images.shape[-1])) / self.scale

    def known(self, keep: Tensor | None, patch: int) -> tuple[Tensor, Tensor]:
        """The base in the encoder's space (b, c, s, s), and a map that is 1 where it is filled in (b, 1,
        s, s)."""
        side = self.base.shape[-1]
        hidden = (
            self.base.new_zeros(len(self.base), 1, side, side)
            if keep is None
            else hidden_pixels(keep, side // patch, side)
        )
        return self.enter(self.base), hidden

    def base_at(self, side: int) -> Tensor:
        return self.base if side == self.base.shape[-1] else bilinear(self.base, side)


def centre_on(images: Tensor, keep: Tensor | None, patch: int, centre: Centre) -> Centring:
    """Compute the base of each image from its visible pixels: their mean, or their harmonic interpolation.

    `dataset` leaves images unchanged (all published weights). `visible_mean` takes mean per band and one
    deviation over the visible pixels of each tile; `visible_harmonic` also adds the harmonic (Laplace) fill
    of the visible pixels to the decoder's output. Hidden pixels are never read.
    """
    b, c, side = images.shape[:3]
    if centre == "dataset":
        zero, one = images.new_zeros(b, c, 1, 1), images.new_ones(b, 1, 1, 1)
        return Centring(zero.expand_as(images), one, zero)
    grid = side // patch
    if keep is None:
        keep = torch.arange(grid * grid, device=images.device).expand(b, -1)
    visible = visible_values(images, keep, patch)
    if not keep.shape[1]:
        visible = images.new_zeros(b, c, 1)
    mean = visible.mean(2)[:, :, None, None]
    scale = (
        visible.flatten(1)
        .sub(mean.squeeze(3).expand_as(visible).flatten(1))
        .square()
        .mean(1)
        .add(1e-4)
        .sqrt()[:, None, None, None]
    )
    if centre == "visible_mean":
        return Centring(mean.expand_as(images), scale, mean)
    return Centring(harmonic_fill(images, mean, hidden_pixels(keep, grid, side), patch), scale, mean)


def visible_values(images: Tensor, keep: Tensor, patch: int) -> Tensor:
    """Pixels of the visible patches, (b, c, k*patch*patch)."""
    b, c, h, w = images.shape
    cells = (
        images.reshape(b, c, h // patch, patch, w // patch, patch)
        .permute(0, 1, 2, 4, 3, 5)
        .reshape(b, c, -1, patch * patch)
    )
    return cells.gather(2, keep[:, None, :, None].expand(-1, c, -1, patch * patch)).flatten(2)
