"""Devices, precision and batch sizes; the only module that names devices.

The first available of CUDA, Apple's MPS and the CPU is used, unless EARTH_MAE_DEVICE names one. On CUDA the
networks run under bfloat16 autocast (positions are computed in float32 by the models themselves), elsewhere
in float32; training also uses it on CPUs with bfloat16 instructions. EARTH_MAE_THREADS sets torch's threads,
EARTH_MAE_COMPILE=1 switches torch.compile on.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ExplorerError
from .allocator import keep_freed_memory

T = TypeVar("T")


class DeviceError(ExplorerError):
    """A device that this machine does not have."""


class OutOfMemoryError(ExplorerError):
    """A single image that does not fit into the device's memory."""


@dataclass(frozen=True)
class Device:
    """A compute device: `kind` is torch's name for it, `name` the product's, `precision` what the networks
    compute in."""

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
def device(wanted: str | None = None) -> Device:
    """Pick the device: `wanted`, else EARTH_MAE_DEVICE, else the fastest there is. Raises DeviceError."""
    wanted = (wanted or os.environ.get("EARTH_MAE_DEVICE") or _fastest()).strip().lower()
    kind = wanted.split(":")[0]
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not there.get(kind):
        have = ", ".join(name for name, is_there in there.items() if is_there)
        raise DeviceError(
            f"This machine has no device {wanted!r:.30}; set EARTH_MAE_DEVICE to one of: {have}, or unset it."
        )
    use_threads()
    if kind == "cuda":
        try:
            name = torch.cuda.get_device_name(wanted)
        except (RuntimeError, AssertionError) as problem:
            raise DeviceError(
                f"This machine has no device {wanted!r:.30}; it has {torch.cuda.device_count()} of that kind."
            ) from problem
        return Device(wanted, name, "bfloat16")
    keep_freed_memory()
    count = torch.get_num_threads()
    name = "Apple GPU" if kind == "mps" else f"CPU ({platform.machine()}, {count} thread{'s' * (count != 1)})"
    return Device(kind, name, "float32")


def device_of(network: nn.Module) -> Device:
    """Return the device that a network's weights are on."""
    return device(str(next(network.parameters()).device))


def devices() -> tuple[Device, ...]:
    """All devices that long work may use: every CUDA device, unless EARTH_MAE_DEVICE names one by number.

    Otherwise the only one.
    """
    first = device()
    if first.kind != "cuda":
        return (first,)
    return tuple(device(f"cuda:{number}") for number in range(torch.cuda.device_count()))


def _fastest() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def use_threads(count: int | None = None) -> int:
    """Set how many threads torch computes with (None: EARTH_MAE_THREADS, else torch's own choice) and
    return the number."""
    said = os.environ.get("EARTH_MAE_THREADS", "")
    count = count or (int(said) if said.isdigit() and int(said) > 0 else None)
    if count and count != torch.get_num_threads():
        torch.set_num_threads(count)
    return torch.get_num_threads()


def precision(on: Device) -> contextlib.AbstractContextManager[Any]:
    """The context in which networks run: bfloat16 autocast on CUDA, nothing elsewhere."""
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
    """How much of the device's memory is in use, and how much this process holds in RAM."""
    process = psutil.Process().memory_info().rss
    if on.torch.type == "cuda":
        free, total = torch.cuda.mem_get_info(on.torch)
        return Memory(total - free, total, process)
    ram = psutil.virtual_memory()
    used = torch.mps.current_allocated_memory() if on.kind == "mps" else ram.total - ram.available
    return Memory(used, ram.total, process)


@dataclass(frozen=True)
class WarmUp:
    """What compiling cost: `seconds` of the first call, and one sentence for the sidebar."""

    seconds: float
    compiled: bool
    sentence: str


def compile_network(network: nn.Module, first_call: Callable[[], Any], wanted: bool | None = None) -> WarmUp:
    """Compile a network in place with torch.compile where wanted (None: EARTH_MAE_COMPILE), and say what
    the warm-up took.

    `first_call` runs the network once. Where compiling fails (no C++ compiler), the network stays as it was
    and the sentence says so.
    """
    if not (os.environ.get("EARTH_MAE_COMPILE") == "1" if wanted is None else wanted):
        return WarmUp(0.0, False, "")
    start = time.perf_counter()
    try:
        network.compile()
        first_call()
    except Exception as problem:  # compilers fail in many ways, and none may cost the user the picture
        network._compiled_call_impl = None  # undoes nn.Module.compile
        reason = type(problem).__name__
        return WarmUp(
            time.perf_counter() - start,
            False,
            f"torch.compile did not work here ({reason}); the network runs uncompiled.",
        )
    seconds = time.perf_counter() - start
    return WarmUp(seconds, True, f"Compiled; the first call took {seconds:.1f} s.")


