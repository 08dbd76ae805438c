"""Fine-tune any encoder as a classifier: a generator of steps, and predictions as arrays."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ...models.base import Encoder
from ...models.classifier import Classifier, Pooling
from ..device import device, to_device, to_numpy, training_precision
from ..inputs import InputError, normalised
from .augmentation import Augmentation, repeatable
from .saving import in_sentences, read_state, write_state
from .spec_checks import problems_of_fine_tuning

AHEAD = 3
"""Batches that are read while the network computes."""
MAX_READERS, READ_TOGETHER = 16, 16
"""Threads that read, and the images that each reads at a time."""
SAVE_MINUTES = 5.0
"""Time between checkpoints."""


@dataclass(frozen=True)
class FineTune:
    """What decides a fine-tuning. Raises InputError.

    `pooling` is "mean" (of the patch tokens) or "cls". `rand_augment` is the magnitude of
    RandAugment (two operations, deviation 0.5), `erasing` the chance of random erasing, `mixup` and `cutmix`
    are their alpha; 0 turns each off. `orientations` is "all", "flip" or "none". `RECIPES` has the papers'
    values.
    """

    steps: int = 500
    batch: int = 64
    lr: float = 1e-3
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    warmup_steps: int = 25
    label_smoothing: float = 0.1
    pooling: Pooling = "mean"
    drop_path: float = 0.0
    rand_augment: int = 0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    orientations: str = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        if wrong := problems_of_fine_tuning(self):
            raise InputError(f"These fine-tuning settings are invalid: {'; '.join(wrong)}.")


_AUGMENTED: dict[str, Any] = {
    "drop_path": 0.1,
    "rand_augment": 9,
    "erasing": 0.25,
    "orientations": "flip",
}
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {"base_lr": 4e-3},
    "mae": {**_AUGMENTED, "base_lr": 5e-4, "layer_decay": 0.65, "mixup": 0.8, "cutmix": 1.0},
    "sdmae": {**_AUGMENTED, "base_lr": 1e-3, "layer_decay": 0.75},
    "tinymim": {**_AUGMENTED, "base_lr": 5e-4, "layer_decay": 0.6, "mixup": 0.8, "cutmix": 1.0},
}
"""Settings by name: ours, augmented by rotations and flips only, and those of the published commands.

MAE's for ViT-B (FINETUNE.md), SDMAE's defaults, and TinyMIM's (README). `base_lr` is the rate for 256 images
a step; the rate is proportional to the batch. The papers train for 100 epochs, crop at random and use batches
of 1,024; steps, batch and crops are ours.
"""


def fine_tune_recipe(name: str, **settings: Any) -> FineTune:
    """Return the settings of one of RECIPES, with `settings` in place of its own. Raises InputError."""
    if name not in RECIPES:
        raise InputError(f"There is no fine-tuning recipe {name!r:.40}: choose one of {', '.join(RECIPES)}.")
    chosen = RECIPES[name] | settings
    rate = chosen.pop("base_lr") * chosen.get("batch", FineTune.batch) / 256
    return FineTune(**{"lr": rate, **chosen})


class LabelledImages(Protocol):
    """Images that are read when they are needed, so that a set of any size fits in memory."""

    def __len__(self) -> int: ...

    def read(self, rows: NDArray[np.int64], /) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return those of `rows` that can be read: pictures (m, 3, s, s) in 0..1, and their rows (m,)."""
        ...


@dataclass(frozen=True, eq=False)
class FineTuneStep:
    """One training step: its number, the number of all steps, the loss, and the current classifier.

    `saved` says whether the checkpoint was written after it.
    """

    step: int
    steps: int
    loss: float
    classifier: Classifier
    saved: bool = False


