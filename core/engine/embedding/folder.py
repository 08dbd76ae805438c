"""The folder of a sweep: its plan, a lock, finished batches that wait for their shard, shards, manifest and a log of times.

Whatever ends the process, the folder stays whole: a batch or a shard is there or not, and what is there is never embedded again.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ...atlas.schema import TableInfo
from ...atlas.store.shards import (
    ShardRecord,
    has_manifest,
    read_manifest,
    shard_name,
    shard_records,
    write_manifest,
    write_shard,
)
from ...files import file_sha256, write_atomic
from ...locks import try_lock
from .spec import EmbeddingError

PLAN, LOG, LOCK, STOP, PENDING = "_plan.json", "_log.jsonl", "_sweep.lock", "_stop", "_pending"
"""Files beside the shards: what begins with _ or . is passed over by whoever reads a folder of parquet files as one table."""
BATCH_ENDING = ".safetensors"  # an eighteenth of the time that .npz takes to read
TAIL_BYTES = 4096


class EmbeddingFolder:
    """Keep a sweep on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = path / PENDING

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the folder for this process alone. Raises EmbeddingError while another sweep writes into it, and where nobody can write."""
        with self._opened() as lock:
            _lock(lock, self.path.name)
            (self.path / STOP).unlink(missing_ok=True)
            yield

    def _opened(self) -> TextIO:
        """Make the folder and open its lock."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return (self.path / LOCK).open("a+")
        except OSError as error:
            if ran_full(error):
                raise
            if self.path.exists() and not self.path.is_dir():
                raise EmbeddingError(
                    f"{self.path.name} is a file: give a folder for the table (--out)."
                ) from error
            raise EmbeddingError(
                f"Nothing can be written to {self.path} ({error.strerror}): give another folder for the table (--out)."
            ) from error

    def agree(self, wanted: dict[str, Any], *, resume: bool) -> None:
        """Write the plan, or check that the one that is there is the same. Raises EmbeddingError with the difference.

        Without `resume` a folder that holds a sweep already is refused.
        """
        known = self._plan()
        if known is None:
            if has_manifest(self.path) or any(self.path.glob("*.parquet")):
                raise EmbeddingError(
                    f"{self.path.name} holds a table that no sweep can go on with: choose another folder."
                )
            write_atomic(self.path / PLAN, (json.dumps(wanted, indent=1, sort_keys=True) + "\n").encode())
        elif not resume:
            raise EmbeddingError(
                f"{self.path.name} already holds a sweep: add --resume to go on with it, or choose another folder."
            )
        elif known != wanted:
            what = _difference(known, wanted)
            raise EmbeddingError(
                f"{self.path.name} began as another sweep: {what} Resume with the same settings, or choose another folder."
            )
        self.pending.mkdir(exist_ok=True)
        for torn in self.pending.glob(".*"):
            torn.unlink()

    def _plan(self) -> dict[str, Any] | None:
        sentence = f"The plan of {self.path.name} is damaged: choose another folder, or delete this one."
        try:
            found = json.loads((self.path / PLAN).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise EmbeddingError(sentence) from error
        if not isinstance(found, dict) or not isinstance(found.get("spec"), dict):
            raise EmbeddingError(sentence)
        return found

    @property
    def began(self) -> float:
        """When the plan was written, in seconds since the epoch."""
        return (self.path / PLAN).stat().st_mtime

    def shards(self) -> tuple[dict[str, ShardRecord], list[str]]:
        """Give the finished shards of the manifest that are there as they were written, and the names of those that are not.

        Reads all of every shard, so once, when a sweep starts. Raises TableError where the manifest cannot be understood.
        """
        records = shard_records(self.path)
        whole = {r.file: r for r in records if _is_whole(self.path / r.file, r)}
        return whole, [r.file for r in records if r.file not in whole]

    def finished_batches(self) -> set[int]:
        """Give the numbers of finished batches that wait for their shard."""
        return {int(file.stem) for file in self.pending.glob(f"*{BATCH_ENDING}") if file.stem.isdecimal()}

    def state_of(self, index: int) -> NDArray[np.uint8] | None:
        """Give what became of the windows of a finished batch; a file that cannot be read is dropped, so that the batch is made anew."""
        try:
            arrays = self.take_batches(range(index, index + 1))
            return (
                arrays["state"]
                if {"state", "valid", "vectors", "res"} <= arrays.keys()
                else self._dropped(index)
            )
        except (SafetensorError, OSError, ValueError):
            return self._dropped(index)

    def _dropped(self, index: int) -> None:
        self.forget_batches(range(index, index + 1))

    def keep_batch(self, index: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Put a finished batch aside in one step; a process that is killed loses nothing that was put here."""
        part = self.pending / f".{index:08d}.part"
        part.write_bytes(save(arrays))
        os.replace(part, self.pending / f"{index:08d}{BATCH_ENDING}")

    def take_batches(self, indexes: range) -> dict[str, NDArray[Any]]:
        """Give finished batches joined in order."""
        joined: dict[str, list[NDArray[Any]]] = {}
        for index in indexes:
            for name, kept in load((self.pending / f"{index:08d}{BATCH_ENDING}").read_bytes()).items():
                joined.setdefault(name, []).append(kept)
        return {
            name: np.concatenate([p for p in pieces if p.size] or pieces[:1])
            for name, pieces in joined.items()
        }

    def write_shard(self, number: int, rows: Any, info: TableInfo) -> ShardRecord:
        """Write a shard; its batches are forgotten by `forget_batches` once the manifest knows it."""
        return write_shard(self.path / shard_name(number), rows, info)

    def write_manifest(self, info: TableInfo, shards: dict[str, ShardRecord], more: dict[str, Any]) -> None:
        """Write the manifest."""
        write_manifest(self.path, info, [shards[name] for name in sorted(shards)], more)

    def forget_batches(self, indexes: range) -> None:
        """Drop batches that are in a shard."""
        for index in indexes:
            (self.pending / f"{index:08d}{BATCH_ENDING}").unlink(missing_ok=True)

    def finish(self) -> None:
        """Tidy up after the last shard."""
        shutil.rmtree(self.pending, ignore_errors=True)

    def log(self, event: str, **said: Any) -> None:
        """Append a line with the wall-clock time; the only place where times are kept."""
        with (self.path / LOG).open("a") as stream:
            stream.write(json.dumps({"time": time.time(), "event": event, **said}) + "\n")

    @property
    def asked_to_stop(self) -> bool:
        """Tell whether somebody asked this sweep to stop after the batches in hand."""
        return (self.path / STOP).exists()


@dataclass(frozen=True)
class RunStatus:
    """Where a sweep on disk stands: `done` of `total` windows, `unreadable` of them marked, tiles per second and seconds left (None until
    known), whether it is `finished`, and when something last happened (seconds since the epoch)."""

    done: int
    total: int
    unreadable: int
    rate: float | None
    seconds_left: float | None
    finished: bool
    when: float


def run_status(folder: Path) -> RunStatus | None:
    """Read where the sweep in a folder stands, without holding it up; None before its plan is written."""
    try:
        total = int(json.loads((folder / PLAN).read_text("utf-8"))["windows"])
        events = list(_last_events(folder / LOG))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = next((e for e in reversed(events) if "done" in e), {})
    done, rate = int(known.get("done", 0)), known.get("rate")
    finished = bool(read_manifest(folder).get("complete"))
    left = (total - done) / rate if rate and not finished else None
    when = float(events[-1]["time"]) if events else 0.0
    return RunStatus(
        total if finished else done, total, int(known.get("unreadable", 0)), rate, left, finished, when
    )


def _last_events(log: Path) -> Iterator[dict[str, Any]]:
    """Read the end of a log; a line that is half there is passed over."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def ask_to_stop(folder: Path) -> None:
    """Ask the sweep that writes into a folder to stop; it can be resumed."""
    (folder / STOP).touch()


def ran_full(error: BaseException) -> bool:
    """Tell whether an error means that the disk, or the quota, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _lock(lock: TextIO, name: str) -> None:
    """Take the lock, which the system releases however the process ends."""
    if not try_lock(lock):
        lock.seek(0)
        raise EmbeddingError(
            f"Another sweep (process {lock.read().strip() or 'unknown'}) is writing into {name}: wait for it, stop it, or choose another folder."
        )
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()


def _is_whole(file: Path, record: ShardRecord) -> bool:
    """Tell whether a shard holds the bytes that the manifest says."""
    try:
        return file.stat().st_size == record.bytes and file_sha256(file) == record.sha256
    except OSError:
        return False


def _difference(known: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Say in a sentence what differs between two plans, the weights first."""
    was, now = known.get("spec", {}), wanted["spec"]
    if was.get("weights_sha256") != now.get("weights_sha256"):
        return f"it was made with weights {was.get('weights_sha256') or 'untrained'}, now it would be {now.get('weights_sha256') or 'untrained'}."
    changed = [
        f"{name} was {was.get(name)!r} and is now {now.get(name)!r}"
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]
    if changed:
        return f"{'; '.join(changed)}."
    if "contents_sha256" not in known:
        return "a version of this program began it that did not note what the pictures hold."
    were, are = known.get("contents"), wanted["contents"]
    others = [name for name in are if isinstance(were, dict) and name in were and were[name] != are[name]]
    return f"the pictures have changed since{f', {others[0]} among them' if others else ''}."
