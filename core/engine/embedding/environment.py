"""What the last bits of a vector depend on besides the recipe: device, precision, versions of libraries."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from .. import device

LIBRARIES = ("numpy", "rasterio", "timm", "torch")
"""Packages that decode, resample or compute; two versions of one may round differently."""

Environment = dict[str, str]


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the device, precision and versions of this process; the number of threads changes no vector."""
    on = device.device()
    kind = on.torch.type
    name = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}" if kind == "cpu" else on.name
    versions = {package: _version(package) for package in LIBRARIES}
    return {"device": f"{kind} {name}", "precision": on.precision, **versions}


def difference(saved: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `now` has and `saved` states otherwise; what `saved` does not state is not compared."""
    return {key: value for key, value in now.items() if key in saved and saved[key] != value}


def explained(saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe the difference of two environments in words; empty if there is none."""
    return "; ".join(
        f"{key} was {saved[key]} and is now {value}" for key, value in difference(saved, now).items()
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
