"""Inside an encoder: how far its heads look, and how alike the layers of two encoders are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.base import Encoder
from .device import device_of, precision, to_device, to_numpy
from .inputs import InputError, normalised
from .prediction import Pictures
from .tokens import attention

Floats = NDArray[np.float64]


def attention_distances(model: Encoder, images: Pictures, res: NDArray[np.float32]) -> Floats:
    """Return the mean distance that each head looks, in patches, for images (n, 3, s, s): (n, blocks, heads).

    The distance between a query patch and a key patch is weighted by attention and averaged over query
    patches; CLS is left out and the rest of each row is rescaled to sum to 1 (Dosovitskiy et al. 2021,
    figure 7, and Raghu et al. 2021, section 3). A head that attends to all patches alike has the distance
    that `even_distance` returns. Times the patch's side on the ground it is a distance in metres.
    """
    grid = images.shape[-1] // model.patch_size
    apart = _distances(grid)
    blocks = len(model.backbone.blocks)
    found = [
        [_weighted(attention(model, image, float(at), block), apart) for block in range(blocks)]
        for image, at in zip(images, res, strict=True)
    ]
    return np.array(found)


def even_distance(grid: int) -> float:
    """Return the mean distance in patches of a head that attends to all patches of a grid alike."""
    return float(_distances(grid).mean())


def _weighted(weights: NDArray[np.float32], apart: Floats) -> Floats:
    patches = weights[:, 1:, 1:].astype(np.float64)
    patches /= patches.sum(axis=-1, keepdims=True)
    return (patches * apart).sum(axis=-1).mean(axis=-1)


def _distances(grid: int) -> Floats:
    cells = np.stack(np.divmod(np.arange(grid * grid), grid), axis=1).astype(np.float64)
    return np.linalg.norm(cells[:, None] - cells[None], axis=-1)


def layer_tokens(model: Encoder, images: Pictures, res: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the tokens that enter each block, and those that leave the last: (blocks + 1, n, 1 + g*g, d).

    `images` (n, 3, s, s) in 0..1, nothing hidden, CLS first, before the final norm.
    """
    backbone, on = model.backbone, device_of(model)
    with torch.inference_mode(), precision(on):
        pixels = to_device(normalised(images, model.card), on)
        tokens = backbone.embed_patches(pixels, to_device(np.asarray(res, np.float32), on), None)
        layers = [tokens]
        for block in backbone.blocks:
            layers.append(block(layers[-1]))
    return np.stack([to_numpy(layer) for layer in layers])


def linear_cka(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the linear CKA of two sets of features of the same examples, (n, d) and (n, e): 0 to 1.

    It does not change if features are rotated or scaled as a whole (Kornblith et al. 2019, equation 7 and
    section 5). With fewer examples than features it is biased towards 1. Raises InputError.
    """
    if one.ndim != 2 or other.ndim != 2 or len(one) != len(other) or len(one) < 3:
        raise InputError(
            f"CKA compares features of the same examples, at least 3, as (n, d) and (n, e), not {one.shape} "
            f"and {other.shape}."
        )
    a, b = (features - features.mean(axis=0, dtype=np.float64) for features in (one, other))
    apart = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(a.T @ b) ** 2 / apart) if apart > 0 else 0.0
