"""What every network promises: encode, reconstruct, and the named losses that train it."""

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
"""Patches along one side of a picture, at most: attention's cost grows with the fourth power."""


class ModelInputError(ExplorerError, ValueError):
    """A size, a mask or a picture that the network cannot take."""


@dataclass(frozen=True)
class LowHigh:
    """What a decoder imagined, raw and ready for the eye. s is the input side in px.

    `low_raw` (b, 3, s, s) and `high_raw` (b, 3, t, t), t = 2s for Scale-MAE and s for single-band models, are the decoder's own outputs in the
    space it was trained in. `low` is the picture in 0..1 (not clipped), `high` the signed residual in the same unit, `combined` both
    together at t (models.md 1.6). `base` is what was put back under the picture: a constant, or the fill the network worked on top of.
    """

    low_raw: Tensor
    high_raw: Tensor
    low: Tensor
    high: Tensor
    combined: Tensor
    base: Tensor


class Encoder(nn.Module, ABC):
    """A network that turns the visible patches of a picture into tokens."""

    card: ModelCard
    report: LoadReport | None = None
    """What became of the file it was loaded from, where there was one."""
    patch_size: int
    embed_dim: int
    in_chans: int

    @property
    def backbone(self) -> VisionTransformer:
        """The vision transformer inside this network. Raises ModelInputError where there is none."""
        raise ModelInputError(
            f"{self.card.name} is not a vision transformer: choose a model with transformer blocks throughout."
        )

    @final
    def encode(self, images: Tensor, res: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens after the final norm: (b, 1 + k, d), CLS first, then patches in the order of `keep`.

        `images` float32 (b, c, h, w), normalised with the card's mean and std; `res` (b,) is what the positional code receives; `keep`
        (b, k) holds positions of visible patches in the row-major grid, in any order; None keeps all. Raises ModelInputError.
        """
        check_inputs(images, res, keep, self.in_chans, self.patch_size)
        return self._encode(images, res, keep)

    @abstractmethod
    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor: ...


class Reconstructor(Encoder):
    """An encoder with a decoder that paints the hidden patches."""

    band_config: tuple[int, int]

    @final
    def reconstruct(self, images: Tensor, res: Tensor, keep: Tensor | None = None) -> LowHigh:
        """Low, high and combined pictures from the visible patches; shapes as in LowHigh, arguments as in `encode`."""
        check_inputs(images, res, keep, self.in_chans, self.patch_size)
        return self._reconstruct(images, res, keep)

    @abstractmethod
    def _reconstruct(self, images: Tensor, res: Tensor, keep: Tensor | None) -> LowHigh: ...

    def recombine(self, low: Tensor, high: Tensor) -> Tensor:
        """The combined picture of any low and high of this model (models.md 1.6)."""
        return combine(low, high, self.band_config[0])


@dataclass(frozen=True)
class TrainingBatch:
    """Normalised pictures for one training step: `images` (b, c, s, s), `targets` (b, c, t, t) of the same ground, `res` (b,)."""

    images: Tensor
    targets: Tensor
    res: Tensor


class Objective(nn.Module, ABC):
    """What training adds to a network: a teacher, a head, a view. `network` is what inference keeps."""

    network: nn.Module
    target_scale: int = 1
    """How many times the input's side a batch's targets should have."""
    measured: int = 0
    """How many pictures `finish` wants to see."""

    @property
    def teacher_licence(self) -> str:
        """The licence of the network that teaches; empty where none does."""
        return ""

    @abstractmethod
    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:
        """Named losses, already weighted: their sum is what is minimised."""

    def finish(self, network: nn.Module, batches: Iterable[TrainingBatch]) -> None:
        """Before weights are written: measure in `network` (averaged, in eval mode) what is measured rather than learnt. Mostly nothing is."""


def check_inputs(images: Tensor, res: Tensor, keep: Tensor | None, channels: int, patch: int) -> None:
    """Raise ModelInputError with a sentence where shapes do not fit together."""
    if images.ndim != 4 or images.shape[1] != channels:
        raise ModelInputError(
            f"The network takes pictures of {channels} bands shaped (batch, band, row, column), not {tuple(images.shape)}."
        )
    if not len(images) or not images.is_floating_point():
        raise ModelInputError(
            f"Give at least one picture of normalised floating-point values, not {len(images)} of {images.dtype}."
        )
    if res.shape != images.shape[:1]:
        raise ModelInputError(
            f"Give one res per picture: {images.shape[0]} pictures came with res of shape {tuple(res.shape)}."
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
            f"Visible positions must be int64 shaped (batch, k), not {keep.dtype} of {tuple(keep.shape)} for {batch} pictures."
        )
    if not keep.shape[1]:
        return
    ordered = keep.sort(dim=1).values
    if int(ordered[:, 0].min()) < 0 or int(ordered[:, -1].max()) >= count:
        raise ModelInputError(
            f"Visible positions must lie in 0..{count - 1} for this grid of {count} patches."
        )
    if bool((ordered.diff(dim=1) == 0).any()):
        raise ModelInputError("A visible position is listed twice for one picture: list each once.")
