"""Pooling: which poolings a network offers, how wide their vectors are, and how they are computed."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Encoder, ModelInputError
from .foreign import ForeignEncoder
from .scale_contrast import ScaleContrast
from .tinymim import DISTILLED, TinyMIM

TOKENS = ("cls", "mean", "cls+mean")


def poolings(model: Encoder) -> tuple[str, ...]:
    """Names of the poolings a network offers, the default of its card first."""
    if isinstance(model, ForeignEncoder):
        offered = model.offered
    elif isinstance(model, ScaleContrast):
        offered = ("vector", *TOKENS)
    elif isinstance(model, TinyMIM):
        offered = DISTILLED if model.distilled else (*TOKENS, *DISTILLED)
    else:
        offered = TOKENS
    return tuple(sorted(offered, key=lambda name: name != model.card.pooling))


def vector_width(model: Encoder, pooling: str) -> int:
    """Width of a network's vectors under a pooling."""
    if pooling == "vector" and isinstance(model, ScaleContrast | ForeignEncoder):
        return model.vector_dim
    return model.embed_dim * len(pooling.split("+"))


def pooled(model: Encoder, images: Tensor, res: Tensor, pooling: str) -> Tensor:
    """Pool each image to one vector, (b, d), float32.

    Raises ModelInputError for a pooling that is not offered.

    `cls` and `mean` are taken from the final tokens, `block11_cls` and `block11_mean` of a distilled student
    from those before its last block, and `vector` is Scale-Contrast's whitened vector, or that of another
    library's network.
    """
    if pooling not in poolings(model):
        raise ModelInputError(
            f"{model.card.name} offers no pooling called {pooling!r:.30}: "
            f"choose one of {', '.join(poolings(model))}."
        )
    if pooling == "vector" and isinstance(model, ScaleContrast | ForeignEncoder):
        return model.vector(images, res)
    if pooling in DISTILLED and isinstance(model, TinyMIM):
        tokens, pooling = model.embed_tokens(images, res), pooling.removeprefix("block11_")
    else:
        tokens = model.encode(images, res)
    tokens = tokens.float()
    parts = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(1)}
    return torch.cat([parts[name] for name in pooling.split("+")], dim=1)
