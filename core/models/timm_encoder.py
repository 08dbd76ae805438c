"""Any image encoder of timm by its name, with random weights or those of a file.

`timm:vit_small_patch16_dinov3` has random weights, `timm:resnet18@FILE` those of a file, and a name with a
tag, `timm:vit_small_patch16_dinov3.sat493m`, those that timm publishes on the Hugging Face hub.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .base import ModelInputError
from .foreign import ForeignEncoder
from .layers.vit import prepare_timm
from .registry import ModelCard, ModelNameError

PREFIX = "timm:"
NAME = re.compile(r"[a-z0-9_]{1,100}(\.[a-z0-9_]{1,100})?")


class TimmEncoder(ForeignEncoder):
    """A network of timm without its classifier. `dynamic`: it takes other sizes than its own."""

    def __init__(self, network: Any, card: ModelCard, *, dynamic: bool) -> None:
        super().__init__()
        self.network, self.card, self.dynamic = network, card, dynamic
        self.patch_size, self.embed_dim, self.in_chans = card.patch_px, card.embed_dim, 3
        self.vector_dim = int(getattr(network, "head_hidden_size", network.num_features))
        self.prefix = int(getattr(network, "num_prefix_tokens", 0))
        self.has_cls = getattr(network, "cls_token", None) is not None
        self.offered = ("vector", *(("cls",) if self.has_cls else ()), "mean")

    def vector(self, images: Tensor, res: Tensor) -> Tensor:  # noqa: ARG002  (it knows no GSD)
        """The vector that timm's classifier would receive: pooled as the network was trained."""
        return self.network.forward_head(self._features(images), pre_logits=True).flatten(1).float()

    def tokens(self, images: Tensor, res: Tensor) -> Tensor:  # noqa: ARG002  (it knows no GSD)
        """CLS and patches; without a CLS token, the mean of the patches stands in its place."""
        found = self._features(images)
        if found.ndim == 4:
            last = found.shape[-1] == self.embed_dim and found.shape[1] != self.embed_dim
            patches = found.flatten(1, 2) if last else found.flatten(2).transpose(1, 2)
        else:
            patches = found[:, self.prefix :]
        if patches.shape[1] != (images.shape[-1] // self.patch_size) ** 2:
            raise ModelInputError(
                f"{self.card.name} gives {patches.shape[1]} patches for pictures of {images.shape[-1]} px: "
                f"choose a multiple of {self.patch_size} px, such as {self.card.input_px} px."
            )
        first = found[:, :1] if self.has_cls and found.ndim == 3 else patches.mean(1, keepdim=True)
        return torch.cat([first, patches], dim=1)

    def _features(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        if not self.dynamic and images.shape[-2:] != (self.card.input_px, self.card.input_px):
            raise ModelInputError(
                f"{self.card.name} takes pictures of {self.card.input_px} px, not {side} px: "
                "choose that input size."
            )
        try:
            return self.network.forward_features(images)
        except (AssertionError, RuntimeError) as problem:
            if isinstance(problem, torch.OutOfMemoryError) or "memory" in str(problem):
                raise
            raise ModelInputError(
                f"{self.card.name} cannot take pictures of {side} px ({problem!s:.100}): "
                f"choose {self.card.input_px} px."
            ) from problem


def timm_encoder(name: str, tensors: Mapping[str, Tensor] | None = None) -> TimmEncoder:
    """The network of a timm name, in eval mode; random weights, or all of its own from `tensors`.

    Random weights come from the global torch seed. Raises ModelNameError for an unknown name and
    ModelInputError for tensors that do not fit.
    """
    bare = require_known(name)
    create_model = prepare_timm()
    try:
        network: Any = create_model(bare, pretrained=False, num_classes=0, dynamic_img_size=True)
        dynamic = True
    except TypeError:
        network = create_model(bare, pretrained=False, num_classes=0)
        dynamic = not hasattr(getattr(network, "patch_embed", None), "img_size")
    if not hasattr(network, "forward_features") or not hasattr(network, "num_features"):
        raise ModelNameError(f"timm's {bare} gives no features of pictures: choose an image classifier.")
    model = TimmEncoder(network, _card(bare, network), dynamic=dynamic)
    if tensors is not None:
        _fill(model, tensors)
    return model.eval()


def require_known(name: str) -> str:
    """A name without its prefix.

    Raises ModelNameError, with similar names, where timm has no such network.
    """
    bare = name.removeprefix(PREFIX)
    prepare_timm()
    from timm.models import is_model

    if not NAME.fullmatch(bare) or not is_model(bare.partition(".")[0]):
        raise ModelNameError(f"timm has no network called {bare!r:.80}{_similar(bare)}.")
    return bare


def _card(name: str, network: Any) -> ModelCard:
    config = network.pretrained_cfg
    patch = _patch_px(network)
    side = patch * max(1, round(int(config["input_size"][-1]) / patch))
    return ModelCard(
        name=f"{PREFIX}{name}",
        family="timm",
        paper=str(config.get("paper_ids") or "timm"),
        description=f"{name} of timm: another library's encoder, which embeds and cannot reconstruct.",
        sizes={},
        reconstructs=False,
        two_bands=False,
        gsd_aware=False,
        input_px=side,
        patch_px=patch,
        embed_dim=int(network.num_features),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        pooling="vector",
        licence="not stated",
    )


def _patch_px(network: Any) -> int:
    """Pixels of the input under one token or cell of the last feature map."""
    info: Any = getattr(network, "feature_info", None)
    size = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if size is not None and getattr(network, "num_prefix_tokens", None) is not None:
        return int(size[0] if isinstance(size, tuple | list) else size)
    try:
        stages: Any = info  # a list, or an object with the list
        last = (stages if isinstance(stages, list) else stages.get_dicts())[-1]
        return int(last["reduction"])
    except (AttributeError, LookupError, TypeError):
        return 32


def _fill(model: TimmEncoder, tensors: Mapping[str, Tensor]) -> None:
    """Fill a network, after timm's own conversion of its authors' names; a classifier is left out."""
    network: nn.Module = model.network
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    found: dict[str, Tensor] = dict(tensors)
    if convert is not None:
        try:
            found = convert(found, network)
        except (KeyError, RuntimeError, ValueError, AttributeError, TypeError, AssertionError) as problem:
            raise ModelInputError(
                f"timm cannot convert this file for {model.card.name} ({problem!s:.100}): "
                "name the architecture that it was saved from."
            ) from problem
    expected = network.state_dict()
    missing = [key for key in expected if key not in found]
    misfits = [key for key in expected if key in found and found[key].shape != expected[key].shape]
    if missing or misfits:
        key = (missing or misfits)[0]
        how = "is missing" if missing else f"is {tuple(found[key].shape)}, not {tuple(expected[key].shape)}"
        raise ModelInputError(
            f"The file does not hold {model.card.name}: {len(missing) + len(misfits)} of {len(expected)} "
            f"tensors do not fit ({key:.60} {how}). Name the architecture that it was saved from."
        )
    network.load_state_dict({key: found[key] for key in expected})


def _similar(name: str) -> str:
    """Known names that resemble an unknown one, for its error message."""
    from difflib import get_close_matches

    from timm.models import list_models

    close = get_close_matches(name.partition(".")[0], list_models(), 3, 0.6)
    return (
        f": did you mean {' or '.join(close)}?".removesuffix("?")
        if close
        else ": timm.list_models() lists all"
    )
