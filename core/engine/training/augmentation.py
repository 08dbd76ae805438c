"""Augmentation of a fine-tuning batch, as MAE, SDMAE and TinyMIM use it: timm's RandAugment, random erasing,
mixup and CutMix."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.classifier import mirrored, turned
from ...models.layers.vit import prepare_timm
from ...models.registry import ModelCard
from ..device import Device
from ..inputs import normalised

if TYPE_CHECKING:
    from .finetune import FineTune

_ORIENTED: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "all": turned,
    "flip": mirrored,
    "none": lambda images, _: images,
}
"""Random orientations: any of a square's eight symmetries, a left-right flip, or none."""
DEVIATION = 0.5
"""Standard deviation of RandAugment's magnitude, as in DeiT's and MAE's commands."""
MAGNITUDE_MAX = 9.9
"""Upper limit of that magnitude: at 10, timm's posterize keeps 0 bits, which Pillow refuses."""
TRANSLATION = 0.45
"""The largest shift of RandAugment as a share of the side, as in timm's training transforms."""


class Augmentation:
    """Turns pictures and classes of a batch into network input and class probabilities."""

    def __init__(self, spec: FineTune, card: ModelCard, classes: int, on: Device) -> None:
        prepare_timm()
        from timm.data.mixup import Mixup
        from timm.data.random_erasing import RandomErasing

        self.spec, self.card, self.classes, self.on = spec, card, classes, on
        mixes = spec.mixup or spec.cutmix
        self.mix = (
            Mixup(spec.mixup, spec.cutmix, label_smoothing=spec.label_smoothing, num_classes=classes)
            if mixes
            else None
        )
        self.erase = RandomErasing(spec.erasing, mode="pixel", device="cpu") if spec.erasing else None
        self.rand_augment: dict[int, Any] = {}  # by side

    def __call__(
        self, pictures: NDArray[np.float32], labels: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return input (n, 3, s, s) and probabilities (n, classes) of pictures (n, 3, s, s) in 0..1.

        Randomness comes from `generator` and from the global generators that `repeatable` seeds.
        """
        from timm.data.mixup import mixup_target

        if self.spec.rand_augment:
            pictures = self._rand_augmented(pictures)
        images = _ORIENTED[self.spec.orientations](
            torch.from_numpy(normalised(pictures, self.card)), generator
        ).contiguous()
        if self.erase is not None:
            images = self.erase(images)
        targets = torch.from_numpy(labels)
        if self.mix is not None and len(images) > 1:
            whole = len(images) - len(images) % 2  # timm mixes pairs
            images, mixed = self.mix(images[:whole].clone(), targets[:whole])
        else:
            mixed = mixup_target(targets, self.classes, 1.0, self.spec.label_smoothing)
        return images.to(self.on.torch), mixed.to(self.on.torch)

    def _rand_augmented(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        from PIL import Image
        from timm.data.auto_augment import rand_augment_transform

        side = pictures.shape[-1]
        if side not in self.rand_augment:
            mean = tuple(min(255, round(255 * value)) for value in self.card.mean)
            self.rand_augment[side] = rand_augment_transform(
                f"rand-m{self.spec.rand_augment}-mstd{DEVIATION}-inc1",
                {
                    "translate_const": int(side * TRANSLATION),
                    "img_mean": mean,
                    "magnitude_max": MAGNITUDE_MAX,
                },
            )
        bytes_last = (pictures.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
        made = [np.asarray(self.rand_augment[side](Image.fromarray(picture))) for picture in bytes_last]
        return np.stack(made).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


@contextmanager
def repeatable(seed: int, step: int) -> Generator[None]:
    """Seed the global generators that timm draws from, and restore their state afterwards."""
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002  (timm draws from it)
    with torch.random.fork_rng():
        mixed = int(np.random.SeedSequence([seed, step]).generate_state(1)[0])
        random.seed(mixed)
        np.random.seed(mixed)  # noqa: NPY002
        torch.manual_seed(mixed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002
