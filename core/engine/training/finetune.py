"""Fine-tune any encoder as a classifier: a generator of steps, and predictions as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ...models.base import Encoder
from ...models.classifier import Classifier, turned
from ..device import device, to_device, to_numpy, training_precision
from ..inputs import InputError, normalised
from .spec_checks import problems_of_fine_tuning


@dataclass(frozen=True)
class FineTune:
    """What decides a fine-tuning; the defaults are MAE's and SDMAE's (models.md 3.4) but for steps and batch.

    Raises InputError.
    """

    steps: int = 500
    batch: int = 64
    lr: float = 1e-3
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    warmup_steps: int = 25
    label_smoothing: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if wrong := problems_of_fine_tuning(self):
            raise InputError(f"These fine-tuning settings are invalid: {'; '.join(wrong)}.")


@dataclass(frozen=True, eq=False)
class FineTuneStep:
    """One training step: its number, the number of all steps, the loss, and the current classifier."""

    step: int
    steps: int
    loss: float
    classifier: Classifier


def finetune(
    model: Encoder,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    res: NDArray[np.float32],
    spec: FineTune = FineTune(),
) -> Iterator[FineTuneStep]:
    """Train a copy of `model` and a fresh head on pictures (n, 3, s, s) in 0..1, classes (n,) from 0 and
    res (n,); yields every step.

    Images are flipped and rotated at random. The model itself is not changed. Raises InputError for fewer
    than two classes or unequal lengths.
    """
    if not len(images) == len(labels) == len(res):
        raise InputError(
            "Pass one class and one res per image: "
            f"got {len(images)} images, {len(labels)} classes and {len(res)} res."
        )
    if len(np.unique(labels)) < 2 or labels.min() < 0:
        raise InputError(
            "Fine-tuning needs pictures of at least two classes, numbered from 0: "
            "add pictures of another class."
        )
    on, rng, generator = device(), np.random.default_rng(spec.seed), torch.Generator().manual_seed(spec.seed)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        classifier = Classifier(model, int(labels.max()) + 1).to(on.torch).train()
    optimizer = torch.optim.AdamW(
        classifier.learning_groups(spec.lr, spec.layer_decay, spec.weight_decay), betas=(0.9, 0.999)
    )
    for step in range(spec.steps):
        rate = (
            spec.lr
            * min(1.0, (step + 1) / max(1, spec.warmup_steps))
            * 0.5
            * (1 + math.cos(math.pi * step / spec.steps))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        rows = rng.integers(len(images), size=spec.batch)
        pictures = turned(to_device(normalised(images[rows], model.card), on), generator)
        with training_precision(on):
            scores = classifier(pictures, to_device(res[rows].astype(np.float32), on))
        loss = F.cross_entropy(
            scores.float(), to_device(labels[rows], on), label_smoothing=spec.label_smoothing
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimizer.step()
        yield FineTuneStep(step + 1, spec.steps, float(loss.detach()), classifier)


def classify(
    classifier: Classifier, images: NDArray[np.float32], res: NDArray[np.float32], batch: int = 64
) -> NDArray[np.float32]:
    """Probabilities (n, classes) of pictures (n, 3, s, s) in 0..1 under their res (n,)."""
    on = device()
    classifier.eval()
    with torch.inference_mode():
        parts = [
            classifier(
                to_device(normalised(images[i : i + batch], classifier.card), on),
                to_device(res[i : i + batch].astype(np.float32), on),
            ).softmax(1)
            for i in range(0, len(images), batch)
        ]
    classifier.train()
    return to_numpy(torch.cat(parts))
