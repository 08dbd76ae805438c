"""Adds a few rows at a time to the user's own table, atomically and without disturbing readers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from ..errors import TableError
from ..schema import TableInfo
from .integrity import require_all_recorded
from .shards import MANIFEST, read_manifest, shard_name, shard_records, write_manifest, write_shard

FULL_ROWS = 4096
WAIT_S = 10.0
RECIPE = ("model", "weights_sha256", "pooling", "dimensions")


def append_rows(folder: Path, rows: pa.Table, info: TableInfo) -> int:
    """Add rows from `make_rows` to the table in a folder, created if necessary; returns how many were new.

    Rows whose `unique_id` exists already are skipped. Rows join the last shard, rewritten under a new name,
    until it holds 4,096; then the manifest is replaced atomically. The old file is deleted by the next call,
    so that open readers are not disturbed. Raises TableError for a table of an embedding run or of another
    model, and while another process adds rows; raises OSError if the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".append.lock", timeout=WAIT_S):
            return _append(folder, rows, info)
    except Timeout as error:
        raise TableError(
            f"{folder.name} is being written to by another process: try again in a moment."
        ) from error


def _append(folder: Path, rows: pa.Table, info: TableInfo) -> int:
    manifest = read_manifest(folder)
    _require_same(folder, manifest, info)
    shards = shard_records(folder)
    require_all_recorded([(folder / shard.file, shard.sha256) for shard in shards])
    known = {
        name
        for shard in shards
        for name in pq.read_table(folder / shard.file, columns=["unique_id"])["unique_id"].to_pylist()
    }
    new = [row for row, name in enumerate(rows["unique_id"].to_pylist()) if name not in known]
    if not new:
        return 0
    rows = rows.take(pa.array(new))
    number = 1 + max((int(Path(shard.file).stem.rpartition("-")[2]) for shard in shards), default=-1)
    before = {shard.file for shard in shards}
    if shards and shards[-1].rows + rows.num_rows <= FULL_ROWS:
        last = pq.read_table(folder / shards.pop().file)
        rows = pa.concat_tables([last.select(rows.column_names).cast(rows.schema), rows])
    shards.append(write_shard(folder / shard_name(number), rows, info))
    write_manifest(folder, info, shards, {"appended": True})
    for file in folder.glob("part-*.parquet"):
        if file.name not in before and file.name != shards[-1].file:
            file.unlink(missing_ok=True)
    return len(new)


def _require_same(folder: Path, manifest: dict[str, object], info: TableInfo) -> None:
    if not manifest:
        if any(folder.glob("*.parquet")):
            raise TableError(
                f"{folder.name} holds Parquet files without a manifest ({MANIFEST}): "
                "choose an empty folder for your places."
            )
        return
    if not manifest.get("appended"):
        raise TableError(
            f"{folder.name} holds the table of an embedding run: choose another folder for your places."
        )
    was, now = manifest.get("emb"), asdict(info)
    differs = [name for name in RECIPE if not isinstance(was, dict) or was.get(name) != now[name]]
    if differs:
        raise TableError(
            f"{folder.name} was made with another {differs[0]}, so the vectors cannot be compared: "
            "choose another folder for these."
        )
