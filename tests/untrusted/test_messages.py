"""Answers of a compromised child process: nothing large is allocated, and nothing is trusted."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest

from core.untrusted.messages import MAX_BUFFERS, MessageError, receive, send

MOST = 10_000


def message(text: bytes, *buffers: bytes, length: int | None = None, count: int | None = None) -> io.BytesIO:
    head = struct.pack(
        "<QQ", len(text) if length is None else length, len(buffers) if count is None else count
    )
    return io.BytesIO(head + text + b"".join(struct.pack("<Q", len(each)) + each for each in buffers))


def packed(value: Any, *buffers: bytes) -> io.BytesIO:
    return message(json.dumps(value).encode(), *buffers)


def test_values_come_back() -> None:
    pipe = io.BytesIO()
    send(pipe, {"a": [1, None, b"xy"], "b": np.arange(6, dtype=np.int16).reshape(2, 3)})
    pipe.seek(0)
    found = receive(pipe, MOST)
    assert found["a"] == [1, None, b"xy"] and found["b"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "pipe",
    [
        message(b"[]", length=2**62),
        message(b"[" + b"0," * MOST + b"0]"),
        message(b"[]", count=2**62),
        message(b"[]", *([b""] * (MAX_BUFFERS + 1))),
        message(b"[]", *([bytes(MOST // 2)] * 3)),
        message(b"["),
        message(b"\xff\xfe"),
        message(b"[" * 5000),
        packed({"bytes": 0}),
        packed({"array": 0, "dtype": "<f4", "shape": [2]}, bytes(7)),
        packed({"array": 0, "dtype": "<f4", "shape": [3]}, bytes(8)),
        packed({"array": 0, "dtype": "|O", "shape": [1]}, bytes(8)),
        packed({"array": 0, "dtype": "<U2", "shape": [1]}, bytes(8)),
        packed({"array": 0, "dtype": "<f4"}, bytes(8)),
        packed({"array": 0, "dtype": 7, "shape": [2]}, bytes(8)),
        packed({}),
        packed({"dict": [[[1], 2]]}),
        packed({"dict": 7}),
    ],
)
def test_an_answer_that_lies_is_refused(pipe: io.BytesIO) -> None:
    with pytest.raises(MessageError):
        receive(pipe, MOST)


def test_memory_is_allocated_only_as_bytes_arrive() -> None:
    pipe = message(b"[]", count=1)
    content = pipe.getvalue() + struct.pack("<Q", 2**40) + bytes(100)
    pipe = io.BufferedReader(io.BytesIO(content))  # allocates what is asked for, as a pipe does
    tracemalloc.start()
    with pytest.raises(EOFError):
        receive(pipe, 2**50)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
