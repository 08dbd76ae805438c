"""Adapters from networks to the interface of evaluations (core.evaluation.subjects)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..files import file_sha256
from ..models.base import Encoder, Reconstructor
from ..models.frequency import bilinear
from ..models.image_teacher import TEACHERS, FrozenClassifier, fetched
from ..models.pooling import whitening_of
from ..models.registry import cards, create
from ..policy import Policy
from .device import device, to_device, to_numpy
from .embed import embed
from .inputs import InputError, res_of
from .loaded import load
from .prediction import reconstruct_batch
from .results import shrink
from .tokens import patch_vectors

UNTRAINED = "untrained_"
"""Precedes the name of a preset whose weights are random, drawn from a fixed seed."""
TEACHER_BATCH = 64


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
        """Return the res that the network receives under a policy."""
        return res_of(self.model.card, policy, gsd_m, input_px, native_gsd_m)

    def embed(
        self, images: NDArray[np.float32], res: NDArray[np.float64], pooling: str, /
    ) -> NDArray[np.float32]:
        """Return vectors (n, d) of images (n, 3, s, s) in 0..1, each with its own res."""
        vectors = np.empty((0, 0), np.float32)
        for value in np.unique(res):
            here = res == value
            embedded = embed(
                self.model, images[here], gsd_m=1.0, policy=Policy("manual", float(value)), pooling=pooling
            )
            if not vectors.size:
                vectors = np.empty((len(images), embedded.shape[1]), np.float32)
            vectors[here] = embedded
        return vectors

    def patches(self, images: NDArray[np.float32], res: NDArray[np.float64], /) -> NDArray[np.float32]:
        """Return patch vectors (n, g, g, d) of images (n, 3, s, s) in 0..1, each with its own res."""
        return patch_vectors(self.model, images, res.astype(np.float32))

    def reconstruct(
        self, images: NDArray[np.float32], hidden: NDArray[np.bool_], res: NDArray[np.float64], /
    ) -> NDArray[np.float32]:
        """Return combined images (n, 3, s, s), area-averaged to the input's size, from the visible cells."""
        if not isinstance(self.model, Reconstructor):
            raise InputError(
                f"{self.name} is an encoder without a decoder: choose a model that reconstructs."
            )
        combined = reconstruct_batch(self.model, images, hidden, res).combined
        return np.stack([shrink(picture, images.shape[-1]) for picture in combined])


@dataclass(frozen=True, eq=False)
class TeacherCandidate:
    """A frozen image classifier under evaluation: the pooled vector and feature map that it teaches."""

    classifier: FrozenClassifier
    name: str
    weights: str
    pooling = "centred"
    input_px = 128
    default_policy: str | None = None
    gsd_aware = False
    reconstructs = False
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    @property
    def patch_px(self) -> int:
        return self.classifier.teacher.stride

    def res(self, policy: Policy, *_: object) -> float:
        """Never called for a model without a default policy. Raises InputError."""
        raise InputError(f"{self.name} has no positional encoding, so it takes no res ({policy.name}).")

    def embed(self, images: NDArray[np.float32], *_: object) -> NDArray[np.float32]:
        """Pooled vectors (n, d) of pictures (n, 3, s, s) in 0..1, enlarged to `input_px` if smaller."""
        return np.concatenate([pooled for _, pooled in self._features(images)])

    def patches(self, images: NDArray[np.float32], *_: object) -> NDArray[np.float32]:
        """Cells of the feature map (n, g, g, d) of pictures (n, 3, s, s) in 0..1."""
        return np.concatenate([found for found, _ in self._features(images)]).transpose(0, 2, 3, 1)

    def reconstruct(self, *_: object) -> NDArray[np.float32]:
        """Raises InputError: a classifier has no decoder."""
        raise InputError(f"{self.name} is a classifier without a decoder: choose a model that reconstructs.")

    def _features(self, images: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float32], ...]]:
        on = device()
        network = self.classifier.to(on.torch)
        for start in range(0, len(images), TEACHER_BATCH):
            pictures = to_device(images[start : start + TEACHER_BATCH], on)
            if pictures.shape[-1] < self.input_px:
                pictures = bilinear(pictures, self.input_px)
            yield tuple(to_numpy(part) for part in network(pictures))


def subject(name: str | Path) -> Candidate | TeacherCandidate:
    """Load a preset, a weights file, an untrained preset (`untrained_NAME`) or a teacher for evaluation.

    Raises what `load` raises, and ModelInputError for a teacher that was not fetched.
    """
    if name in TEACHERS:
        teacher = TEACHERS[str(name)]
        return TeacherCandidate(FrozenClassifier(teacher), str(name), teacher.wheel.sha256)
    text = str(name)
    if text.startswith(UNTRAINED) and text.removeprefix(UNTRAINED) in cards():
        return untrained(candidate(text.removeprefix(UNTRAINED)))
    return candidate(name)


def untrained(trained: Candidate, seed: int = 0) -> Candidate:
    """The same network with random weights, and the policy, pooling and normalisation of its card.

    A transformer's whitened vector is measured in training, so its family's own pooling takes its place.
    """
    card = trained.model.card
    whitened = whitening_of(trained.model) is not None
    sizes = {**card.sizes, "vector_dim": 0} if whitened else card.sizes
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = create(card.family, trained=False, **sizes)
    name, pooling = UNTRAINED + trained.name, model.card.pooling if whitened else card.pooling
    model.card = replace(card, name=name, sizes=sizes, pooling=pooling, weights=None)
    return Candidate(model, name, "untrained")


def fetched_teachers() -> tuple[str, ...]:
    """Names of the image teachers whose weights are on this machine."""
    return tuple(name for name in TEACHERS if fetched(name))


def candidate(name: str | Path) -> Candidate:
    """Load a preset or a weights file for evaluation. Raises the errors of `load`."""
    model = load(name)
    card = model.card
    path = Path(name)
    if card.weights is not None:
        weights = card.weights.sha256
    else:
        weights = file_sha256(path) if path.is_file() else "untrained"
    return Candidate(model, path.name if path.is_file() else card.name, weights)


def shipped() -> tuple[str, ...]:
    """Return the names of presets with bundled trained weights."""
    return tuple(name for name, card in cards().items() if card.weights is not None)
