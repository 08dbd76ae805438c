"""The interface of a model under evaluation: arrays in, arrays out, without torch.

`core.engine.candidates` wraps networks in it; `ColourHistogram` and `FillBaseline` are baselines without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..policy import Policy
from .baselines.colours import COLOUR_HISTOGRAM, cell_colours, colour_histogram

CENTRED = "centred"


class Subject(Protocol):
    """A model under evaluation.

    `weights` is a SHA-256, "untrained" or "none"; `default_policy` is None for a model without res. With
    the `pooling` CENTRED, the mean of the training images' vectors is subtracted before they are compared.
    """

    @property
    def name(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def patch_px(self) -> int: ...
    @property
    def input_px(self) -> int: ...
    @property
    def pooling(self) -> str: ...
    @property
    def default_policy(self) -> str | None: ...
    @property
    def gsd_aware(self) -> bool: ...
    @property
    def reconstructs(self) -> bool: ...
    @property
    def mean(self) -> tuple[float, float, float]: ...
    @property
    def std(self) -> tuple[float, float, float]: ...

    def res(self, policy: Policy, gsd_m: float, input_px: int, native_gsd_m: float | None, /) -> float:
        """Return the res that the positional encoding receives under a policy."""
        ...

    def embed(
        self, images: NDArray[np.float32], res: NDArray[np.float64], pooling: str, /
    ) -> NDArray[np.float32]:
        """Embed images (n, 3, s, s) in 0..1, with their res (n,), as (n, d)."""
        ...

    def patches(self, images: NDArray[np.float32], res: NDArray[np.float64], /) -> NDArray[np.float32]:
        """Embed every patch of images (n, 3, s, s) in 0..1, with their res (n,), as (n, g, g, d)."""
        ...

    def reconstruct(
        self, images: NDArray[np.float32], hidden: NDArray[np.bool_], res: NDArray[np.float64], /
    ) -> NDArray[np.float32]:
        """Reconstruct images (n, 3, s, s) in 0..1 from the patches where `hidden` (n, g, g) is False."""
        ...


class _Baseline:
    """A subject without a network: no weights, no res, no normalisation."""

    name: str
    weights = "none"
    default_policy: str | None = None
    gsd_aware = False
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def res(self, policy: Policy, *_: object) -> float:
        raise TypeError(f"{self.name} has no positional encoding, so it takes no res ({policy.name})")


class ColourHistogram(_Baseline):
    """Colour histograms as embeddings; a baseline for the classification and segmentation protocols."""

    name = COLOUR_HISTOGRAM
    patch_px = 1
    input_px = 64
    pooling = "histogram"
    reconstructs = False

    def embed(self, images: NDArray[np.float32], *_: object) -> NDArray[np.float32]:
        """Return the histograms (n, 512)."""
        return colour_histogram(images)

    def patches(self, images: NDArray[np.float32], *_: object) -> NDArray[np.float32]:
        """Return mean and standard deviation of the colours of every cell (n, g, g, 6)."""
        return cell_colours(images)

    def reconstruct(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} cannot reconstruct")


@dataclass(frozen=True)
class FillBaseline(_Baseline):
    """One of `fills.FILLS`, by its `name`, scored on its own with patches of `patch_px`; it cannot embed."""

    name: str
    patch_px: int
    input_px = 224
    pooling = "none"
    reconstructs = True

    def embed(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} cannot embed")

    def patches(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} cannot embed patches")

    def reconstruct(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} is applied by the protocol itself")
