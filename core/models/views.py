"""Other views of the same ground, for tasks that compare them: crops, flips, turns and colours drawn per
picture from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Colour:
    """Strengths of torchvision's ColorJitter and the chances that it and conversion to grey are applied."""

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    chance: float = 0.8
    grey_chance: float = 0.2


@dataclass(frozen=True)
class ImageView:
    """Pictures (b, c, s, s) and the `res` (b,) of their pixels: a crop drawn larger has smaller pixels on
    the ground."""

    images: Tensor
    res: Tensor


def crop_view(
    source: Tensor,
    res: Tensor,
    side_px: int,
    generator: torch.Generator,
    *,
    span: tuple[float, float],
    corner: bool = False,
    flips: bool = False,
    horizontal_flip: bool = False,
    quarter_turns: bool = False,
    log_slope: float = 0.0,
) -> ImageView:
    """A square crop of each picture drawn at `side_px`, covering between span[0] and span[1] of its side.

    `source` (b, c, t, t) shows the ground whose pixels at `side_px` have `res`. `corner` takes the top left
    crop instead of a random one. The view's res is that of its smaller pixels: in proportion, or, with
    `log_slope`, less by log_slope for each e-fold (the policy log_gsd). Randomness comes from `generator`
    alone (a CPU one, whatever the device of the pictures).
    """
    b = len(source)
    draw = torch.rand(6, b, generator=generator).to(source.device)
    part = span[0] + (span[1] - span[0]) * draw[0]
    where = torch.zeros_like(draw[1:3]) if corner else draw[1:3]
    centre = part - 1 + 2 * (1 - part) * where
    turn = (draw[3] * 4).long() if quarter_turns else torch.zeros(b, dtype=torch.long, device=source.device)
    cos, sin = (turn == 0).float() - (turn == 2).float(), (turn == 1).float() - (turn == 3).float()
    across = torch.where(draw[4] < 0.5, -1.0, 1.0) if flips or horizontal_flip else torch.ones_like(part)
    down = torch.where(draw[5] < 0.5, -1.0, 1.0) if flips else torch.ones_like(part)
    rows = [
        torch.stack([part * cos * across, -part * sin * down, centre[0]], 1),
        torch.stack([part * sin * across, part * cos * down, centre[1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [b, source.shape[1], side_px, side_px], align_corners=False)
    images = F.grid_sample(
        source, grid.to(source.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )
    return ImageView(images, res + log_slope * part.log() if log_slope else res * part)


def not_enlarged(span: tuple[float, float], side_px: int, source: Tensor) -> tuple[float, float]:
    """A crop's span with its ends raised to where `source` has a pixel for every pixel of the view."""
    least = min(1.0, side_px / source.shape[-1])
    return max(span[0], least), max(span[1], least)


def fit(source: Tensor, side_px: int) -> Tensor:
    """Pictures at `side_px`, bicubic and antialiased; as they are where they fit already."""
    if source.shape[-1] == side_px:
        return source
    return F.interpolate(source, size=(side_px, side_px), mode="bicubic", antialias=True, align_corners=False)


def recolour(
    images: Tensor,
    generator: torch.Generator,
    colour: Colour,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Tensor:
    """Jitter the colours of each normalised RGB picture on its own.

    Brightness, contrast, saturation and hue in this order (torchvision shuffles it); hue turns in the YIQ
    plane, which for small angles is what torchvision's HSV turn does. Results are clipped to 0..1 before they
    are normalised again.
    """
    shift, scale = images.new_tensor(mean)[None, :, None, None], images.new_tensor(std)[None, :, None, None]
    draw = torch.rand(6, len(images), 1, 1, 1, generator=generator).to(images.device, images.dtype)
    factor = [
        1 + strength * (2 * draw[i] - 1)
        for i, strength in enumerate((colour.brightness, colour.contrast, colour.saturation))
    ]
    plain = images * scale + shift
    out = (plain * factor[0]).clamp(0, 1)
    out = (_luma(out).mean((2, 3), keepdim=True) * (1 - factor[1]) + out * factor[1]).clamp(0, 1)
    out = (_luma(out) * (1 - factor[2]) + out * factor[2]).clamp(0, 1)
    out = _turn_hue(out, 2 * torch.pi * colour.hue * (2 * draw[3] - 1)).clamp(0, 1)
    out = torch.where(draw[4] < colour.chance, out, plain)
    out = torch.where(draw[5] < colour.grey_chance, _luma(out).expand_as(out), out)
    return (out - shift) / scale


def _luma(images: Tensor) -> Tensor:
    return (images * images.new_tensor(_LUMA)[None, :, None, None]).sum(1, keepdim=True)


def _turn_hue(images: Tensor, angle: Tensor) -> Tensor:
    to_yiq = images.new_tensor([_LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
    y, i, q = torch.einsum("kc,bchw->kbhw", to_yiq, images)[:, :, None]
    turned = torch.cat([y, i * angle.cos() - q * angle.sin(), i * angle.sin() + q * angle.cos()], 1)
    return torch.einsum("ck,bkhw->bchw", torch.linalg.inv(to_yiq), turned)
