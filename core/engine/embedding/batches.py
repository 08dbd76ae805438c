"""Finished batches of an embedding run on disk, where they wait until a sink has stored all of a shard."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as decode
from safetensors.numpy import save as encode

SUFFIX = ".safetensors"  # 18 times faster to read than .npz
PART = ".part"
MADE_WITH = "made_with"
TORN_AFTER_S = 600
"""Age of a partial file of another machine from which its writer is taken to be dead."""


class PendingBatches:
    """A folder with one file per finished batch, written atomically; several processes may add to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Create the folder, and delete torn files: partial ones whose writer is dead.

        Only the process that holds the lock of the run calls this. Writers of other machines count as dead
        after TORN_AFTER_S, by the clock of the file system, so clocks of machines may differ.
        """
        self.path.mkdir(exist_ok=True)
        clock = self.path / f".clock.{platform.node()}.{os.getpid()}"
        clock.touch()
        now = clock.stat().st_mtime
        clock.unlink()
        for part in self.path.glob(".*"):
            if _is_torn(part, now):
                part.unlink(missing_ok=True)

    def save(
        self, index: int, arrays: dict[str, NDArray[Any]], made_with: Mapping[str, str] | None = None
    ) -> None:
        """Save a finished batch, with the environment that it was `made_with`."""
        part = self.path / f".{index:08d}.{platform.node()}.{os.getpid()}{PART}"
        part.write_bytes(encoded(arrays, made_with))
        os.replace(part, self._file(index))

    def finished(self) -> set[int]:
        """Return the numbers of the saved batches."""
        return numbers(file.name for file in self.path.glob(f"*{SUFFIX}"))

    def state(self, index: int) -> NDArray[np.uint8] | None:
        """Return the states of the windows of a batch; None, and the file is deleted, if it is unreadable."""
        try:
            with safe_open(self._file(index), framework="np") as file:
                if {"state", "vectors"} <= set(file.keys()):
                    return file.get_tensor("state")
        except (SafetensorError, OSError, ValueError):
            pass
        self.delete(range(index, index + 1))
        return None

    def made_with(self, index: int) -> dict[str, str]:
        """Return the environment that a batch was made with; empty if its file does not state one."""
        with safe_open(self._file(index), framework="np") as file:
            return json.loads((file.metadata() or {}).get(MADE_WITH, "{}"))

    def load(self, indexes: range) -> dict[str, NDArray[Any]]:
        """Read batches and concatenate their arrays in order."""
        pieces: dict[str, list[NDArray[Any]]] = {}
        for index in indexes:
            for name, array in decode(self._file(index).read_bytes()).items():
                pieces.setdefault(name, []).append(array)
        return {
            name: np.concatenate([array for array in arrays if array.size] or arrays[:1])
            for name, arrays in pieces.items()
        }

    def delete(self, indexes: range) -> None:
        """Delete batches, if they exist."""
        for index in indexes:
            self._file(index).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, index: int) -> Path:
        return self.path / file_name(index)


def encoded(arrays: dict[str, NDArray[Any]], made_with: Mapping[str, str] | None) -> bytes:
    """Return the content of a batch's file."""
    return encode(arrays, {MADE_WITH: json.dumps(dict(made_with or {}), sort_keys=True)})


def file_name(index: int) -> str:
    """Return the name of a batch's file."""
    return f"{index:08d}{SUFFIX}"


def numbers(names: Iterable[str]) -> set[int]:
    """Return the numbers of the batches among file names."""
    stems = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
    return {int(stem) for stem in stems if stem.isdecimal()}


def _is_torn(part: Path, now: float) -> bool:
    """Tell whether the process that wrote a partial file is dead."""
    host, _, process = part.name.removesuffix(PART).partition(".")[2].partition(".")[2].rpartition(".")
    if host == platform.node() and process.isdecimal():
        return int(process) == os.getpid() or not psutil.pid_exists(int(process))
    try:
        return now - part.stat().st_mtime > TORN_AFTER_S
    except FileNotFoundError:
        return False
