"""Cache of loaded models: one copy of each for all users; the least recently used is dropped at the limit."""

from __future__ import annotations

import copy
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil
import torch

from ..models.base import Encoder
from ..models.opening import file_of, on_hub, open_model
from .device import device, devices

SEED = 0
"""Seed of untrained networks, so that a shared link shows the same output to everybody."""
_RANDOM = threading.Lock()
"""torch has one generator for all threads, so untrained networks are initialised one at a time."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory: its card's name, the weights file it came from (None: a preset), and its size."""

    name: str
    path: Path | None
    size_bytes: int


class ModelCache:
    """Loaded models within a limit of `limit_bytes`; the newest always stays, even alone above the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._models: OrderedDict[tuple[object, ...], tuple[Encoder, LoadedModel]] = OrderedDict()
        self._lock = threading.Lock()
        self._building: dict[tuple[object, ...], threading.Lock] = {}

    def get(self, name: str | Path) -> Encoder:
        """Return the model of a name as `core.models.opening` reads it, in eval mode on the device.

        It is shared: do not change it.

        The name of a file may end in +gsd or +static to state its positional encoding if the file does not.
        Raises the errors of `open_model`.
        """
        key = _identity(name)
        with self._lock:
            building = self._building.setdefault(key, threading.Lock())
        with building:
            with self._lock:
                if key in self._models:
                    self._models.move_to_end(key)
                    return self._models[key][0]
            model = _build(name)
            path = Path(str(key[0])) if len(key) > 1 else None
            with self._lock:
                self._models[key] = model, LoadedModel(model.card.name, path, _bytes_of(model))
                self._evict()
                return model

    def models(self) -> tuple[LoadedModel, ...]:
        """Return the models in memory, least recently used first."""
        with self._lock:
            return tuple(loaded for _, loaded in self._models.values())

    def drop(self, path: Path) -> None:
        """Drop the models loaded from a file, for instance before the file is deleted."""
        with self._lock:
            for key in [key for key in self._models if len(key) > 1 and key[0] == str(path.resolve())]:
                del self._models[key]
                self._building.pop(key, None)

    def _evict(self) -> None:
        while len(self._models) > 1 and self._size() > self.limit_bytes:
            key, _ = self._models.popitem(last=False)
            self._building.pop(key, None)

    def _size(self) -> int:
        return sum(loaded.size_bytes for _, loaded in self._models.values())


@lru_cache(maxsize=1)
def model_cache() -> ModelCache:
    """Return the cache of this process, limited to EARTH_MAE_MODEL_MB megabytes or a quarter of the RAM."""
    stated = os.environ.get("EARTH_MAE_MODEL_MB", "")
    return ModelCache(int(stated) * 2**20 if stated.isdigit() else psutil.virtual_memory().total // 4)


def load(name: str | Path) -> Encoder:
    """Return this process's copy of an encoder.

    `name` is a preset ("scale_mae_tiny"), a weights file, an exported network (.onnx, .pt2), a network of
    timm ("timm:NAME", "timm:NAME@FILE") or a model of the Hugging Face hub ("hf:OWNER/NAME").
    """
    return model_cache().get(name)


def on_every_device(model: Encoder) -> tuple[Encoder, ...]:
    """Return a network for each of `devices()`, in their order: itself on the first, copies on the others."""
    return tuple(
        model if not number else copy.deepcopy(model).to(on.torch) for number, on in enumerate(devices())
    )


def _identity(name: str | Path) -> tuple[object, ...]:
    file = file_of(name)
    if file is None:
        return (name,)
    path = file.resolve()
    status = path.stat() if path.is_file() else None
    return (str(path), str(name), status and status.st_mtime_ns, status and status.st_size)


def _build(name: str | Path) -> Encoder:
    if file_of(name) is None and not on_hub(name):
        with _RANDOM, torch.random.fork_rng():
            torch.manual_seed(SEED)
            model = open_model(name)
    else:
        model = open_model(name)
    model.requires_grad_(False)
    return model.to(device().torch).eval()


def _bytes_of(model: Encoder) -> int:
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
