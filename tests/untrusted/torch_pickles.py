"""Pickles of tensors, written instruction by instruction, so that each claim in them can be falsified."""

from __future__ import annotations

from collections.abc import Sequence


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def whole(value: int) -> bytes:
    size = max(1, (value.bit_length() + 8) // 8)
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def row(*values: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def storage(kind: str = "FloatStorage", key: str = "0", count: bytes = whole(4), *more: bytes) -> bytes:
    return row(text("storage"), f"ctorch\n{kind}\n".encode(), text(key), text("cpu"), count, *more) + b"Q"


def tensor(
    shape: Sequence[int] = (2, 2), stride: Sequence[int] = (2, 1), offset: int = 0, held: bytes = storage()
) -> bytes:
    sizes = [row(*map(whole, numbers)) for numbers in (shape, stride)]
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + row(held, whole(offset), *sizes, b"\x89", b"}") + b"R"


def table(**entries: bytes) -> bytes:
    """A dictionary."""
    return b"}" + b"".join(text(key) + value + b"s" for key, value in entries.items())


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."
