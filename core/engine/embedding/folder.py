"""The folder of an embedding run: lock, plan, finished batches, shards, manifest and log.

Each batch and shard is written atomically, so the folder stays consistent however the process ends, and
nothing that is in it is embedded twice.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

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
from .batches import PendingBatches
from .environment import explained
from .spec import EmbeddingError

PLAN, LOG, LOCK, STOP, PENDING = "_plan.json", "_log.jsonl", "_sweep.lock", "_stop", "_pending"
WORKERS = "_workers.json"
"""Files beside the shards. Readers of parquet folders skip names that start with _ or a dot."""
TAIL_BYTES = 4096


class EmbeddingFolder:
    """The state of an embedding run on disk; finished batches wait in `pending`.

    `remedy` says what to do if the folder is gone.
    """

    remedy = "reconnect its disk"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = PendingBatches(path / PENDING)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Lock the folder, creating it.

        Raises EmbeddingError while another run writes to it, and if it is not writable.
        """
        with self._lock_file() as lock:
            _lock(lock, self.path.name)
            (self.path / STOP).unlink(missing_ok=True)
            yield

    def _lock_file(self) -> TextIO:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return (self.path / LOCK).open("a+")
        except OSError as error:
            if is_disk_full(error):
                raise
            if self.path.exists() and not self.path.is_dir():
                raise EmbeddingError(
                    f"{self.path.name} is a file: choose a folder for the output (--out)."
                ) from error
            raise EmbeddingError(
                f"{self.path} is not writable ({error.strerror}): choose another folder (--out)."
            ) from error

    def agree(self, plan: dict[str, Any], *, resume: bool, mix: bool = False) -> None:
        """Write the plan, or check that the saved plan is the same; with `mix`, the environment may differ.

        Raises EmbeddingError that states the difference, and without `resume` if the folder holds a run.
        """
        saved = self.saved_plan()
        if saved is None:
            if self.holds_table:
                raise EmbeddingError(
                    f"{self.path.name} holds a table that cannot be resumed: choose another folder."
                )
            self._write(PLAN, (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode())
        elif not resume:
            raise EmbeddingError(
                f"{self.path.name} already holds an embedding run: "
                "add --resume to continue it, or choose another folder."
            )
        else:
            self.require_same(plan, mix=mix)
        self.pending.open()

    def require_same(self, plan: dict[str, Any], *, mix: bool) -> None:
        """Raise EmbeddingError unless the saved plan is the same; with `mix`, its environment may differ."""
        require_same_plan(self.path.name, self.saved_plan() or {}, plan, mix=mix)

    def divide(self, workers: int | None) -> None:
        """Record among how many workers the run is divided; None: it is not."""
        if workers is None:
            self._delete(WORKERS)
        else:
            self._write(WORKERS, (json.dumps({"workers": workers}) + "\n").encode())

    def workers(self) -> int | None:
        """Return among how many workers the run is divided; None if it is not."""
        try:
            return int(json.loads(self._read(WORKERS))["workers"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddingError(
                f"{WORKERS} in {self.path.name} is damaged: start the leader again (--leader N --resume)."
            ) from error

    @property
    def is_there(self) -> bool:
        """Whether the folder exists and its disk answers."""
        try:
            return self.path.is_dir()
        except OSError:  # for instance a stale handle of a network file system
            return False

    @property
    def has_pending(self) -> bool:
        """Whether there is a place for finished batches."""
        return self.pending.path.is_dir()

    @property
    def holds_table(self) -> bool:
        """Whether there are shards or a manifest."""
        return has_manifest(self.path) or any(self.path.glob("*.parquet"))

    @property
    def batch(self) -> int | None:
        """The batch size of the saved plan, if there is one."""
        size = ((self.saved_plan() or {}).get("spec") or {}).get("batch")
        return size if isinstance(size, int) and size > 0 else None

    @property
    def is_complete(self) -> bool:
        """Whether the table is finished."""
        return bool(self.manifest().get("complete"))

    def manifest(self) -> dict[str, Any]:
        """Read the manifest; empty if there is none. Raises TableError if it is invalid."""
        return read_manifest(self.path)

    def saved_plan(self) -> dict[str, Any] | None:
        """Read the plan of the run; None if there is none. Raises EmbeddingError if it is damaged."""
        message = f"The plan of {self.path.name} is damaged: choose another folder, or delete this one."
        try:
            plan = json.loads(self._read(PLAN))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise EmbeddingError(message) from error
        if not isinstance(plan, dict) or not isinstance(plan.get("spec"), dict):
            raise EmbeddingError(message)
        return plan

    @property
    def started(self) -> float:
        """When the plan was written, in seconds since the epoch."""
        return (self.path / PLAN).stat().st_mtime

    def shards(self) -> tuple[dict[str, ShardRecord], list[str]]:
        """Return the intact shards of the manifest by name, and the names of missing or damaged ones.

        Hashes every shard, so call it once per run. Raises TableError for an invalid manifest.
        """
        records = self.shard_records()
        intact = {record.file: record for record in records if self._is_intact(record)}
        return intact, [record.file for record in records if record.file not in intact]

    def shard_records(self) -> list[ShardRecord]:
        """Return the shards that the manifest lists."""
        return shard_records(self.path)

    def unreadable_rows(self, record: ShardRecord) -> int:
        """Count the rows of an intact shard that have no vector because their tile was unreadable."""
        rows = pq.read_table(self.path / record.file, columns=["status"])
        return rows["status"].to_pylist().count("unreadable")

    def write_shard(self, number: int, rows: pa.Table, info: TableInfo) -> ShardRecord:
        """Write a shard. Delete its pending batches only after the manifest lists it."""
        return write_shard(self.path / shard_name(number), rows, info)

    def write_manifest(self, info: TableInfo, shards: dict[str, ShardRecord], more: dict[str, Any]) -> None:
        """Write the manifest."""
        write_manifest(self.path, info, [shards[name] for name in sorted(shards)], more)

    def log(self, event: str, **values: Any) -> None:
        """Append an event with the wall-clock time; no other file holds times."""
        with (self.path / LOG).open("a") as stream:
            stream.write(json.dumps({"time": time.time(), "event": event, **values}) + "\n")

    @property
    def stop_requested(self) -> bool:
        """Whether this run should stop after the batches in progress."""
        return (self.path / STOP).exists()

    def _read(self, name: str) -> bytes:
        """Read a small file. Raises FileNotFoundError."""
        return (self.path / name).read_bytes()

    def _write(self, name: str, content: bytes) -> None:
        write_atomic(self.path / name, content)

    def _delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def _is_intact(self, record: ShardRecord) -> bool:
        """Tell whether a shard has the size and hash recorded in the manifest."""
        file = self.path / record.file
        try:
            return file.stat().st_size == record.bytes and file_sha256(file) == record.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class RunStatus:
    """Status of an embedding run on disk.

    `rate` is in tiles per second; it and `seconds_left` are None until known. `when` is the time of the last
    event, in seconds since the epoch.
    """

    done: int
    total: int
    unreadable: int
    rate: float | None
    seconds_left: float | None
    finished: bool
    when: float


def run_status(folder: Path) -> RunStatus | None:
    """Read the status of the run in a folder without locking it; None before its plan is written."""
    try:
        total = int(json.loads((folder / PLAN).read_text("utf-8"))["windows"])
        events = list(_last_events(folder / LOG))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    latest = next((event for event in reversed(events) if "done" in event), {})
    done, rate = int(latest.get("done", 0)), latest.get("rate")
    finished = bool(read_manifest(folder).get("complete"))
    seconds_left = (total - done) / rate if rate and not finished else None
    when = float(events[-1]["time"]) if events else 0.0
    unreadable = int(latest.get("unreadable", 0))
    return RunStatus(total if finished else done, total, unreadable, rate, seconds_left, finished, when)


def _last_events(log: Path) -> Iterator[dict[str, Any]]:
    """Read the last events of a log; incomplete lines are skipped."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = stream.read().decode(errors="replace").splitlines()
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def ask_to_stop(folder: Path) -> None:
    """Ask the run that writes to a folder to stop; it can be resumed."""
    (folder / STOP).touch()


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error means that the disk or the quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _lock(lock: TextIO, name: str) -> None:
    """Take the lock; the system releases it however the process ends."""
    if not try_lock(lock):
        lock.seek(0)
        raise EmbeddingError(
            f"Another embedding run (process {lock.read().strip() or 'unknown'}) is writing to {name}: "
            "wait for it, stop it, or choose another folder."
        )
    lock.truncate(0)
    lock.write(f"{os.getpid()} on {platform.node()}\n")
    lock.flush()


def require_same_plan(name: str, saved: dict[str, Any], plan: dict[str, Any], *, mix: bool) -> None:
    """Raise EmbeddingError unless the plans of a run are the same; with `mix`, environments may differ."""
    if _compared(saved) != _compared(plan):
        raise EmbeddingError(
            f"{name} was started with other settings: {_difference(saved, plan)} "
            "Resume with the same settings, or choose another folder."
        )
    others = explained(saved.get("environment", {}), plan["environment"])
    if others and not mix:
        raise EmbeddingError(
            f"{name} was started elsewhere ({others}), so last digits of vectors may differ: "
            "use the same device and versions, or add --mix to allow it and record which batches differ."
        )


def _compared(plan: dict[str, Any]) -> dict[str, Any]:
    """Leave out the notes, whose wording differs between versions, and the environment."""
    return {name: value for name, value in plan.items() if name not in ("notes", "environment")}


def _difference(saved: dict[str, Any], plan: dict[str, Any]) -> str:
    """Describe what differs between two plans, the weights first."""
    was, now = saved.get("spec", {}), plan["spec"]
    if was.get("weights_sha256") != now.get("weights_sha256"):
        old, new = (spec.get("weights_sha256") or "untrained" for spec in (was, now))
        return f"the weights were {old} and are now {new}."
    changed = [
        f"{name} was {was.get(name)!r} and is now {now.get(name)!r}"
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]
    if changed:
        return f"{'; '.join(changed)}."
    if "contents_sha256" not in saved:
        return "an earlier version of this program started it without recording the content of the pictures."
    were, are = saved.get("contents"), plan["contents"]
    others = [name for name in are if isinstance(were, dict) and name in were and were[name] != are[name]]
    return f"the pictures have changed{f' ({others[0]})' if others else ''}."
