"""Interfaces of all networks: `encode`, `reconstruct`, and objectives that return named losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from ..errors import ExplorerError
from .frequency import combine

if TYPE_CHECKING:
    from .layers.vit import VisionTransformer
    from .registry import ModelCard
    from .report import LoadReport


MAX_GRID = 64
"""Most patches along one side of an image: the cost of attention grows with the fourth power."""


class ModelInputError(ExplorerError, ValueError):
    """A size, a mask or an image that the network cannot process."""


@dataclass(frozen=True)
class LowHigh:
    """Output of a decoder, raw and ready for display. s is the input's side in px.

    `low_raw` (b, 3, s, s) and `high_raw` (b, 3, t, t), t = 2s for Scale-MAE and s for single-band models, are
    the decoder's own outputs in the space it was trained in. `low` is the image in 0..1 (not clipped), `high`
    the signed residual in the same unit, `combined` both together at t (models.md 1.6). `base` is what the
    prediction was added to: a constant, or the fill of the hidden pixels.
    """

    low_raw: Tensor
    high_raw: Tensor
    low: Tensor
    high: Tensor
    combined: Tensor
    base: Tensor


class Encoder(nn.Module, ABC):
    """A network that turns the visible patches of an image into tokens."""

    card: ModelCard
    report: LoadReport | None = None
    """How its weights file was loaded; None for a network that was not loaded from a file."""
    patch_size: int
    embed_dim: int
    in_chans: int

    @property
    def backbone(self) -> VisionTransformer:
        """The vision transformer inside this network. Raises ModelInputError where there is none."""
        raise ModelInputError(
            f"{self.card.name} is not a vision transformer: "
            "choose a model with transformer blocks throughout."
        )

    @final
    def encode(self, images: Tensor, res: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens after the final norm: (b, 1 + k, d), CLS first, then patches in the order of `keep`.

        `images` float32 (b, c, h, w), normalised with the card's mean and std; `res` (b,) is what the
        positional code receives; `keep` (b, k) holds positions of visible patches in the row-major grid, in
        any order; None keeps all. Raises ModelInputError.
        """
        check_inputs(images, res, keep, self.in_chans, self.patch_size)
        return self._encode(images, res, keep)

    @abstractmethod
    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor: ...


class Reconstructor(Encoder):
    """An encoder with a decoder that reconstructs the hidden patches."""

    band_config: tuple[int, int]

    @final
    def reconstruct(self, images: Tensor, res: Tensor, keep: Tensor | None = None) -> LowHigh:
        """Reconstruct low, high and combined images from the visible patches.

        Shapes as in LowHigh, arguments as in `encode`.
        """
        check_inputs(images, res, keep, self.in_chans, self.patch_size)
        return self._reconstruct(images, res, keep)

    @abstractmethod
    def _reconstruct(self, images: Tensor, res: Tensor, keep: Tensor | None) -> LowHigh: ...

    def recombine(self, low: Tensor, high: Tensor) -> Tensor:
        """The combined picture of any low and high of this model (models.md 1.6)."""
        return combine(low, high, self.band_config[0])


@dataclass(frozen=True)
class TrainingBatch:
    """Normalised images for one training step: `images` (b, c, s, s), `targets` (b, c, t, t) of the same
    ground, `res` (b,)."""

    images: Tensor
    targets: Tensor
    res: Tensor


class Objective(nn.Module, ABC):
    """A training objective around a network: losses, and the teacher, heads and views they need.

    `network` is the part that inference keeps."""

    network: nn.Module
    target_scale: int = 1
    """Side of a batch's targets, as a multiple of the input's side."""
    measured: int = 0
    """Number of images that `finish` needs."""

    @property
    def teacher_licence(self) -> str:
        """Licence of the teacher network; empty if there is none."""
        return ""

    @abstractmethod
    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:
        """Compute named, weighted losses; training minimises their sum."""

    def finish(self, network: nn.Module, batches: Iterable[TrainingBatch]) -> None:
        """Estimate statistics of `network` (the moving average, in eval mode) before weights are written.

        Does nothing by default.
        """


def check_inputs(images: Tensor, res: Tensor, keep: Tensor | None, channels: int, patch: int) -> None:
    """Raise ModelInputError if shapes, types or values of the arguments do not match."""
    if images.ndim != 4 or images.shape[1] != channels:
        raise ModelInputError(
            f"The network takes images with {channels} bands, shaped (batch, band, row, column), not "
            f"{tuple(images.shape)}."
        )
    if not len(images) or not images.is_floating_point():
        raise ModelInputError(
            f"Pass at least one image of normalised floating-point values, not {len(images)} of "
            f"{images.dtype}."
        )
    if res.shape != images.shape[:1]:
        raise ModelInputError(
            f"Pass one res per image: got {images.shape[0]} images and res of shape {tuple(res.shape)}."
        )
    if not bool(res.isfinite().all()):
        raise ModelInputError(
            "Every res must be a finite number: choose another policy or state the tile's GSD."
        )
    if keep is not None:
        _check_keep(keep, len(images), (images.shape[2] // patch) * (images.shape[3] // patch))


def _check_keep(keep: Tensor, batch: int, count: int) -> None:
    if keep.dtype != torch.int64 or keep.ndim != 2 or len(keep) != batch:
        raise ModelInputError(
            f"Visible positions must be int64 shaped (batch, k), not {keep.dtype} of {tuple(keep.shape)} "
            f"for {batch} images."
        )
    if not keep.shape[1]:
        return
    ordered = keep.sort(dim=1).values
    if int(ordered[:, 0].min()) < 0 or int(ordered[:, -1].max()) >= count:
        raise ModelInputError(
            f"Visible positions must lie in 0..{count - 1} for this grid of {count} patches."
        )
    if bool((ordered.diff(dim=1) == 0).any()):
        raise ModelInputError("A visible position is listed twice for one image: list each position once.")
