"""The harmonic fill: hidden pixels as the solution of Laplace's equation through the visible ones, solved
in batches on the device.

A conjugate gradient preconditioned by one multigrid V-cycle (Tatebe 1993) reaches the exact solution to about
1e-4 of the pixel range in a few steps; `core.evaluation.baselines.fills` solves the same equations by sparse
factorisation. Masks are made of whole patches, so on every grid whose cells divide a patch a cell is either
wholly hidden or wholly visible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 4
"""Steps of the conjugate gradient where every grid halves the next.

Grids that are further apart take more.
"""
SMOOTHING = (1.7319, 0.5695)
"""Damping of two Jacobi sweeps that together act as a Chebyshev polynomial on the upper part of the
spectrum."""
COARSEST_SWEEPS = 10
DENSE_CELLS = 32 * 32
"""Most cells of a coarsest grid that is solved by the inverse of its matrix instead of by sweeps."""


@dataclass(frozen=True)
class _Level:
    """One grid: `gap` (b, 1, n, n) is 1 in hidden cells.

    `diagonal` of the five-point operator there, and its inverse (0 elsewhere).
    """

    gap: Tensor
    diagonal: Tensor
    inverse: Tensor

    def dense_inverse(self) -> Tensor:
        """Inverse of the operator's matrix, (b, n*n, n*n); the identity for visible cells."""
        size = self.gap.shape[-1]
        gap = self.gap.flatten(1)
        cells = torch.arange(size * size, device=gap.device).view(size, size)
        # The small share keeps the matrix regular where nothing is visible.
        matrix = torch.diag_embed(torch.where(gap.bool(), self.diagonal.flatten(1) + 1e-4, 1.0))
        for one, other in ((cells[:, 1:], cells[:, :-1]), (cells[1:], cells[:-1])):
            one, other = one.flatten(), other.flatten()
            matrix[:, one, other] = matrix[:, other, one] = -gap[:, one] * gap[:, other]
        return torch.linalg.inv(matrix)


@torch.no_grad()
def harmonic_fill(images: Tensor, mean: Tensor, hidden: Tensor, patch: int) -> Tensor:
    """Continue the visible pixels of `images` (b, c, s, s) harmonically into `hidden` (b, 1, s, s), 1
    where a pixel is hidden.

    The image's edges are free (zero gradient across them). `mean` (b, c, 1, 1) is where the solution starts,
    and all there is where nothing is visible. Hidden pixels are never read.
    """
    cells = divisors(patch)
    levels = [_level(hidden, cell) for cell in reversed(cells)]
    dense = levels[-1].dense_inverse() if levels[-1].gap[0].numel() <= DENSE_CELLS else None
    steps = STEPS * max([1, *(math.ceil(math.log2(coarse / fine)) for coarse, fine in pairwise(cells))])
    gap, diagonal = levels[0].gap, levels[0].diagonal
    surface = torch.where(gap.bool(), mean, images)
    residual = (_neighbours(surface) - diagonal * surface).mul_(gap)
    correction = _v_cycle(residual, levels, dense)
    direction, energy = correction, _dot(residual, correction)
    for step in range(steps):
        applied = (diagonal * direction - _neighbours(direction)).mul_(gap)
        length = energy / _dot(direction, applied).clamp(min=1e-20)
        surface = surface.addcmul(direction, length)
        if step == steps - 1:
            break
        residual = residual.addcmul(applied, -length)
        correction = _v_cycle(residual, levels, dense)
        before, energy = energy, _dot(residual, correction)
        direction = correction + energy / before.clamp(min=1e-20) * direction
    return surface


def divisors(cell: int) -> list[int]:
    """A cell and ever smaller ones that each divide the one before, down to 1."""
    sides = [cell]
    while (side := sides[-1]) > 1:
        sides.append(next(side // step for step in range(2, side + 1) if side % step == 0))
    return sides


def _level(hidden: Tensor, cell: int) -> _Level:
    """The operator on cells of `cell` px.

    A visible pixel lies (cell + 1) / 2 px from the centre of a hidden cell, not a whole cell, and therefore
    pulls harder. Without this, corrections from coarse grids overshoot.
    """
    size = hidden.shape[-1] // cell
    gap = hidden if cell == 1 else F.interpolate(hidden, size=(size, size), mode="nearest")
    hidden_around, all_around = _neighbours(gap), _neighbours(torch.ones_like(gap))
    diagonal = hidden_around + (all_around - hidden_around) * (2 * cell / (cell + 1))
    return _Level(gap, diagonal, gap / diagonal.clamp(min=1e-9))


def _neighbours(cells: Tensor) -> Tensor:
    """Sum of the four neighbours; what lies beyond the edge counts nothing."""
    padded = F.pad(cells, (1, 1, 1, 1))
    total = padded[:, :, :-2, 1:-1] + padded[:, :, 2:, 1:-1]
    return total.add_(padded[:, :, 1:-1, :-2]).add_(padded[:, :, 1:-1, 2:])


def _smooth(cells: Tensor, right: Tensor, level: _Level, damping: tuple[float, ...]) -> Tensor:
    for share in damping:
        cells = cells + share * (_neighbours(cells).add_(right).mul_(level.inverse) - cells * level.gap)
    return cells


def _v_cycle(right: Tensor, levels: list[_Level], dense: Tensor | None) -> Tensor:
    """About what solves the equations for the right-hand side `right`, zero outside the gaps.

    Symmetric, as a preconditioner must be. `dense`: the inverse of the coarsest grid's matrix.
    """
    here, below = levels[0], levels[1:]
    if not below and dense is not None:
        with torch.autocast(right.device.type, enabled=False):
            return (right.flatten(2) @ dense).view_as(right) * here.gap
    if not below:
        return _smooth(torch.zeros_like(right), right, here, SMOOTHING * COARSEST_SWEEPS)
    cells = _smooth(SMOOTHING[0] * right * here.inverse, right, here, SMOOTHING[1:])
    left = (right + _neighbours(cells) - here.diagonal * cells).mul_(here.gap)
    times = here.gap.shape[-1] // below[0].gap.shape[-1]
    coarse = _v_cycle(F.avg_pool2d(left, times) * times**2, below, dense)
    cells = cells + F.interpolate(coarse, scale_factor=times, mode="bilinear", align_corners=False) * here.gap
    return _smooth(cells, right, here, SMOOTHING[::-1])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each plane: (b, c, n, n) twice -> (b, c, 1, 1)."""
    return (a * b).flatten(2).sum(2)[:, :, None, None]