_paces: dict[Hashable, dict[int, float]] = {}


class Pace:
    """Finds the fastest batch size of this device during the work.

    Measurements are kept for the life of the process.

    Sizes 1, 4, 16 ... up to `most` are each tried where enough is left; the first call warms the device up
    and is not counted.
    """

    def __init__(self, key: Hashable, most: int) -> None:
        self.sizes = tuple(size for size in (1, 4, 16, 64, 256) if size <= most)
        self._seconds, self._warm = _paces.setdefault(key, {}), key in _paces and bool(_paces[key])

    def size(self, left: int) -> int:
        """How many to do next of `left`: an untried size that fits, else the fastest."""
        if not self._warm:
            return 1
        untried = [size for size in self.sizes if size <= left and size not in self._seconds]
        return untried[0] if untried else min(self._seconds, key=self._seconds.__getitem__, default=1)

    def note(self, size: int, seconds: float) -> None:
        """Remember what a batch took: the best time per picture counts, for a machine may be busy."""
        if self._warm and size in self.sizes:
            self._seconds[size] = min(self._seconds.get(size, float("inf")), seconds / size)
        self._warm = True


_fitting: dict[Hashable, int] = {}
_fitting_lock = threading.Lock()


def fitting_batches(
    work: Callable[[slice], T],
    count: int,
    *,
    start: int,
    key: Hashable,
    say: Callable[[str], None] | None = None,
    pace: Pace | None = None,
) -> Iterator[tuple[slice, T]]:
    """Run `work` over 0..count in slices, halving them where the device's memory is too small.

    `start` is the first size tried; what fitted is remembered per `key` for the life of the process. `say`
    receives one sentence each time a batch had to shrink; `pace` chooses sizes up to what fits. Raises
    OutOfMemoryError where not even one fits.
    """
    done = 0
    while done < count:
        size = min(_fitting.get(key, start), start, pace.size(count - done) if pace else start)
        piece = slice(done, min(done + size, count))
        began = time.perf_counter()
        try:
            result = work(piece)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as problem:
            if not ran_out(problem):
                raise
            result = None
        if result is None:
            size = _shrink(piece.stop - piece.start, key)
            if say:
                say(f"The device ran out of memory: the batch size is now {size}.")
            continue
        if pace:
            pace.note(piece.stop - piece.start, time.perf_counter() - began)
        yield piece, result
        done = piece.stop


def _shrink(size: int, key: Hashable) -> int:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if size <= 1:
        raise OutOfMemoryError(
            "Not even one image fits into the device's memory: "
            "choose a smaller model or input, or set EARTH_MAE_DEVICE=cpu."
        )
    with _fitting_lock:
        _fitting[key] = min(_fitting.get(key, size), size // 2)
    return size // 2


def ran_out(problem: BaseException) -> bool:
    """Whether an exception means that memory ran out, on CUDA, MPS or the CPU."""
    if isinstance(problem, torch.OutOfMemoryError | MemoryError):
        return True
    return any(
        phrase in str(problem).lower()
        for phrase in ("out of memory", "can't allocate memory", "not enough memory")
    )


def multiplies_bfloat16(on: Device) -> bool:
    """Whether this is a CPU with bfloat16 instructions; others emulate such products, slowly."""
    can = torch.cpu.get_capabilities()
    return on.torch.type == "cpu" and bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def training_precision(on: Device) -> contextlib.AbstractContextManager[Any]:
    """The context in which objectives run: bfloat16 autocast on CUDA and on CPUs that multiply bfloat16
    themselves (about twice as fast there)."""
    if on.precision == "bfloat16" or multiplies_bfloat16(on):
        return torch.autocast(on.torch.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def suit_attention(network: nn.Module, on: Device) -> None:
    """Before training: write attention out where a CPU multiplies bfloat16, for torch's fused kernel takes
    2.5 to 5 times as long there."""
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
