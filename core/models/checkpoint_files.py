"""Reading a file of weights that somebody else made: nothing in it runs, nothing it claims is believed before it is counted.

Two formats: torch's (.pth, .pt, .bin), read by restricted unpickling only, and safetensors. What the tensors mean is said in
core.models.dialects.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import stat
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.models.registry import WeightsError

MAX_FILE_BYTES = 16 * 2**30
MAX_HEADER_BYTES = 16 * 2**20
"""A header that lists every tensor of ViT-H is below 1 MB."""
MAX_TENSORS = 20_000

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Keys under which training scripts put the tensors."""
ARGUMENTS = ("args", "hyper_parameters")

_TORCH_ZIP, _TORCH_LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_MISTAKEN = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the weights themselves: download the file that it points to",
    b"<!doctype": "is a web page, not weights: the download probably needed a login or another link",
    b"<html": "is a web page, not weights: the download probably needed a login or another link",
    b"\x89HDF": "is an HDF5 file: save the weights as safetensors first",
    b"II*\x00": "is a TIFF image: open it as a tile, not as a model",
    b"\x89PNG": "is a PNG image: open it as a tile, not as a model",
}
# What official files hold beside tensors: the training script's arguments, in which paths occur. Paths become pure ones that touch no disk.
_HARMLESS = [argparse.Namespace, (pathlib.PurePosixPath, "pathlib.PosixPath"), (pathlib.PureWindowsPath, "pathlib.WindowsPath")]
_one_at_a_time = threading.Lock()  # torch keeps the list of allowed names per process


class CheckpointError(WeightsError):
    """A file of weights that cannot be used; the message says why and what to do instead."""


@dataclass(frozen=True)
class CheckpointFile:
    """What a file holds: `tensors` by name (float32 but for counters), the script's `args`, the names of what was passed over, and the
    texts that a safetensors file carries as `metadata`."""

    path: Path
    tensors: dict[str, Tensor]
    args: dict[str, Any]
    ignored: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(path: Path) -> CheckpointFile:
    """Read a torch or safetensors file without running anything from it. Raises CheckpointError."""
    size, metadata = _checked_size(path), dict[str, str]()
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(_TORCH_ZIP):
        _check_zip(path, size)
        payload: Any = _unpickled(path)
    elif head.startswith(_TORCH_LEGACY):
        payload = _unpickled(path)
    elif head[8:9] == b"{":
        _check_header(path, size, int.from_bytes(head[:8], "little"))
        payload, metadata = _safetensors(path)
    else:
        raise CheckpointError(f"{path.name} {_mistaken(head)}.")
    state, args, ignored = _unwrapped(path, payload)
    return CheckpointFile(path, _counted(path, state, size), args, ignored, metadata)


