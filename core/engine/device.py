"""Devices and precision; the only module that names devices.

The first available of CUDA, Apple's MPS and the CPU is used, unless EARTH_MAE_DEVICE names one. On CUDA the
networks run under bfloat16 autocast (positions are computed in float32 by the models themselves), elsewhere
in float32; training also uses it on CPUs with bfloat16 instructions. EARTH_MAE_THREADS sets torch's threads.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ExplorerError
from .allocator import keep_freed_memory


class DeviceError(ExplorerError):
    """A device that this machine does not have."""


@dataclass(frozen=True)
class Device:
    """A compute device: torch's name (`kind`), the name of the product, and the precision of networks."""

    kind: str
    name: str
    precision: str

    @property
    def torch(self) -> torch.device:
        return torch.device(self.kind)


@dataclass(frozen=True)
class Memory:
    """Memory of the device and of this process in bytes; on a CPU both are RAM."""

    used: int
    total: int
    process: int


@lru_cache(maxsize=32)
def device(name: str | None = None) -> Device:
    """Return the device of that name, else of EARTH_MAE_DEVICE, else the fastest. Raises DeviceError."""
    name = (name or os.environ.get("EARTH_MAE_DEVICE") or _fastest()).strip().lower()
    kind = name.split(":")[0]
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not available.get(kind):
        choices = ", ".join(each for each, is_available in available.items() if is_available)
        raise DeviceError(
            f"This machine has no device {name!r:.30}; "
            f"set EARTH_MAE_DEVICE to one of: {choices}, or unset it."
        )
    use_threads()
    if kind == "cuda":
        try:
            product = torch.cuda.get_device_name(name)
        except (RuntimeError, AssertionError) as error:
            raise DeviceError(
                f"This machine has no device {name!r:.30}; it has {torch.cuda.device_count()} of that kind."
            ) from error
        return Device(name, product, "bfloat16")
    keep_freed_memory()
    count = torch.get_num_threads()
    cpu = f"CPU ({platform.machine()}, {count} thread{'s' * (count != 1)})"
    return Device(kind, "Apple GPU" if kind == "mps" else cpu, "float32")


def device_of(network: nn.Module) -> Device:
    """Return the device that a network's weights are on."""
    return device(str(next(network.parameters()).device))


def devices() -> tuple[Device, ...]:
    """Return the devices that long work may use: all CUDA devices, or the only other one."""
    first = device()
    if first.kind != "cuda":
        return (first,)
    return tuple(device(f"cuda:{number}") for number in range(torch.cuda.device_count()))


def _fastest() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def use_threads(count: int | None = None) -> int:
    """Set and return the number of torch's threads (None: EARTH_MAE_THREADS, else torch's own choice)."""
    stated = os.environ.get("EARTH_MAE_THREADS", "")
    count = count or (int(stated) if stated.isdigit() and int(stated) > 0 else None)
    if count and count != torch.get_num_threads():
        torch.set_num_threads(count)
    return torch.get_num_threads()


def precision(on: Device) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which networks run: bfloat16 autocast on CUDA, nothing elsewhere."""
    if on.precision == "bfloat16":
        return torch.autocast(on.torch.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def one_thread(on: Device) -> Generator[None]:
    """Compute on a single CPU thread, so that results do not depend on the number of cores.

    Sums shared by several threads are rounded differently, which changes the last bits and now and then a
    value of a PNG. Other devices are not affected.
    """
    count = torch.get_num_threads()
    if on.torch.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def to_device(array: NDArray[Any], on: Device) -> Tensor:
    """Copy an array to the device; to CUDA from pinned memory, without waiting for the copy to end."""
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))  # a read-only view is copied
    if on.torch.type == "cuda":
        return tensor.pin_memory().to(on.torch, non_blocking=True)
    return tensor.to(on.torch)


def to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """Copy a tensor to the CPU as a float32 array."""
    return tensor.detach().float().cpu().numpy()


def memory(on: Device) -> Memory:
    """Return how much of the device's memory is in use, and how much RAM this process uses."""
    process = psutil.Process().memory_info().rss
    if on.torch.type == "cuda":
        free, total = torch.cuda.mem_get_info(on.torch)
        return Memory(total - free, total, process)
    ram = psutil.virtual_memory()
    used = torch.mps.current_allocated_memory() if on.kind == "mps" else ram.total - ram.available
    return Memory(used, ram.total, process)


def release_cache() -> None:
    """Return memory that torch caches on CUDA devices to the system."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def multiplies_bfloat16(on: Device) -> bool:
    """Tell whether this is a CPU with bfloat16 instructions; others emulate such products, slowly."""
    has = torch.cpu.get_capabilities()
    return on.torch.type == "cpu" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def training_precision(on: Device) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which objectives run: bfloat16 autocast on CUDA and on CPUs that have it.

    It is about twice as fast on those CPUs.
    """
    if on.precision == "bfloat16" or multiplies_bfloat16(on):
        return torch.autocast(on.torch.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def suit_attention(network: nn.Module, on: Device) -> None:
    """Disable fused attention for training on CPUs with bfloat16, where it takes 2.5 to 5 times as long."""
    if multiplies_bfloat16(on):
        for part in network.modules():
            if hasattr(part, "fused_attn"):
                setattr(part, "fused_attn", False)  # noqa: B010 (timm's, unknown to nn.Module)


def fabric_for(on: Device) -> Any:
    """Lightning Fabric on this device, launched: one process here, or as many as torchrun started.

    Precision is ours (`training_precision`).
    """
    from lightning_fabric import Fabric

    world = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    accelerator = on.kind.split(":")[0]
    nodes = int(os.environ.get("WORLD_SIZE", str(world))) // world
    strategy = (
        "ddp_find_unused_parameters_true" if world * nodes > 1 else "auto"
    )  # Scale-MAE carries a token that it never uses
    fabric = Fabric(accelerator=accelerator, devices=world, num_nodes=nodes, strategy=strategy)
    fabric.launch()
    return fabric
