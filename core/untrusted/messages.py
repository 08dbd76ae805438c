"""Plain values over a pipe: JSON for small values and raw bytes for arrays. Nothing received is executed.

A message is a JSON text and any number of buffers, each preceded by its length in 8 bytes.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

_LENGTH = struct.Struct("<Q")
_PIECE = 2**20
MAX_TEXT_BYTES = 64 * 2**20
MAX_BUFFERS = 64


class MessageError(Exception):
    """A message that is truncated, too large or malformed."""


def send(pipe: IO[bytes], value: Any) -> None:
    """Write one value: None, bool, int, float, str, bytes, arrays, and lists, tuples and dictionaries of
    them."""
    buffers: list[memoryview] = []
    text = json.dumps(_packed(value, buffers)).encode()
    pipe.write(_LENGTH.pack(len(text)) + _LENGTH.pack(len(buffers)) + text)
    for buffer in buffers:
        pipe.write(_LENGTH.pack(buffer.nbytes))
        pipe.write(buffer)
    pipe.flush()


def receive(pipe: IO[bytes], most_bytes: int) -> Any:
    """Read one value; tuples come back as lists.

    Raises EOFError at the end, MessageError above `most_bytes`.
    """
    length, count = _number(pipe), _number(pipe)
    if length > min(most_bytes, MAX_TEXT_BYTES) or count > MAX_BUFFERS:
        raise MessageError("the answer is too large")
    text, buffers, total = _exactly(pipe, length), list[bytearray](), length
    for _ in range(count):
        size = _number(pipe)
        total += size
        if total > most_bytes:
            raise MessageError("the answer is too large")
        buffers.append(_exactly(pipe, size))
    try:
        return _unpacked(json.loads(text), buffers)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as problem:
        raise MessageError("the answer is malformed") from problem


def _packed(value: Any, buffers: list[memoryview]) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        buffers.append(memoryview(value).cast("B"))
        return {"bytes": len(buffers) - 1}
    if isinstance(value, dict):
        return {"dict": [[_packed(key, buffers), _packed(each, buffers)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(each, buffers) for each in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
        buffers.append(memoryview(value.tobytes()))
        return {"array": len(buffers) - 1, "dtype": value.dtype.str, "shape": list(value.shape)}
    return value


def _unpacked(value: Any, buffers: list[bytearray]) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, buffers) for each in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {_unpacked(key, buffers): _unpacked(each, buffers) for key, each in value["dict"]}
    if "bytes" in value:
        return bytes(buffers[value["bytes"]])
    import numpy as np

    kind = np.dtype(value["dtype"])
    if kind.kind not in "biuf":
        raise ValueError("dtype")
    return np.frombuffer(buffers[value["array"]], kind).reshape(value["shape"])


def _number(pipe: IO[bytes]) -> int:
    return _LENGTH.unpack(_exactly(pipe, _LENGTH.size))[0]


def _exactly(pipe: IO[bytes], count: int) -> bytearray:
    """Read exactly `count` bytes, allocating memory only as they arrive."""
    found = bytearray()
    while len(found) < count:
        piece = pipe.read(min(_PIECE, count - len(found)))
        if not piece:
            raise EOFError
        found += piece
    return found
