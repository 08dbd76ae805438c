"""Weights on the Hugging Face hub, by name: which file of a model is read, and how.

Files are untrusted like any other: they are downloaded, then opened by `load_checkpoint`.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..files import program_folder
from ..net.hub import Hub, HubModel, kept_files, require_name
from .base import Encoder
from .checkpoints.files import CheckpointError
from .checkpoints.loading import load_checkpoint
from .checkpoints.timm_files import load_timm
from .program_encoder import SUFFIXES as PROGRAMS
from .program_encoder import program_encoder
from .timm_encoder import PREFIX as TIMM

PREFIX = "hf:"
PREFERRED = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
WEIGHTS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""Endings of files of weights."""
SUFFIXES = (*WEIGHTS, *PROGRAMS)
MAX_BYTES = 16 * 2**30
MAX_CONFIG_BYTES = 2**20


def split_name(name: str) -> tuple[str, str]:
    """Owner and name, and revision, of "hf:OWNER/NAME@REVISION". Raises OnlineError."""
    model, _, revision = name.removeprefix(PREFIX).partition("@")
    require_name(model, revision or "main")
    return model, revision or "main"


def load_from_hub(name: str, *, online: bool = False, **options: Any) -> Encoder:
    """The network of a model on the hub; what was downloaded before needs no internet.

    `options` as `load_checkpoint` takes them. Raises OnlineError, CheckpointError and what loading raises.
    """
    model, revision = split_name(name)
    cache = program_folder("data") / "hub"
    folder, licence = kept_files(model, revision, cache), ""
    kept = [path.name for path in folder.iterdir()] if folder else []
    if folder is None or not any(file.endswith(SUFFIXES) for file in kept):
        hub = Hub(online)
        found = hub.look_up(model, revision)
        kept, licence = list(found.sizes), found.licence
        folder = _downloaded(found, _weights_file(kept, model), hub, cache)
    return _opened(name, folder, _weights_file(kept, model), licence, **options)


def _weights_file(files: list[str], model: str) -> str:
    """The file that is read: the usual names first, else the only one of weights at the top."""
    for file in PREFERRED:
        if file in files:
            return file
    candidates = sorted(file for file in files if file.endswith(SUFFIXES) and "/" not in file)
    if any(re.search(r"-\d{5}-of-\d{5}\.", file) for file in candidates):
        raise CheckpointError(
            f"{model} keeps its weights in several parts, which only language models need: take a smaller "
            "model."
        )
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise CheckpointError(f"{model} on the hub holds no weights (.safetensors, .bin, .pth, .onnx, .pt2).")
    raise CheckpointError(
        f"{model} holds {len(candidates)} files of weights ({', '.join(candidates)[:120]}): "
        "download the one that you want and open it."
    )


def _downloaded(model: HubModel, weights: str, hub: Hub, cache: Path) -> Path:
    if model.sizes[weights] > MAX_BYTES:
        raise CheckpointError(
            f"{weights} of {model.name} has {model.sizes[weights] / 1e9:.1f} GB, more than any model here "
            "needs."
        )
    if "config.json" in model.sizes and model.sizes["config.json"] <= MAX_CONFIG_BYTES:
        hub.download(model, "config.json", cache)
    return hub.download(model, weights, cache).parent


def _opened(name: str, folder: Path, weights: str, licence: str, **options: Any) -> Encoder:
    path = folder / weights
    if path.suffix in PROGRAMS:
        model: Encoder = program_encoder(path)
    elif architecture := _timm_architecture(folder):
        model = load_timm(TIMM + architecture, path)
    else:
        model = load_checkpoint(path, **options)
    model.card = replace(model.card, name=name)
    if licence and model.card.licence == "not stated":
        model.card = replace(model.card, licence=licence)
    return model


def _timm_architecture(folder: Path) -> str:
    """The architecture that a config.json of timm names; empty where there is none."""
    with suppress(OSError, ValueError, RecursionError):
        file = folder / "config.json"
        config = json.loads(file.read_bytes()) if file.stat().st_size <= MAX_CONFIG_BYTES else None
        if (
            isinstance(config, dict)
            and isinstance(config.get("architecture"), str)
            and "pretrained_cfg" in config
        ):
            return config["architecture"]
    return ""
