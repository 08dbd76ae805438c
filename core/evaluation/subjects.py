"""What an evaluation asks of a model: vectors and reconstructions of arrays, and nothing of torch.

`core.engine.candidates` gives networks this face; `ColourFloor` and `FillAlone` are opponents that need none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..policy import Policy
from .baselines.colours import COLOUR_HISTOGRAM, cell_colours, colour_histogram


class Subject(Protocol):
    """A model under evaluation. `weights` is a SHA-256, "untrained" or "none"; `default_policy` None: it knows no GSD."""

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
        """Give the res that the positional code receives under a policy."""
        ...

    def embed(
        self, images: NDArray[np.float32], res: NDArray[np.float64], pooling: str, /
    ) -> NDArray[np.float32]:
        """Turn (n, 3, s, s) in 0..1 into (n, d)."""
        ...

    def patches(self, images: NDArray[np.float32], res: NDArray[np.float64], /) -> NDArray[np.float32]:
        """Describe every patch: (n, 3, s, s) in 0..1 to (n, g, g, d)."""
        ...

    def reconstruct(
        self, images: NDArray[np.float32], hidden: NDArray[np.bool_], res: NDArray[np.float64], /
    ) -> NDArray[np.float32]:
        """Give the combined picture (n, 3, s, s) in 0..1 at the input's size, from the cells where `hidden` (n, g, g) is False."""
        ...


class _NoNetwork:
    """What is scored as a model is, without a network: no weights, no positions that hear a GSD, pixels taken as they are."""

    name: str
    weights = "none"
    default_policy: str | None = None
    gsd_aware = False
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def res(self, policy: Policy, *_: object) -> float:
        raise TypeError(f"{self.name} has no positional code to give {policy.name} to")


class ColourHistogram(_NoNetwork):
    """The colour histogram as a model: no patches, no GSD, nothing to reconstruct."""

    name = COLOUR_HISTOGRAM
    patch_px = 1
    input_px = 64
    pooling = "histogram"
    reconstructs = False

    def embed(self, images: NDArray[np.float32], *_: object) -> NDArray[np.float32]:
        """Give the histograms (n, 512)."""
        return colour_histogram(images)

    def patches(self, images: NDArray[np.float32], *_: object) -> NDArray[np.float32]:
        """Give mean and deviation of the colours of every cell (n, g, g, 6)."""
        return cell_colours(images)

    def reconstruct(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} reconstructs nothing")


@dataclass(frozen=True)
class FillBaseline(_NoNetwork):
    """One of `fills.FILLS` by its `name`, scored without a network beside it, on patches of `patch_px`; it embeds nothing."""

    name: str
    patch_px: int
    input_px = 224
    pooling = "none"
    reconstructs = True

    def embed(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} embeds nothing")

    def patches(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} describes no patches")

    def reconstruct(self, *_: object) -> NDArray[np.float32]:
        raise TypeError(f"{self.name} is painted by the protocol itself")
