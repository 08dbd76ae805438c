"""Train a linear segmentation head on frozen patch tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..device import device, to_device, to_numpy

STEPS, BATCH = 150, 16
UNLABELLED = 255

Tokens = NDArray[np.floating[Any]]
Classes = NDArray[np.uint8]


def train_head(
    tokens: Tokens, masks: Classes, classes: int, rate: float, balance: float, seed: int = 0
) -> Callable[[Tokens], Classes]:
    """Learn one linear layer over standardised tokens, bilinearly enlarged to the masks, by cross-entropy
    (the linear protocol of DINOv2).

    `tokens` (n, g, g, d), `masks` (n, t, t) with 255 where nothing is known; a class weighs 1 / its pixels to
    the power `balance`. Returns a function from tokens (m, g, g, d) to classes (m, t, t). The layer starts at
    zero and AdamW runs STEPS steps from `rate` down a cosine, so the same seed gives the same head.
    """
    on, size = device(), masks.shape[-1]
    flat = tokens.reshape(-1, tokens.shape[-1]).astype(np.float32)
    mean, deviation = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-6)

    def standardised(part: Tokens) -> Tensor:
        return to_device(((part.astype(np.float32) - mean) / deviation).transpose(0, 3, 1, 2), on)

    counts = np.bincount(masks[masks != UNLABELLED], minlength=classes)[:classes]
    worth = np.where(counts > 0, np.maximum(counts, 1) ** -float(balance), 0).astype(np.float32)
    worths = to_device(worth / worth.max(), on)
    weight = to_device(np.zeros((classes, tokens.shape[-1], 1, 1), np.float32), on).requires_grad_()
    bias = to_device(np.zeros(classes, np.float32), on).requires_grad_()
    optimiser = torch.optim.AdamW([weight, bias], lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        rows = rng.choice(len(tokens), min(BATCH, len(tokens)), replace=False)
        if not (masks[rows] != UNLABELLED).any():
            continue
        truth = to_device(masks[rows].astype(np.int64), on)
        loss = F.cross_entropy(
            _logits(standardised(tokens[rows]), weight, bias, size), truth, worths, ignore_index=UNLABELLED
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    def segment(part: Tokens) -> Classes:
        found: list[Classes] = []
        for start in range(0, len(part), BATCH):
            with torch.inference_mode():
                logits = _logits(standardised(part[start : start + BATCH]), weight, bias, size)
                found.append(to_numpy(logits.argmax(1)).astype(np.uint8))
        return np.concatenate(found)

    return segment


def _logits(tokens: Tensor, weight: Tensor, bias: Tensor, size: int) -> Tensor:
    return F.interpolate(
        F.conv2d(tokens, weight, bias), size=(size, size), mode="bilinear", align_corners=False
    )
