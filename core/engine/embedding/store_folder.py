"""The folder of an embedding run in object storage; the same objects under the same names as on a disk.

Only the storage counts: a folder on this machine holds copies of what is being read or written, and is
deleted at the end. A put replaces an object in one step, so there are no torn files. A lease takes the place
of the lock. The log holds starts and ends only, because objects cannot be appended to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...atlas.schema import TableInfo
from ...atlas.store.shards import MANIFEST, ShardRecord
from ...net.object_store import ObjectStore, is_address
from .batches import PendingBatches, encoded, file_name, numbers
from .folder import LOG, PENDING, PLAN, EmbeddingFolder
from .lease import Lease
from .spec import EmbeddingError, EmbeddingSpec


def folder_at(spec: EmbeddingSpec) -> EmbeddingFolder:
    """Return the output folder of a spec, on a disk or in object storage."""
    if is_address(spec.out):
        return StoreFolder(ObjectStore(spec.out, asked=spec.online))
    return EmbeddingFolder(Path(spec.out))


class StorePending(PendingBatches):
    """Finished batches in object storage, copied to `path` when they are read."""

    def __init__(self, path: Path, store: ObjectStore) -> None:
        super().__init__(path)
        self._store = store

    def open(self) -> None:
        """Create the local folder; there are no torn files to delete."""
        self.path.mkdir(exist_ok=True)

    def save(
        self, index: int, arrays: dict[str, NDArray[Any]], made_with: Mapping[str, str] | None = None
    ) -> None:
        """Save a finished batch, with the environment that it was `made_with`."""
        self._store.put(f"{PENDING}/{file_name(index)}", encoded(arrays, made_with))

    def finished(self) -> set[int]:
        """Return the numbers of the saved batches."""
        return numbers(self._store.names(PENDING))

    def state(self, index: int) -> NDArray[np.uint8] | None:
        """Return the states of the windows of a batch; None, and it is deleted, if it is unreadable."""
        with suppress(FileNotFoundError):
            self._fetch(index)
        return super().state(index)

    def load(self, indexes: range) -> dict[str, NDArray[Any]]:
        """Read batches and concatenate their arrays in order."""
        for index in indexes:
            self._fetch(index)
        return super().load(indexes)

    def delete(self, indexes: range) -> None:
        """Delete batches, if they exist."""
        super().delete(indexes)
        self._store.delete([f"{PENDING}/{file_name(index)}" for index in indexes])

    def remove(self) -> None:
        """Delete all batches."""
        super().remove()
        self._store.delete([f"{PENDING}/{name}" for name in self._store.names(PENDING)])

    def _fetch(self, index: int) -> None:
        if not self._file(index).exists():
            self._store.download(f"{PENDING}/{file_name(index)}", self._file(index))


class StoreFolder(EmbeddingFolder):
    """The state of an embedding run in object storage; `path` is the folder with copies."""

    remedy = "check the bucket"

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lease = Lease(store)
        self._copies = tempfile.TemporaryDirectory(prefix="earth-mae-")
        super().__init__(Path(self._copies.name) / store.name)
        self.path.mkdir()
        self.pending = StorePending(self.path / PENDING, store)
        self.pending.open()
        self._unreadable: dict[str, int] = {}

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the lease. Raises EmbeddingError while another run writes to the storage."""
        with self._lease.claimed():
            yield

    @property
    def is_there(self) -> bool:
        """Whether the run has a plan. Raises StoreError if the storage does not answer."""
        return self._store.exists(PLAN)

    @property
    def has_pending(self) -> bool:
        """Whether there is a place for finished batches."""
        return self.is_there

    @property
    def holds_table(self) -> bool:
        """Whether there are shards or a manifest."""
        return any(name == MANIFEST or name.endswith(".parquet") for name in self._store.names())

    @property
    def started(self) -> float:
        """When the plan was written, in seconds since the epoch."""
        modified = self._store.modified(PLAN)
        if modified is None:
            raise EmbeddingError(f"{self._store.address} has no plan: start the run again.")
        return modified.timestamp()

    @property
    def stop_requested(self) -> bool:
        """No: a run in object storage is stopped where it was started."""
        return False

    def manifest(self) -> dict[str, Any]:
        """Read the manifest; empty if there is none. Raises TableError if it is invalid."""
        self._refresh(MANIFEST)
        return super().manifest()

    def shard_records(self) -> list[ShardRecord]:
        """Return the shards that the manifest lists."""
        self._refresh(MANIFEST)
        return super().shard_records()

    def unreadable_rows(self, record: ShardRecord) -> int:
        """Count the rows of an intact shard that have no vector because their tile was unreadable."""
        return self._unreadable[record.file]

    def write_shard(self, number: int, rows: pa.Table, info: TableInfo) -> ShardRecord:
        """Write a shard. Delete its pending batches only after the manifest lists it."""
        self._lease.require()
        record = super().write_shard(number, rows, info)
        copy = self.path / record.file
        self._store.put(record.file, copy)
        copy.unlink()
        return record

    def write_manifest(self, info: TableInfo, shards: dict[str, ShardRecord], more: dict[str, Any]) -> None:
        """Write the manifest."""
        self._lease.require()
        super().write_manifest(info, shards, more)
        self._store.put(MANIFEST, (self.path / MANIFEST).read_bytes())

    def log(self, event: str, **values: Any) -> None:
        """Append an event with the wall-clock time, unless it is one batch."""
        if event != "batch":
            self._refresh(LOG)
            super().log(event, **values)
            self._store.put(LOG, (self.path / LOG).read_bytes())

    def _refresh(self, name: str) -> None:
        """Copy an object to this machine, or delete the copy if there is none."""
        try:
            self._store.download(name, self.path / name)
        except FileNotFoundError:
            (self.path / name).unlink(missing_ok=True)

    def _read(self, name: str) -> bytes:
        return self._store.get(name).data

    def _write(self, name: str, content: bytes) -> None:
        self._store.put(name, content)

    def _delete(self, name: str) -> None:
        self._store.delete([name])

    def _is_intact(self, record: ShardRecord) -> bool:
        """Compare a shard with the manifest, and count its unreadable rows while it is on this machine."""
        copy = self.path / record.file
        try:
            self._store.download(record.file, copy)
            if not super()._is_intact(record):
                return False
            self._unreadable[record.file] = super().unreadable_rows(record)
            return True
        except FileNotFoundError:
            return False
        finally:
            copy.unlink(missing_ok=True)
