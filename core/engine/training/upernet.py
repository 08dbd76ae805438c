"""Train a UperNet head on an encoder, frozen or fine-tuned with it, from tiles that are read batch by
batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...models.upernet import Segmenter
from ..candidates import Candidate
from ..device import device, to_device, to_numpy, training_precision
from ..inputs import InputError, normalised

BATCH, WARMUP_SHARE = 16, 0.05
LR, LAYER_DECAY, WEIGHT_DECAY = 1e-3, 0.75, 0.05
UNLABELLED = 255

Pictures = NDArray[np.float32]
Classes = NDArray[np.uint8]
ReadTiles = Callable[[NDArray[np.int64]], tuple[Pictures, Classes]]
"""From tile numbers (b,) to images (b, 3, s, s) in 0..1 and masks (b, t, t), 255 where unlabelled."""


def train_upernet(
    subject: object,
    read: ReadTiles,
    tiles: int,
    classes: int,
    res: float,
    *,
    frozen: bool,
    steps: int,
    seed: int,
) -> Generator[int, None, Callable[[Pictures, float, int], Classes]]:
    """Train on `tiles` tiles; return what turns images (n, 3, s, s), a res and a side t into classes (n, t,
    t).

    Cross-entropy over labelled pixels, AdamW at LR with a warm-up and a cosine; the encoder's layers learn at
    LAYER_DECAY times the rate of the layer above. Tiles are flipped and turned at random, the same way as
    their masks. Yields the steps done. The network of `subject`, a Candidate, is not changed. Raises
    InputError for fewer than two tiles and for a subject without a network, and ModelInputError for an
    encoder without transformer blocks.
    """
    if not isinstance(subject, Candidate):
        raise InputError("UperNet needs a network's blocks: choose a network rather than a baseline.")
    if tiles < 2:
        raise InputError("UperNet is trained on batches of two tiles or more: add training images.")
    on, rng = device(), np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Segmenter(subject.model, classes, frozen=frozen).to(on.torch).train()
    optimizer = torch.optim.AdamW(network.learning_groups(LR, LAYER_DECAY, WEIGHT_DECAY))
    for step in range(steps):
        warm = min(1.0, (step + 1) / max(1, round(WARMUP_SHARE * steps)))
        rate = LR * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        images, masks = _turned(*read(rng.choice(tiles, min(BATCH, tiles), replace=False)), rng)
        if (masks != UNLABELLED).any():
            loss = _loss(network, images, masks, res)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        yield step + 1
    network.eval()

    def predict(images: Pictures, res: float, side_px: int) -> Classes:
        parts: list[Classes] = []
        for start in range(0, len(images), BATCH):
            with torch.inference_mode():
                logits = _logits(network, images[start : start + BATCH], res, side_px)
                parts.append(to_numpy(logits.argmax(1)).astype(np.uint8))
        return np.concatenate(parts)

    return predict


def _loss(network: Segmenter, images: Pictures, masks: Classes, res: float) -> Tensor:
    on = device()
    with training_precision(on):
        logits = _logits(network, images, res, masks.shape[-1])
    return F.cross_entropy(logits.float(), to_device(masks.astype(np.int64), on), ignore_index=UNLABELLED)


def _logits(network: Segmenter, images: Pictures, res: float, side_px: int) -> Tensor:
    on = device()
    fed: Any = to_device(normalised(images, network.card), on)
    logits = network(fed, to_device(np.full(len(images), res, np.float32), on))
    return F.interpolate(logits, size=(side_px, side_px), mode="bilinear", align_corners=False)


def _turned(images: Pictures, masks: Classes, rng: np.random.Generator) -> tuple[Pictures, Classes]:
    """Apply one of the eight symmetries of a square to each image and its mask."""
    images, masks = images.copy(), masks.copy()
    for n, way in enumerate(rng.integers(8, size=len(images)).tolist()):
        image, mask = np.rot90(images[n], way % 4, (1, 2)), np.rot90(masks[n], way % 4)
        images[n], masks[n] = (image[:, :, ::-1], mask[:, ::-1]) if way >= 4 else (image, mask)
    return images, masks