def _checked_size(path: Path) -> int:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"There is no file called {path.name!r}: check its name and folder.") from None
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise CheckpointError(f"{path.name!r:.80} cannot be opened ({why}): give the path of a file of weights.") from problem
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{path.name!r} is not a file but a folder or device: give the path of a file of weights.")
    if not found.st_size:
        raise CheckpointError(f"{path.name} is empty: download it again.")
    if found.st_size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path.name} is larger than {MAX_FILE_BYTES // 2**30} GiB, which no model here needs: save its tensors alone.")
    return found.st_size


def _mistaken(head: bytes) -> str:
    for start, said in _MISTAKEN.items():
        if head[: len(start)].lower() == start.lower():
            return said
    return "is neither a file of torch (.pth) nor safetensors: give one of those"


def _check_zip(path: Path, size: int) -> None:
    """torch stores without compression: what claims to unfold to more than the file's own size is no checkpoint but a bomb."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise CheckpointError(f"{path.name} is cut short or damaged ({problem}): download it again.") from problem
    if len(records) > 2 * MAX_TENSORS or sum(record.file_size for record in records) > size:
        raise CheckpointError(f"{path.name} claims to unfold to more than it holds, which torch's own files never do: do not trust it.")
    names = [record.filename for record in records]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise CheckpointError(f"{path.name} is a TorchScript program, not weights alone: save its state_dict instead.")
    if not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError(f"{path.name} is a zip archive but not one of torch's: unpack it and give the file of weights inside.")


def _unpickled(path: Path) -> Any:
    try:
        with _one_at_a_time, torch.serialization.safe_globals(_HARMLESS):  # pyright: ignore[reportArgumentType]
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception as problem:  # a hostile file can raise anything
        asked = re.search(r"GLOBAL ([\w.]+)|class ([\w.]+)", str(problem))
        if "Weights only load failed" in str(problem) and asked:
            name = asked.group(1) or asked.group(2)
            raise CheckpointError(
                f"{path.name} asks to run {name:.80}, which a file of weights has no need of; nothing was run. "
                "If you trust it, save its tensors alone as safetensors where you trained it."
            ) from problem
        raise CheckpointError(f"{path.name} is cut short or damaged, or holds more than tensors and plain values: download it again.") from problem


def _check_header(path: Path, size: int, claimed: int) -> None:
    if claimed > min(MAX_HEADER_BYTES, size - 8):
        raise CheckpointError(f"{path.name} claims a header of {claimed} bytes in a file of {size}: it is damaged or a trap, download it again.")


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load(path.read_bytes()), metadata
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as problem:
        raise CheckpointError(f"{path.name} is cut short or damaged ({problem!s:.120}): download it again.") from problem


def _unwrapped(path: Path, payload: Any) -> tuple[Mapping[str, Any], dict[str, Any], tuple[str, ...]]:
    if not isinstance(payload, Mapping):
        raise CheckpointError(f"{path.name} holds a {type(payload).__name__}, not tensors by name: save a state_dict.")
    state: Any = next((payload[key] for key in WRAPPERS if isinstance(payload.get(key), Mapping)), payload)
    if state is payload and not any(isinstance(value, Tensor) for value in payload.values()):
        raise CheckpointError(f"{path.name} holds no tensors by name: save the state_dict of the model.")
    said: Any = next((payload[key] for key in ARGUMENTS if key in payload), None)
    args: dict[str, Any] = dict(vars(said)) if isinstance(said, argparse.Namespace) else dict(said) if isinstance(said, Mapping) else {}
    passed_over = () if state is payload else tuple(str(key) for key, value in payload.items() if value is not state and key not in ARGUMENTS)
    return state, args, passed_over


def _counted(path: Path, state: Mapping[str, Any], size: int) -> dict[str, Tensor]:
    """Every tensor as plain float32 numbers, once its claims are known to be backed by the file's own bytes."""
    if len(state) > MAX_TENSORS:
        raise CheckpointError(f"{path.name} lists {len(state)} tensors, which no model here has: do not trust it.")
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{path.name} holds {str(key)!r:.60} among its tensors, which is none: save the state_dict of the model.")
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise CheckpointError(f"{path.name} keeps {key:.60} in a form that cannot be read as plain numbers: save it dense and unquantised.")
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{path.name} claims {tuple(tensor.shape)} numbers for {key:.60} but holds fewer: it is damaged or a trap.")
    if sum(tensor.nbytes for tensor in state.values()) > size:
        raise CheckpointError(f"{path.name} claims more numbers than its {size} bytes can hold: it is damaged or a trap.")
    return {key: _plain(path, key, tensor) for key, tensor in state.items()}


def _plain(path: Path, key: str, tensor: Tensor) -> Tensor:
    if key.endswith("num_batches_tracked") and tensor.numel() == 1:  # a counter, which half precision may have rounded to infinity
        return tensor.detach().double().nan_to_num(posinf=0.0).long()
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        raise CheckpointError(f"{path.name} keeps {key:.60} as {tensor.dtype}, not as floating-point numbers: save the weights unquantised.")
    numbers = tensor.detach().to(torch.float32).contiguous()
    if not bool(numbers.isfinite().all()):
        raise CheckpointError(f"{path.name} holds values in {key:.60} that are no numbers: its training had failed, take an earlier checkpoint.")
    return numbers if numbers.untyped_storage().nbytes() == numbers.nbytes else numbers.clone()
