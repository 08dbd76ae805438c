"""The models that are in memory: one copy of each for all users, the least recently used given up when the limit is reached."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import psutil
import torch

from core.engine.device import device
from core.models.base import Encoder
from core.models.registry import cards, create

SEED = 0
"""Untrained networks are drawn from it, so that a shared link shows the same noise to everybody."""


class Shelf:
    """Loaded models within a limit of `limit_bytes`; the newest always stays, even alone above the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._models: OrderedDict[tuple[object, ...], Encoder] = OrderedDict()
        self._lock = threading.Lock()
        self._building: dict[tuple[object, ...], threading.Lock] = {}

    def get(self, name: str | Path) -> Encoder:
        """The model of a preset's name or a weights file, in eval mode on the device; shared, so do not change it.

        Raises ModelNameError, WeightsError and what `load_checkpoint` raises.
        """
        key = _identity(name)
        with self._lock:
            building = self._building.setdefault(key, threading.Lock())
        with building:
            with self._lock:
                if key in self._models:
                    self._models.move_to_end(key)
                    return self._models[key]
            model = _build(name)
            with self._lock:
                self._models[key] = model
                self._give_up()
                return model

    def held(self) -> dict[str, int]:
        """Names and sizes in bytes of the models in memory, least recently used first."""
        with self._lock:
            return {model.card.name: _bytes_of(model) for model in self._models.values()}

    def _give_up(self) -> None:
        while len(self._models) > 1 and sum(map(_bytes_of, self._models.values())) > self.limit_bytes:
            key, _ = self._models.popitem(last=False)
            self._building.pop(key, None)


@lru_cache(maxsize=1)
def shelf() -> Shelf:
    """The process's shelf: EARTH_MAE_MODEL_MB megabytes, a quarter of the RAM where that is not set."""
    said = os.environ.get("EARTH_MAE_MODEL_MB", "")
    return Shelf(int(said) * 2**20 if said.isdigit() else psutil.virtual_memory().total // 4)


def load(name: str | Path) -> Encoder:
    """The one copy in this process of a preset or of a weights file."""
    return shelf().get(name)


def _identity(name: str | Path) -> tuple[object, ...]:
    if isinstance(name, str) and not _is_file_name(name):
        return (name,)
    path = Path(name).resolve()
    known = path.stat() if path.is_file() else None
    return (str(path), known and known.st_mtime_ns, known and known.st_size)


def _is_file_name(name: str) -> bool:
    return name.endswith((".pth", ".pt", ".bin", ".safetensors")) or (os.sep in name and name not in cards())


def _build(name: str | Path) -> Encoder:
    if isinstance(name, Path) or _is_file_name(name):
        from core.models import load_checkpoint

        model = load_checkpoint(Path(name))
    else:
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            model = create(name)
    model.requires_grad_(False)
    return model.to(device().torch).eval()


def _bytes_of(model: Encoder) -> int:
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
