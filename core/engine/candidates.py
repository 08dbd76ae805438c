"""Adapters from networks to the interface of evaluations, which takes and returns arrays
(core.evaluation.subjects)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import file_sha256
from ..models.base import Encoder, Reconstructor
from ..models.registry import cards
from ..policy import Policy
from .embed import embed
from .inputs import InputError, res_of
from .loaded import load
from .reconstruct import reconstruct_batch
from .results import shrink
from .tokens import patch_vectors


@dataclass(frozen=True, eq=False)
class Candidate:
    """A loaded network under evaluation; `weights` is the SHA-256 of its file, or "untrained"."""

    model: Encoder
    name: str
    weights: str

    @property
    def patch_px(self) -> int:
        return self.model.card.patch_px

    @property
    def input_px(self) -> int:
        return self.model.card.input_px

    @property
    def pooling(self) -> str:
        return self.model.card.pooling

    @property
    def default_policy(self) -> str | None:
        return self.model.card.default_policy

    @property
    def gsd_aware(self) -> bool:
        return self.model.card.gsd_aware

    @property
    def reconstructs(self) -> bool:
        return isinstance(self.model, Reconstructor)

    @property
    def mean(self) -> tuple[float, float, float]:
        return self.model.card.mean

    @property
    def std(self) -> tuple[float, float, float]:
        return self.model.card.std

    def res(self, policy: Policy, gsd_m: float, input_px: int, native_gsd_m: float | None, /) -> float:
        """The res that the network receives under a policy."""
        return res_of(self.model.card, policy, gsd_m, input_px, native_gsd_m)

    def embed(
        self, images: NDArray[np.float32], res: NDArray[np.float64], pooling: str, /
    ) -> NDArray[np.float32]:
        """Vectors (n, d) of pictures (n, 3, s, s) in 0..1, each under its own res."""
        vectors = np.empty((0, 0), np.float32)
        for value in np.unique(res):
            here = res == value
            found = embed(
                self.model, images[here], gsd_m=1.0, policy=Policy("manual", float(value)), pooling=pooling
            )
            if not vectors.size:
                vectors = np.empty((len(images), found.shape[1]), np.float32)
            vectors[here] = found
        return vectors

    def patches(self, images: NDArray[np.float32], res: NDArray[np.float64], /) -> NDArray[np.float32]:
        """Vectors of every patch (n, g, g, d) of pictures (n, 3, s, s) in 0..1, each under its own res."""
        return patch_vectors(self.model, images, res.astype(np.float32))

    def reconstruct(
        self, images: NDArray[np.float32], hidden: NDArray[np.bool_], res: NDArray[np.float64], /
    ) -> NDArray[np.float32]:
        """Combined pictures (n, 3, s, s), area-averaged to the input's size, from the cells that are not
        hidden."""
        if not isinstance(self.model, Reconstructor):
            raise InputError(
                f"{self.name} is an encoder without a decoder: choose a model that reconstructs."
            )
        combined = reconstruct_batch(self.model, images, hidden, res).combined
        return np.stack([shrink(picture, images.shape[-1]) for picture in combined])


def candidate(name: str | Path) -> Candidate:
    """Load a preset or a weights file for evaluation. Raises what `load` raises."""
    model = load(name)
    card = model.card
    path = Path(name)
    if card.weights is not None:
        weights = card.weights.sha256
    else:
        weights = file_sha256(path) if path.is_file() else "untrained"
    return Candidate(model, path.name if path.is_file() else card.name, weights)


def shipped() -> tuple[str, ...]:
    """Names of the presets that carry trained weights of ours."""
    return tuple(name for name, card in cards().items() if card.weights is not None)
