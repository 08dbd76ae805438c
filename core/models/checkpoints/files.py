"""Read untrusted weights files: no code in them runs, and every claim is checked before memory is allocated.

Two formats: torch's (.pth, .pt, .bin), of which nothing is unpickled, and safetensors. What the tensors mean
is described in core.models.checkpoints.dialects.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
import torch
from torch import Tensor

from ...untrusted import tensors
from ...untrusted.tensors import TORCH_LEGACY, TORCH_ZIP, WIDTHS, TensorListing, listing
from ...untrusted.tensors import Tensor as Listed
from ..registry import WeightsError

MAX_FILE_BYTES = 16 * 2**30
MAX_TENSORS = tensors.MAX_TENSORS
FLOATS = ("float32", "float16", "bfloat16", "float64")
MOST_READ = 4
"""Tensors that overlap may make this many times a file's size to be read, and no more."""

_MISTAKEN = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the weights themselves: download the file that "
    "it points to",
    b"<!doctype": "is a web page, not weights: the download probably needed a login or another link",
    b"<html": "is a web page, not weights: the download probably needed a login or another link",
    b"\x89HDF": "is an HDF5 file: save the weights as safetensors first",
    b"II*\x00": "is a TIFF image: open it as a tile, not as a model",
    b"\x89PNG": "is a PNG image: open it as a tile, not as a model",
}


class CheckpointError(WeightsError):
    """A file of weights that cannot be used; the message says why and what to do instead."""


@dataclass(frozen=True)
class CheckpointFile:
    """Contents of a weights file.

    `tensors` by name (float32, except counters), the script's `args`, the names of `ignored` entries, and the
    `metadata` of a safetensors file.
    """

    path: Path
    tensors: dict[str, Tensor]
    args: dict[str, Any]
    ignored: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(path: Path) -> CheckpointFile:
    """Read a torch or safetensors file without running anything from it. Raises CheckpointError.

    A child process lists what the file holds (core.untrusted.tensors); here only the numbers are read, each
    from inside the file.
    """
    size = checked_size(path)
    with path.open("rb") as file:
        head = file.read(64)
        if not (head.startswith((TORCH_ZIP, TORCH_LEGACY)) or head[8:9] == b"{"):
            raise CheckpointError(f"{path.name} {_mistaken(head)}.")
        found = listing(path, CheckpointError)
        _check(path, found, size)
        require_memory(path, sum(each.count for each in found.tensors) * WIDTHS["float32"])
        numbers = {each.name: _plain(path, each.name, _numbers(file, each)) for each in found.tensors}
    return CheckpointFile(path, numbers, found.args, found.ignored, found.metadata)


def checked_size(path: Path) -> int:
    """The size of a file in bytes. Raises CheckpointError where there is none, or no regular file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"There is no file called {path.name!r}: check its name and folder.") from None
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise CheckpointError(
            f"{path.name!r:.80} cannot be opened ({why}): give the path of a file of weights."
        ) from problem
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(
            f"{path.name!r} is not a file but a folder or device: give the path of a file of weights."
        )
    if not found.st_size:
        raise CheckpointError(f"{path.name} is empty: download it again.")
    if found.st_size > MAX_FILE_BYTES:
        raise CheckpointError(
            f"{path.name} is larger than {MAX_FILE_BYTES // 2**30} GiB, which no model here needs: "
            "save its tensors alone."
        )
    return found.st_size


def require_memory(path: Path, needed: int) -> None:
    """Raise CheckpointError where a network of `needed` bytes does not fit into the memory that is free."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise CheckpointError(
            f"{path.name} takes {needed / 1e9:,.1f} GB in memory and {free / 1e9:,.1f} GB are free: "
            "close other programs, or use a smaller network."
        )


def _mistaken(head: bytes) -> str:
    for start, meaning in _MISTAKEN.items():
        if head[: len(start)].lower() == start.lower():
            return meaning
    return "is neither a file of torch (.pth) nor safetensors: give one of those"


def _check(path: Path, found: TensorListing, size: int) -> None:
    """Refuse what claims more than the file's own bytes hold, before any of it is read."""
    if len(found.tensors) > MAX_TENSORS:
        raise CheckpointError(
            f"{path.name} lists {len(found.tensors)} tensors, which no model here has: do not trust it."
        )
    for each in found.tensors:
        if each.dtype not in FLOATS and not _counts(each.name, each.count):
            raise CheckpointError(
                f"{path.name} keeps {each.name:.60} as torch.{each.dtype}, not as floating-point numbers: "
                "save the weights unquantised."
            )
    read = sum(max(each.count, each.reach) * WIDTHS[each.dtype] for each in found.tensors)
    if sum(each.count * WIDTHS[each.dtype] for each in found.tensors) > size or read > MOST_READ * size:
        raise CheckpointError(
            f"{path.name} claims more numbers than its {size} bytes can hold: it is damaged or a trap."
        )


def _numbers(file: IO[bytes], each: Listed) -> Tensor:
    """Read a tensor's own numbers from its place in the file."""
    kind = getattr(torch, each.dtype)
    if not each.count:
        return torch.empty(each.shape, dtype=kind)
    content = bytearray(each.reach * WIDTHS[each.dtype])
    file.seek(each.at)
    if file.readinto(content) != len(content):  # pyright: ignore[reportAttributeAccessIssue]
        raise CheckpointError(f"{file.name} became shorter while it was read: copy it again.")
    return torch.frombuffer(content, dtype=kind).as_strided(each.shape, each.stride)


def _counts(name: str, count: int) -> bool:
    """Whether a tensor is a counter, which half precision may have rounded to infinity."""
    return name.endswith("num_batches_tracked") and count == 1


def _plain(path: Path, key: str, tensor: Tensor) -> Tensor:
    if _counts(key, tensor.numel()):
        return tensor.double().nan_to_num(posinf=0.0).long()
    numbers = tensor.to(torch.float32).contiguous()
    if not bool(numbers.isfinite().all()):
        raise CheckpointError(
            f"{path.name} holds values in {key:.60} that are not finite: "
            "its training failed, so use an earlier checkpoint."
        )
    return numbers if numbers.untyped_storage().nbytes() == numbers.nbytes else numbers.clone()
