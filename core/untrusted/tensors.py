"""List the tensors of a weights file and the positions of their data, for PyTorch formats and safetensors.

Neither torch nor the data is needed, so that a child process answers at once, and reading the data needs no
parser.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import ExplorerError
from .pickles import GlobalRefusedError, Namespace, PickleError, Storage, Strange, TensorClaim, read_pickle
from .process import Limits, call

WIDTHS = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
}
"""Bytes per number, by torch dtype."""

MAX_HEADER_BYTES = 16 * 2**20
"""For comparison, the header of ViT-H has less than 1 MB."""
MAX_TENSORS = 20_000
WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Keys under which training scripts store the tensors."""
ARGUMENTS = ("args", "hyper_parameters")
TORCH_ZIP, TORCH_LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_SAFE = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
}
"""The dtypes of safetensors."""
_LIMITS = Limits(cpu_s=10.0, wall_s=60.0, memory_mb=768, answer_mb=32)
_DAMAGED = "is truncated or damaged, or contains more than tensors and plain values: download it again"
MAX_ARGUMENTS, MAX_DEPTH, MAX_TEXT = 5_000, 8, 4_096


@dataclass(frozen=True)
class Tensor:
    """The position of a tensor: `at` is the byte offset of its first number, `stride` counts numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    at: int

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def reach(self) -> int:
        """The number of elements from the first to the last in the file, inclusive."""
        steps = (step * (size - 1) for step, size in zip(self.stride, self.shape, strict=True))
        return 1 + sum(steps) if self.count else 0


@dataclass(frozen=True)
class TensorListing:
    """Tensors of a file, arguments of its training script, names of ignored entries, and safetensors
    metadata."""

    tensors: tuple[Tensor, ...]
    args: dict[str, Any]
    ignored: tuple[str, ...]
    metadata: dict[str, str]


def listing(path: Path, error: type[ExplorerError]) -> TensorListing:
    """List the contents of a weights file in a child process; all positions are within the file.

    Raises `error`.
    """
    found = call(listed, str(path.absolute()), name=path.name, error=error, limits=_LIMITS)
    size = path.stat().st_size
    tensors = tuple(
        Tensor(name, dtype, tuple(shape), tuple(stride), at)
        for name, dtype, shape, stride, at in found["tensors"]
    )
    for tensor in tensors:
        width = WIDTHS.get(tensor.dtype, 0)
        if (
            not width
            or min((tensor.at, *tensor.shape, *tensor.stride), default=0) < 0
            or tensor.at + tensor.reach * width > size
        ):
            raise error(f"{path.name} {_DAMAGED}.")
    return TensorListing(tensors, found["args"], tuple(found["ignored"]), found["metadata"])


def listed(path: str) -> dict[str, Any]:
    """List a file as plain values; runs in the child process."""
    name, size = Path(path).name, Path(path).stat().st_size
    with Path(path).open("rb") as file:
        head = file.read(64)
        file.seek(0)
        try:
            if head[8:9] == b"{":
                return _safetensors(file, name, size)
            payload, places = _zip(file, name, size) if head.startswith(TORCH_ZIP) else _legacy(file)
            return _described(name, payload, places)
        except GlobalRefusedError as refused:
            raise ExplorerError(
                f"{name} asks to run {refused!s:.80}, which weights do not need; nothing was run. "
                "If you trust the file, save its tensors as safetensors where you trained it."
            ) from None
        except (
            PickleError,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            EOFError,
            struct.error,
            RecursionError,
        ) as problem:
            raise ExplorerError(f"{name} {_DAMAGED}.") from problem


def _zip(file: IO[bytes], name: str, size: int) -> tuple[Any, dict[str, tuple[int, int]]]:
    """Return the pickle of a file and the position of each storage: key -> (offset, bytes)."""
    try:
        archive = zipfile.ZipFile(file)
        records = {record.filename: record for record in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise ExplorerError(
            f"{name} is truncated or damaged ({problem!s:.120}): download it again."
        ) from problem
    stored = all(record.compress_type == zipfile.ZIP_STORED for record in records.values())
    if len(records) > 2 * MAX_TENSORS or sum(record.file_size for record in records.values()) > size:
        raise ExplorerError(
            f"{name} declares more data than it contains, unlike files from torch: do not trust it."
        )
    if any(record.endswith("/constants.pkl") or "/code/" in record for record in records):
        raise ExplorerError(
            f"{name} is a TorchScript program rather than weights: save its state_dict instead."
        )
    pickles = [record for record in records if record.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ExplorerError(
            f"{name} is a zip archive but not a PyTorch file: unpack it and choose the weights inside."
        )
    folder = pickles[0].removesuffix("data.pkl")
    order = records.get(f"{folder}byteorder")
    if (
        not stored
        or (order and archive.read(order) != b"little")
        or records[pickles[0]].file_size > MAX_HEADER_BYTES
    ):
        raise PickleError
    payload = read_pickle(io.BytesIO(archive.read(pickles[0])))
    data = {
        record.removeprefix(f"{folder}data/"): info
        for record, info in records.items()
        if record.startswith(f"{folder}data/")
    }
    return payload, {key: (_first_byte(file, info), info.file_size) for key, info in data.items()}


def _first_byte(file: IO[bytes], record: zipfile.ZipInfo) -> int:
    file.seek(record.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return record.header_offset + 30 + name + extra


def _legacy(file: IO[bytes]) -> tuple[Any, dict[str, tuple[int, int]]]:
    """Do the same for the old PyTorch format: magic number, version, system, payload, keys, then each
    storage."""
    for _ in range(3):
        read_pickle(file)
    payload, keys = read_pickle(file), read_pickle(file)
    sizes = {storage.key: WIDTHS.get(storage.dtype, 0) for storage in _storages(payload)}
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        length = count * sizes.get(str(key), 1)
        if count < 0:
            raise PickleError
        places[str(key)] = (file.tell(), length)
        file.seek(length, 1)
    return payload, places


def _storages(payload: Any) -> list[Storage]:
    """Return every storage used by the tensors of a payload, visiting each container once."""
    waiting, seen, found = [payload], set[int](), list[Storage]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, TensorClaim):
            found.append(value.storage)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting += list(value.values()) if isinstance(value, dict) else list(value)
    return found


def _described(name: str, payload: Any, places: dict[str, tuple[int, int]]) -> dict[str, Any]:
    if not isinstance(payload, dict):
        kind = "tensor" if isinstance(payload, TensorClaim) else type(payload).__name__
        raise ExplorerError(f"{name} contains a {kind} rather than named tensors: save a state_dict.")
    state = next((payload[key] for key in WRAPPERS if isinstance(payload.get(key), dict)), payload)
    parts: set[str] = set()
    if state is payload and not any(isinstance(value, TensorClaim | Strange) for value in payload.values()):
        state = _of_parts(payload)
        parts = {key.partition(".")[0] for key in state}
        if not state:
            raise ExplorerError(f"{name} contains no named tensors: save the state_dict of the model.")
    arguments = next((payload[key] for key in ARGUMENTS if key in payload), None)
    others = (
        []
        if state is payload
        else [key for key, value in payload.items() if value is not state and key not in (*ARGUMENTS, *parts)]
    )
    return {
        "tensors": [_placed(name, key, value, places) for key, value in state.items()],
        "args": _plain_arguments(arguments) if isinstance(arguments, Namespace | dict) else {},
        "ignored": [str(key)[:100] for key in others[:100]],
        "metadata": {},
    }


def _of_parts(payload: dict[Any, Any]) -> dict[str, Any]:
    """The tensors of a file that keeps one state dict for each part of a network, named PART.TENSOR."""
    return {
        f"{part}.{key}": value
        for part, tensors in payload.items()
        if isinstance(tensors, dict)
        for key, value in tensors.items()
        if isinstance(value, TensorClaim)
    }


def _placed(file: str, key: Any, value: Any, places: dict[str, tuple[int, int]]) -> list[Any]:
    if not isinstance(key, str) or not isinstance(value, TensorClaim | Strange):
        raise ExplorerError(
            f"{file} contains {str(key)!r:.60}, which is not a tensor: save the state_dict of the model."
        )
    width = WIDTHS.get(value.storage.dtype, 0) if isinstance(value, TensorClaim) else 0
    if isinstance(value, Strange) or not width:
        raise ExplorerError(f"{file} stores {key:.60} in an unsupported form: save it dense and unquantised.")
    if len(value.shape) != len(value.stride):
        raise PickleError
    first, length = places[value.storage.key] if math.prod(value.shape) else (0, 0)
    tensor = Tensor(
        key, value.storage.dtype, value.shape, value.stride, first + value.offset * width if length else 0
    )
    if tensor.count and (value.offset + tensor.reach) * width > length:
        raise PickleError
    if tensor.count * width > length:
        raise ExplorerError(
            f"{file} declares the shape {value.shape} for {key:.60} but contains less data: "
            "it is damaged or malicious, so download it again."
        )
    return [key, tensor.dtype, list(tensor.shape), list(tensor.stride), tensor.at]


def _plain_arguments(arguments: dict[Any, Any]) -> dict[str, Any]:
    """Convert arguments to plain values, dropping others and deep ones.

    Raises PickleError for endless nesting.
    """
    left = MAX_ARGUMENTS

    def plain(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise PickleError
        if depth > MAX_DEPTH:
            return None
        if isinstance(value, dict):
            return {str(key)[:MAX_TEXT]: plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each, depth + 1) for each in value]
        if isinstance(value, str):
            return value[:MAX_TEXT]
        whole = isinstance(value, int) and value.bit_length() <= 64
        return value if value is None or isinstance(value, float) or whole else None

    return plain(arguments, 0)


def _safetensors(file: IO[bytes], name: str, size: int) -> dict[str, Any]:
    length = int.from_bytes(file.read(8), "little")
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise ExplorerError(
            f"{name} declares a header of {length} bytes in a file of {size}: "
            "it is damaged or malicious, so download it again."
        )
    header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata")
    tensors, behind = list[list[Any]](), 0
    for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (first, last) = entry["shape"], entry["data_offsets"]
        if entry["dtype"] not in _SAFE:
            raise ExplorerError(
                f"{name} stores {key:.60} as {entry['dtype']!s:.20}, which is not floating-point: "
                f"save the weights unquantised."
            )
        if not all(type(n) is int and 0 <= n < 2**48 for n in (*shape, first, last)) or len(shape) > 16:
            raise ValueError("sizes")
        if first != behind or last - first != math.prod(shape) * WIDTHS[_SAFE[entry["dtype"]]]:
            raise ValueError("offsets")
        behind = last
        strides = [math.prod(shape[at + 1 :]) for at in range(len(shape))]
        tensors.append([key, _SAFE[entry["dtype"]], shape, strides, 8 + length + first])
    if behind != size - 8 - length:
        raise ValueError("length")
    if not tensors:
        raise ExplorerError(f"{name} contains no named tensors: save the state_dict of the model.")
    return {
        "tensors": tensors,
        "args": {},
        "ignored": [],
        "metadata": {k: v for k, v in metadata.items() if re.fullmatch(r"[\w.-]{1,100}", k)},
    }