def finetune(
    model: Encoder,
    images: LabelledImages,
    labels: NDArray[np.int64],
    res: NDArray[np.float32],
    spec: FineTune = FineTune(),
    *,
    checkpoint: Path | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Iterator[FineTuneStep]:
    """Train a copy of `model` and a fresh head on images, classes (n,) from 0 and res (n,); yields every
    step.

    Images are read in batches while the network computes; unreadable ones are left out of their batch. The
    same seed gives the same steps. The model itself is not changed.

    The file `checkpoint` is written every SAVE_MINUTES, at the end and when `asked_to_stop`; where it exists,
    training resumes from it, with the losses of an uninterrupted run. Raises InputError for fewer
    than two classes, unequal lengths, a batch without a readable image, or a checkpoint of another
    fine-tuning, and RunError for one that cannot be read or written.
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
    on, classes = device(), int(labels.max()) + 1
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        classifier = Classifier(model, classes, pooling=spec.pooling, drop_path=spec.drop_path)
    classifier = classifier.to(on.torch).train()
    groups = classifier.learning_groups(spec.layer_decay, spec.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=spec.lr, betas=(0.9, 0.999))
    augment = Augmentation(spec, model.card, classes, on)
    generator = torch.Generator().manual_seed(spec.seed)
    identity = {
        "labels": hashlib.sha256(labels.tobytes()).hexdigest(),
        "model": model.card.name,
        **asdict(spec),
    }
    done, loss = 0, math.nan
    if checkpoint is not None and checkpoint.is_file():
        state = _state_of(checkpoint, identity)
        classifier.load_state_dict(state["classifier"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        done, loss = state["step"], state["loss"]
    if done == spec.steps:
        yield FineTuneStep(done, done, loss, classifier)
    saved_at = time.monotonic()
    for step, (pictures, rows) in enumerate(_batches(images, spec, done), start=done):
        for group in optimizer.param_groups:
            group["lr"] = _rate(spec, step) * group["lr_scale"]
        with repeatable(spec.seed, step):
            inputs, targets = augment(pictures, labels[rows], generator)
            used = res[rows[: len(inputs)]].astype(np.float32)
            with training_precision(on):
                scores = classifier(inputs, to_device(used, on))
        wrong = F.cross_entropy(scores.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        wrong.backward()
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimizer.step()
        loss, stops = float(wrong.detach()), asked_to_stop()
        due = stops or step + 1 == spec.steps or time.monotonic() - saved_at > 60 * SAVE_MINUTES
        if checkpoint is not None and due:
            parts = {"classifier": classifier, "optimizer": optimizer}
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"generator": generator.get_state(), "step": step + 1, "loss": loss, "told": identity}
            with in_sentences(checkpoint.parent):
                write_state(checkpoint, state)
            saved_at = time.monotonic()
        yield FineTuneStep(step + 1, spec.steps, loss, classifier, checkpoint is not None and due)
        if stops:
            return


def _state_of(checkpoint: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's state. Raises InputError if it is of another fine-tuning, RunError if damaged."""
    state = read_state(checkpoint)
    held = state.get("told")
    changed = [
        name for name, value in identity.items() if not isinstance(held, dict) or held.get(name) != value
    ]
    if changed:
        raise InputError(
            f"{checkpoint} belongs to a fine-tuning with other {', '.join(changed)}: "
            "repeat its command, or choose another folder."
        )
    return state


def _rate(spec: FineTune, step: int) -> float:
    """Return the rate of a step: a linear rise, then half a cosine down to 0."""
    rise = min(1.0, (step + 1) / max(1, spec.warmup_steps))
    return spec.lr * rise * 0.5 * (1 + math.cos(math.pi * step / spec.steps))


def _batches(
    images: LabelledImages, spec: FineTune, done: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield the random batch of every step after `done`, read ahead in parallel.

    Raises InputError if no image of a batch can be read.
    """
    with ThreadPoolExecutor(min(MAX_READERS, os.cpu_count() or 1)) as readers:

        def reading(step: int) -> list[Future[tuple[NDArray[np.float32], NDArray[np.int64]]]]:
            rows = np.random.default_rng([spec.seed, step]).integers(len(images), size=spec.batch)
            return [
                readers.submit(images.read, rows[start : start + READ_TOGETHER])
                for start in range(0, len(rows), READ_TOGETHER)
            ]

        ahead = deque(reading(step) for step in range(done, min(done + AHEAD, spec.steps)))
        try:
            for step in range(done, spec.steps):
                parts = [part.result() for part in ahead.popleft()]
                if step + AHEAD < spec.steps:
                    ahead.append(reading(step + AHEAD))
                pictures, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
                if not len(rows):
                    raise InputError(
                        f"None of the {spec.batch} images of step {step + 1} can be read: check the files."
                    )
                yield pictures, rows
        finally:
            for part in (part for parts in ahead for part in parts):
                part.cancel()


def classify(
    classifier: Classifier, images: LabelledImages, res: NDArray[np.float32], batch: int = 64
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return probabilities (m, classes) of the readable images under their res (n,), and their rows (m,).

    Raises InputError if there are no readable images.
    """
    on = device()
    parts: list[NDArray[np.float32]] = []
    found: list[NDArray[np.int64]] = []
    classifier.eval()
    with torch.inference_mode():
        for pictures, rows in _in_order(images, batch):
            scores = classifier(
                to_device(normalised(pictures, classifier.card), on), to_device(res[rows], on)
            )
            parts.append(to_numpy(scores.float().softmax(1)))
            found.append(rows)
    classifier.train()
    if not parts:
        raise InputError("None of the images can be read: check the files.")
    return np.concatenate(parts), np.concatenate(found)


def _in_order(images: LabelledImages, batch: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield every readable image once, in batches."""
    starts: Sequence[int] = range(0, len(images), batch)
    for start in starts:
        pictures, rows = images.read(np.arange(start, min(start + batch, len(images))))
        if len(rows):
            yield pictures, rows
