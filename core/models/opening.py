"""Open any encoder by its name: a preset, a weights file, an exported network, a network of timm, or the
hub's.

>>> open_model("scale_mae_tiny")
>>> open_model("scalemae-vitlarge-800.pth")          # or "encoder.pth+gsd", .ckpt, .safetensors, .onnx, .pt2
>>> open_model("timm:vit_small_patch16_dinov3")      # random weights; with @FILE those of a file
>>> open_model("timm:vit_small_patch16_dinov3.sat493m")      # timm's own, from the hub
>>> open_model("hf:facebook/vit-mae-base")
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import from_hub as hub
from .base import Encoder
from .checkpoints.loading import load_checkpoint
from .checkpoints.timm_files import load_timm
from .program_encoder import SUFFIXES as PROGRAMS
from .program_encoder import program_encoder
from .registry import cards, create
from .timm_encoder import PREFIX as TIMM
from .timm_encoder import require_known, timm_encoder

if TYPE_CHECKING:
    from .checkpoints.encoder_dialects import Positions

TIMM_ON_HUB = "hf:timm/"


def split_positions(name: str) -> tuple[str, Positions | None]:
    """Split `encoder.pth+gsd` into the file's name and what it says of the positions.

    None where it says nothing.
    """
    found = re.fullmatch(r"(.+)\+(gsd|static)", name, re.DOTALL)
    return (found[1], cast("Positions", found[2])) if found else (name, None)


def file_of(name: str | Path) -> Path | None:
    """The file that a name refers to; None for presets, networks of timm without a file, and the hub."""
    text, at, file = str(name).partition("@")
    if text.startswith(TIMM) and not isinstance(name, Path):
        return Path(file) if at else None
    file = split_positions(str(name))[0]
    is_file = (
        isinstance(name, Path)
        or file.endswith(hub.SUFFIXES)
        or (os.sep in file and file not in cards() and not file.startswith(hub.PREFIX))
    )
    return Path(file) if is_file and not str(name).startswith(hub.PREFIX) else None


def on_hub(name: str | Path) -> bool:
    """Whether a name refers to the Hugging Face hub."""
    text, at, _ = str(name).partition("@")
    return not isinstance(name, Path) and (
        text.startswith(hub.PREFIX) or (text.startswith(TIMM) and "." in text and not at)
    )


def open_model(name: str | Path, *, online: bool = False) -> Encoder:
    """The encoder of a name, in eval mode on the CPU; random weights come from the global torch seed.

    `online` allows the internet for this call. Raises ModelNameError, ModelInputError, OnlineError,
    CheckpointError and what `load_checkpoint` raises.
    """
    text, path = str(name), file_of(name)
    if text.startswith(TIMM) and not isinstance(name, Path):
        architecture = text.partition("@")[0]
        if path is not None:
            return load_timm(architecture, path)
        if not on_hub(name):
            return timm_encoder(architecture)
        model = hub.load_from_hub(TIMM_ON_HUB + require_known(text), online=online)
        model.card = replace(model.card, name=text)
        return model
    if path is None:
        return hub.load_from_hub(text, online=online) if on_hub(name) else create(text)
    if path.suffix in PROGRAMS:
        return program_encoder(path)
    return load_checkpoint(path, positions=split_positions(text)[1])
