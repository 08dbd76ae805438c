"""Pooling: which poolings a network offers, how wide their vectors are, and how they are computed.

The whitened vector of a transformer is measured here, on training images without labels.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .base import Encoder, ModelInputError, TrainingBatch
from .foreign import ForeignEncoder
from .layers.whitening import RIDGE, LevelWhitening, summary_of
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
    if whitening_of(model) is not None:
        offered = (*offered, "vector")
    return tuple(sorted(offered, key=lambda name: name != model.card.pooling))


def vector_width(model: Encoder, pooling: str) -> int:
    """Width of a network's vectors under a pooling."""
    if pooling == "vector" and isinstance(model, ScaleContrast | ForeignEncoder):
        return model.vector_dim
    if pooling == "vector" and (whitening := whitening_of(model)) is not None:
        return whitening.width
    return model.embed_dim * len(pooling.split("+"))


def pooled(model: Encoder, images: Tensor, res: Tensor, pooling: str) -> Tensor:
    """Pool each image to one vector, (b, d), float32.

    Raises ModelInputError for a pooling that is not offered.

    `cls` and `mean` are taken from the final tokens, `block11_cls` and `block11_mean` of a distilled student
    from those before its last block. `vector` is the whitened vector of a network that has one, or the vector
    of another library's network.
    """
    if pooling not in poolings(model):
        raise ModelInputError(
            f"{model.card.name} offers no pooling called {pooling!r:.30}: "
            f"choose one of {', '.join(poolings(model))}."
        )
    if pooling == "vector" and isinstance(model, ScaleContrast | ForeignEncoder):
        return model.vector(images, res)
    if pooling == "vector" and (whitening := whitening_of(model)) is not None:
        parts = summary_of(_trained_tokens(model, images, res), images)
        with torch.autocast(images.device.type, enabled=False):
            return whitening(parts)
    if pooling in DISTILLED and isinstance(model, TinyMIM):
        tokens, pooling = model.embed_tokens(images, res), pooling.removeprefix("block11_")
    else:
        tokens = model.encode(images, res)
    tokens = tokens.float()
    parts = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(1)}
    return torch.cat([parts[name] for name in pooling.split("+")], dim=1)


def whitening_of(model: Encoder) -> LevelWhitening | None:
    """The whitening of a transformer's vector; None for a network that was built without one."""
    try:
        return model.backbone.whitening
    except ModelInputError:  # not a vision transformer
        return None


@torch.no_grad()
def measure_vector(model: Encoder, batches: Iterable[TrainingBatch]) -> None:
    """Measure the whitening of `vector` on whole images, in eval mode; nothing without one."""
    if (whitening := whitening_of(model)) is None:
        return
    seen = [summary_of(_trained_tokens(model, batch.images, batch.res), batch.images) for batch in batches]
    whitening.settle([torch.cat(part) for part in zip(*seen, strict=True)], RIDGE)


def _trained_tokens(model: Encoder, images: Tensor, res: Tensor) -> Tensor:
    """The last tokens that learned anything: of a distilled student those before its last block."""
    return (
        model.embed_tokens(images, res)
        if isinstance(model, TinyMIM) and model.distilled
        else model.encode(images, res)
    )
