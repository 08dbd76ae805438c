"""Tables in object storage: downloaded once to a folder of this machine, and compared with their manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ...files import file_sha256, program_folder
from ...net.object_store import ObjectStore
from ..errors import TableError
from .shards import MANIFEST, ShardRecord, shard_records

AT_ONCE = 4


def downloaded(address: str, cache: Path | None = None) -> Path:
    """Return a folder with the table at an address, s3://BUCKET/FOLDER; only new shards are downloaded.

    `cache` holds the folders of all addresses (None: that of the program). Raises TableError if there is no
    table, if a shard is not what the manifest records, and if the disk is too small; OnlineError while online
    access is off, and StoreError.
    """
    store = ObjectStore(address)
    folder = (cache or program_folder("cache") / "tables") / _key(store.address) / store.name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as place:
        incoming = Path(place)
        try:
            store.download(MANIFEST, incoming / MANIFEST)
        except FileNotFoundError:
            raise TableError(
                f"There is no table at {store.address}: check the address, or write one with "
                f"`python -m core embed --out {store.address}`."
            ) from None
        missing = [record for record in shard_records(incoming) if not _is_here(folder, record)]
        _require_room(store, folder, sum(record.bytes for record in missing))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(partial(_fetch, store, incoming, folder), missing))
        os.replace(incoming / MANIFEST, folder / MANIFEST)
    return folder


def _key(address: str) -> str:
    """Return a folder name that differs between addresses and between servers."""
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return hashlib.sha256(f"{server} {address}".encode()).hexdigest()[:16]


def _is_here(folder: Path, record: ShardRecord) -> bool:
    file = folder / record.file
    return file.is_file() and file.stat().st_size == record.bytes and file_sha256(file) == record.sha256


def _fetch(store: ObjectStore, incoming: Path, folder: Path, record: ShardRecord) -> None:
    """Download a shard, and move it to the others if it is the one that the manifest records."""
    try:
        store.download(record.file, incoming / record.file)
    except FileNotFoundError:
        raise TableError(
            f"{record.file} is missing in {store.address}: resume the embedding run that wrote the table."
        ) from None
    if not _is_here(incoming, record):
        raise TableError(
            f"{record.file} is not the file that the manifest of {store.address} records: it is damaged, or "
            "a run is writing it now. Try again, or resume the embedding run that wrote the table."
        )
    os.replace(incoming / record.file, folder / record.file)


def _require_room(store: ObjectStore, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TableError(
            f"{needed / 1e9:.2f} GB of {store.address} are missing, and {folder} has {free / 1e9:.2f} GB "
            "left: free some space."
        )
