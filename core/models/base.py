"""What every network promises: encode, reconstruct, and the named losses that train it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from torch import Tensor, nn

from core.errors import ExplorerError
from core.models.frequency import combine

if TYPE_CHECKING:
    from core.models.registry import ModelCard


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
    patch_size: int
    embed_dim: int
    in_chans: int

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
class Batch:
    """Normalised pictures for one training step: `images` (b, c, s, s), `targets` (b, c, t, t) of the same ground, `res` (b,)."""

    images: Tensor
    targets: Tensor
    res: Tensor


class Objective(nn.Module, ABC):
    """What training adds to a network: a teacher, a head, a view. `network` is what inference keeps."""

    network: nn.Module

    @abstractmethod
    def forward(self, batch: Batch, keep: Tensor | None) -> dict[str, Tensor]:
        """Named losses, already weighted: their sum is what is minimised."""


def check_inputs(images: Tensor, res: Tensor, keep: Tensor | None, channels: int, patch: int) -> None:
    """Raise ModelInputError with a sentence where shapes do not fit together."""
    if images.ndim != 4 or images.shape[1] != channels:
        raise ModelInputError(f"The network takes pictures of {channels} bands shaped (batch, band, row, column), not {tuple(images.shape)}.")
    if res.shape != images.shape[:1]:
        raise ModelInputError(f"Give one res per picture: {images.shape[0]} pictures came with res of shape {tuple(res.shape)}.")
    count = (images.shape[2] // patch) * (images.shape[3] // patch)
    if keep is None:
        return
    if keep.ndim != 2 or len(keep) != len(images):
        raise ModelInputError(f"Visible positions must be shaped (batch, k), not {tuple(keep.shape)} for {len(images)} pictures.")
    if keep.shape[1] and (int(keep.min()) < 0 or int(keep.max()) >= count):
        raise ModelInputError(f"Visible positions must lie in 0..{count - 1} for this grid of {count} patches.")
