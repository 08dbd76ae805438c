"""One whitened vector from several levels of a network, so that no level and no direction drowns the others.

Ours, not from any paper. A few directions that all images share dominate the vectors of a masked autoencoder,
and cosines between them say little; dividing by the spread of many unlabelled images removes that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import ModelInputError

RIDGE = 0.001
"""Share of the largest eigenvalue that is added to all, so that faint directions are not amplified."""


def summary_of(tokens: Tensor, images: Tensor) -> list[Tensor]:
    """What a transformer's whitened vector is made of, float32: CLS, mean and deviation of the patch tokens
    (b, d) each, and mean and deviation of every band (b, 2c).

    `tokens` (b, 1 + n, d), CLS first; `images` (b, c, s, s).
    """
    tokens, images = tokens.float(), images.float().flatten(2)
    return [
        tokens[:, 0],
        tokens[:, 1:].mean(1),
        deviation(tokens[:, 1:], 1),
        torch.cat([images.mean(2), deviation(images, 2)], dim=1),
    ]


def deviation(values: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """Standard deviation over some axes, above zero where all values are equal."""
    return values.var(axis, correction=0).add(1e-6).sqrt()


class LevelWhitening(nn.Module):
    """Joins the vectors of several levels to one.

    Each part is whitened to its strongest `part_dim` directions and scaled to unit length; all of them are
    then reduced to the strongest `width` directions of the whole. It only truncates until `settle` has been
    called.
    """

    rotation: Tensor

    def __init__(self, parts: Sequence[int], part_dim: int, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ModelInputError(f"A whitened vector needs a width (vector_dim) of 1 or more, not {width}.")
        self.part_dims = [min(part_dim, size) for size in parts]
        for i, (size, kept) in enumerate(zip(parts, self.part_dims, strict=True)):
            self.register_buffer(f"centre_{i}", torch.zeros(size))
            self.register_buffer(f"whitening_{i}", torch.eye(size)[:, :kept].clone())
        self.width = min(width, sum(self.part_dims))
        self.register_buffer("rotation", torch.eye(sum(self.part_dims))[:, : self.width].clone())

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Every part whitened, of unit length, side by side: (n, sum of part_dims)."""
        made = [
            (part - self.get_buffer(f"centre_{i}")) @ self.get_buffer(f"whitening_{i}")
            for i, part in enumerate(parts)
        ]
        return torch.cat([F.normalize(part, dim=1) for part in made], dim=1)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        return self.joined(parts) @ self.rotation

    @torch.no_grad()
    def settle(self, parts: Sequence[Tensor], ridge: float) -> None:
        """Measure means and covariances over the rows of `parts`."""
        for i, part in enumerate(parts):
            self.get_buffer(f"centre_{i}").copy_(part.mean(0))
            self.get_buffer(f"whitening_{i}").copy_(
                whitening(part.double().T.cov(correction=0), self.part_dims[i], ridge)
            )
        directions = torch.linalg.eigh(self.joined(parts).double().T.cov(correction=0)).eigenvectors
        self.rotation.copy_(directions.flip(1)[:, : self.width])


def whitening(covariance: Tensor, width: int, ridge: float) -> Tensor:
    """The map that gives the `width` strongest directions of standardised values equal spread, (n, width).

    Eigenvalues of the correlation matrix are raised by `ridge` times the largest, so that faint directions
    are not amplified.
    """
    spread = covariance.diagonal().clamp(min=1e-8).sqrt()
    values, directions = torch.linalg.eigh((covariance / spread / spread[:, None]).double())
    values, directions = values.flip(0)[:width], directions.flip(1)[:, :width]
    return (directions / (values.clamp(min=0) + ridge * values[0]).sqrt()).to(covariance.dtype) / spread[
        :, None
    ]
