"""Checkpoints with checksums, and errors of disk and memory as sentences."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ...errors import in_brief
from ...files import write_atomic
from ..batch_sizes import is_out_of_memory
from .runs import RunError, TrainingRun

_HEAD = b"earth-mae-state sha256 "
_DIGEST_CHARS = 64
_UNSEALED_HEAD = b"PK\x03\x04"
"""How checkpoints begin that were written before they carried a checksum; torch's own format."""


def sealed(content: bytes | memoryview) -> bytes:
    """A checkpoint's bytes behind a line with their SHA-256."""
    return _HEAD + hashlib.sha256(content).hexdigest().encode() + b"\n" + bytes(content)


def unsealed(content: bytes) -> bytes:
    """The bytes that `sealed` was given.

    Raises ValueError where any of them, or their checksum, has changed.
    """
    if content.startswith(_UNSEALED_HEAD):
        return content
    start = len(_HEAD) + _DIGEST_CHARS + 1
    body = content[start:]
    if content[:start] != _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise ValueError("its bytes are not those that were written, so the disk or a copy has damaged it")
    return body


def write_state(file: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint with its checksum, atomically."""
    held = io.BytesIO()
    torch.save(state, held)
    write_atomic(file, sealed(held.getbuffer()))


def read_state(file: Path) -> dict[str, Any]:
    """A checkpoint, its checksum compared, read without running any code from it. Raises RunError."""
    try:
        return torch.load(io.BytesIO(unsealed(file.read_bytes())), map_location="cpu", weights_only=True)
    except Exception as problem:  # a damaged or hostile file can fail in any way
        raise RunError(
            f"The checkpoint {file} cannot be read ({in_brief(problem)}): remove it to start again."
        ) from problem


def try_to_save(save: Callable[[], object], run: TrainingRun, *, last: bool) -> str:
    """Save; returns "", or why that failed. Raises RunError instead when it was the `last` chance."""
    try:
        save()
    except OSError as problem:
        if last:
            then = "resumes from its last checkpoint" if run.state_file.is_file() else "starts again"
            raise RunError(
                f"The last steps could not be saved in {run.folder} ({problem.strerror or problem}): "
                "free some space, then run the same command again; "
                f"the run {then}."
            ) from problem
        return problem.strerror or str(problem)
    return ""


@contextmanager
def in_sentences(folder: Path) -> Generator[None]:
    """Turn errors of disk and memory into a RunError."""
    try:
        yield
    except OSError as problem:
        raise RunError(
            f"The run's folder {folder} cannot be written or read ({problem.strerror or problem}): "
            "check its permissions and the space on the disk, "
            "or choose another folder with --run."
        ) from problem
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as problem:
        if not is_out_of_memory(problem):
            raise
        raise RunError(
            "The run does not fit into memory: lower batch, sides_px or the model's sizes."
        ) from problem
