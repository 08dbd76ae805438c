"""Patch embeddings: similarity, attention, and the effect of a patch's surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.base import Encoder
from ..models.tinymim import TinyMIM
from .device import device_of, precision, to_device, to_numpy
from .inputs import InputError, normalised
from .prediction import Pictures

Vectors = NDArray[np.float32]
Cell = tuple[int, int]


@dataclass(frozen=True, eq=False)
class PatchSet:
    """Images (n, 3, s, s) as fed, the res of each (n,), and the vectors of their patches (n, g, g, d)."""

    images: Pictures
    res: Vectors
    vectors: Vectors


def patch_vectors(model: Encoder, images: Pictures, res: NDArray[np.float32], *, batch: int = 1) -> Vectors:
    """Return the vector of every patch, none hidden: (n, 3, s, s) in 0..1 to (n, g, g, d), in batches."""
    on = device_of(model)
    parts: list[Vectors] = []
    res = np.asarray(res, np.float32)
    for start in range(0, len(images), batch):
        piece = slice(start, start + batch)
        with torch.inference_mode(), precision(on):
            tokens = _tokens(
                model, to_device(normalised(images[piece], model.card), on), to_device(res[piece], on)
            )
        parts.append(to_numpy(tokens[:, 1:]))
    grid = images.shape[-1] // model.patch_size
    return np.concatenate(parts).reshape(len(images), grid, grid, -1)


def _tokens(model: Encoder, images: Tensor, res: Tensor) -> Tensor:
    """Return the final tokens; of a distilled student, those before its untrained last layers."""
    if isinstance(model, TinyMIM) and model.distilled:
        return model.embed_tokens(images, res)
    return model.encode(images, res)


def similarity(vectors: Vectors, cell: Cell, of: int = 0) -> Vectors:
    """Return the cosine (n, g, g) of every patch with patch `cell` (row, column) of image `of`."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit @ unit[of, cell[0], cell[1]]


def feature_rgb(vectors: Vectors) -> Vectors:
    """Return the first three principal components of all patches as colours (n, g, g, 3) in 0..1."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    flat = flat - flat.mean(axis=0)
    _, _, axes = np.linalg.svd(flat, full_matrices=False)
    parts = flat @ axes[:3].T
    # The sign of an axis is arbitrary: the longer tail is made bright.
    parts *= np.where((parts**3).sum(axis=0) < 0, -1, 1)
    low, high = np.percentile(parts, (1, 99), axis=0)
    rgb = np.clip((parts - low) / np.maximum(high - low, 1e-9), 0, 1)
    return rgb.reshape(*vectors.shape[:-1], 3).astype(np.float32)


def attention(model: Encoder, image: Pictures, res: float, block: int) -> Vectors:
    """Return the attention weights of a block (0 is the first), none hidden, for an image (3, s, s).

    The shape is (heads, 1 + g*g, 1 + g*g), CLS first; rows sum to 1. Raises InputError for a block that does
    not exist.
    """
    backbone = model.backbone
    if not 0 <= block < len(backbone.blocks):
        raise InputError(
            f"{model.card.name} has blocks 0 to {len(backbone.blocks) - 1}; choose one of them, not {block}."
        )
    on = device_of(model)
    layer: Any = backbone.blocks[block]  # a timm block, whose parts torch does not type
    with torch.inference_mode():
        pixels = to_device(normalised(image[None], model.card), on)
        entering = backbone.tokens_before(block, pixels, to_device(np.array([res], np.float32), on), None)
        qkv = (
            layer.attn.qkv(layer.norm1(entering))
            .unflatten(2, (3, layer.attn.num_heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        query, key = qkv[0], qkv[1]
        weights = cast(Tensor, query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
    return to_numpy(weights[0])


@dataclass(frozen=True, eq=False)
class Transplant:
    """One patch of an image pasted into others at the same place.

    `pictures` (n, 3, s, s) have it pasted in. Cosines (n,) with its vector in the first image: `pasted` of
    its vector in each other image, `before` of the patch that it replaced.
    """

    pictures: Pictures
    pasted: Vectors
    before: Vectors


def transplant(model: Encoder, seen: PatchSet, cell: Cell) -> Transplant:
    """Paste patch `cell` of the first image into all others to measure the effect of its surroundings."""
    side = model.patch_size
    where = np.s_[:, :, cell[0] * side : (cell[0] + 1) * side, cell[1] * side : (cell[1] + 1) * side]
    changed = seen.images[1:].copy()
    changed[where] = seen.images[:1][where]
    vectors = np.concatenate([seen.vectors, patch_vectors(model, changed, seen.res[1:])])
    cosine = similarity(vectors, cell)[:, cell[0], cell[1]]
    return Transplant(changed, cosine[len(seen.images) :], cosine[1 : len(seen.images)])
