"""Weights for networks of timm: a file with its architecture, and DINO's own files, which need none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ...files import file_sha256
from ..registry import WeightsCard
from ..report import LoadReport
from ..timm_encoder import PREFIX, TimmEncoder, timm_encoder
from .clues import OWNER_NOTICE, Clues
from .files import CheckpointFile, read_checkpoint

DINO_WIDTHS = {384: "small", 768: "base", 1024: "large", 1280: "huge_plus", 1536: "giant", 4096: "7b"}
DINO_LICENCES = {"dinov2": "Apache-2.0", "dinov3": "DINOv3 License (Meta)"}


def load_timm(name: str, path: Path) -> TimmEncoder:
    """The timm network of a name, filled from a file.

    Raises CheckpointError, ModelNameError, ModelInputError.
    """
    file = read_checkpoint(path)
    return filled(name, file, Clues(file, file_sha256(path)))


def filled(name: str, file: CheckpointFile, clues: Clues, licence: str = "not stated") -> TimmEncoder:
    """The timm network of a name with the tensors of a file that is already read, with a card and a
    report."""
    model = timm_encoder(name, clues.tensors)
    sha256 = clues.sha256
    count = len(model.network.state_dict())
    variant = f"timm's {name.removeprefix(PREFIX)}"
    notices = (OWNER_NOTICE,) if licence == "not stated" else ()
    report = LoadReport(
        file.path.name, variant, sha256, count, (), clues.beside, file.ignored, (), notices, licence, {}
    )
    weights = WeightsCard(
        file=file.path.name,
        sha256=sha256,
        licence=licence,
        data=(),
        images_seen=0,
        steps=0,
        hours=0.0,
        restarts=0,
        command="",
        notes=" ".join(report.sentences()),
    )
    model.report = report
    model.card = replace(
        model.card, name=file.path.stem, weights=weights, licence=licence, notices=notices,
        description=f"{variant}, from {file.path.name}: it embeds and cannot reconstruct.",
    )  # fmt: skip
    return model


def dino_name(tensors: Mapping[str, Tensor]) -> str | None:
    """timm's name for the network of an original file of DINOv2 or DINOv3; None for other files."""
    if "cls_token" not in tensors or "blocks.0.ls1.gamma" not in tensors or "mask_token" not in tensors:
        return None
    width = int(tensors["cls_token"].shape[-1])
    third = "storage_tokens" in tensors
    size = DINO_WIDTHS.get(width)
    if size is None:
        return None
    if not third:
        return f"{PREFIX}vit_{size}_patch14{'_reg4' if 'register_tokens' in tensors else ''}_dinov2"
    if size == "small" and "blocks.0.mlp.w1.weight" in tensors:
        size = "small_plus"
    bias = "_qkvb" if "blocks.0.attn.qkv.bias" in tensors and size != "7b" else ""
    return f"{PREFIX}vit_{size}_patch16_dinov3{bias}"


def licence_of(name: str) -> str:
    """The licence that Meta publishes DINO's weights under."""
    return next(licence for dino, licence in DINO_LICENCES.items() if dino in name)
