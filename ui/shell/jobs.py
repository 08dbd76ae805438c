"""Background jobs that embed imagery into tables. A job is a folder on disk and runs in its own process.

`JOBS/<owner>/<job>/` holds job.json, the output of the process and the table; `JOBS/<owner>/uploads/` the
uploads; `JOBS/<owner>/places/` the tables of places saved one at a time, `JOBS/<owner>/opened/` those opened
from files (`ui/shell/opened_tables.py`). The owner is an unguessable key
(`state.owner`): whoever has it sees these jobs and nobody else's, also after a reload or a restart of the
server. Pages only read the folders; `job_queue.py` starts the waiting jobs.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from core.background import ROOT, alive, last_words
from core.engine.embedding.folder import RunStatus, ask_to_stop, run_status
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec, folder_of
from core.errors import ExplorerError
from core.files import write_atomic
from core.spec_values import spec_from_values

JOBS = Path(os.environ.get("EARTH_MAE_JOBS", ROOT / "jobs"))
MAX_WAITING, MAX_WAITING_EACH, MAX_EACH, MAX_OWNERS = 24, 3, 12, 200
MAX_BYTES_EACH, MAX_BYTES = 8 * 2**30, 64 * 2**30
RECORD, WAITING, CANCELLED, TABLE, UPLOADS, PLACES, OPENED = (
    "job.json",
    "waiting",
    "cancelled",
    "table",
    "uploads",
    "places",
    "opened",
)

State = Literal["waiting", "running", "stopping", "finished", "cancelled", "stopped"]


class JobError(ExplorerError):
    """A job that cannot be started, followed or resumed as requested."""


@dataclass(frozen=True)
class Job:
    """One job on disk; all its properties are read from its folder on demand."""

    folder: Path

    @property
    def key(self) -> str:
        """The name of the job, unique among the jobs of its owner."""
        return self.folder.name

    @property
    def table(self) -> Path:
        """The folder of the table, finished or not; with several models, the parent of their folders."""
        return self.folder / TABLE

    @property
    def models(self) -> tuple[str, ...]:
        """The models to embed with; each writes its own table."""
        return tuple(self.record.get("models") or (self.spec.model,))  # pyright: ignore[reportArgumentType]

    @property
    def tables(self) -> dict[str, Path]:
        """The folders of its tables by title, in the layout of `python -m core embed`."""
        if len(self.models) == 1:
            return {self.title: self.table}
        return {f"{self.title} ({Path(model).stem})": folder_of(self.table, model) for model in self.models}

    @cached_property
    def record(self) -> dict[str, object]:
        """The content of job.json: title, settings, start time."""
        return json.loads((self.folder / RECORD).read_text("utf-8"))

    @property
    def title(self) -> str:
        """The title that the user gave it."""
        return str(self.record["title"])

    @property
    def started(self) -> float:
        """When it was queued, in seconds since the epoch."""
        return float(self.record["time"])  # pyright: ignore[reportArgumentType]

    @cached_property
    def spec(self) -> EmbeddingSpec:
        """What it computes."""
        return spec_from_values(EmbeddingSpec, self.record["spec"], EmbeddingError)

    @property
    def progress(self) -> RunStatus | None:
        """Progress over all its models; None before its plan is written."""
        parts = [part for table in self.tables.values() if (part := run_status(table)) is not None]
        return _combined(parts) if len(parts) == len(self.models) else None

    @property
    def state(self) -> State:
        """The current state of the job."""
        cancelled = (self.folder / CANCELLED).exists()
        if is_running(self):
            return "stopping" if cancelled else "running"
        if (now := self.progress) is not None and now.finished:
            return "finished"
        if cancelled:
            return "cancelled"
        return "waiting" if (self.folder / WAITING).exists() else "stopped"

    @property
    def last_output(self) -> str:
        """The last output of the process, which says why it stopped early."""
        return last_words(self.folder).removeprefix("core: ")


def new_owner() -> str:
    """Generate an unguessable owner key."""
    return secrets.token_urlsafe(16)


def is_owner(text: str) -> bool:
    """Tell whether untrusted text has the form of an owner key; the owner need not exist."""
    return re.fullmatch(r"[A-Za-z0-9_-]{22}", text) is not None


def jobs_of(owner: str) -> tuple[Job, ...]:
    """The jobs of an owner, newest first; none for an unknown key."""
    return (
        tuple(sorted(jobs_in(JOBS / owner), key=lambda job: job.started, reverse=True))
        if is_owner(owner)
        else ()
    )


def tables_of(owner: str) -> dict[str, Path]:
    """The finished tables of an owner by title, and the tables of places saved one at a time."""
    places = sorted((JOBS / owner / PLACES).glob("*/*manifest.json")) if is_owner(owner) else []
    saved_places = {_places_title(manifest.parent): manifest.parent for manifest in places}
    return saved_places | {
        title: table
        for job in jobs_of(owner)
        if job.state == "finished"
        for title, table in job.tables.items()
    }


def job_of_table(table: Path) -> Job | None:
    """The job that the folder of a table belongs to; None for any other folder."""
    folder = next((folder.parent for folder in (table, table.parent) if folder.name == TABLE), None)
    return Job(folder) if folder is not None and (folder / RECORD).is_file() else None


def places_of(owner: str, recipe: tuple[str, str | None, str]) -> tuple[str, Path]:
    """Title and folder of an owner's table of places for a recipe: model, hash of weights, pooling."""
    if not is_owner(owner):
        raise JobError("The owner key in the address is not valid: open the Globe page again.")
    model, weights, pooling = recipe
    folder = (
        JOBS
        / owner
        / PLACES
        / re.sub(r"[^A-Za-z0-9_+ -]", "-", f"{model} {pooling} {(weights or 'untrained')[:8]}")
    )
    return _places_title(folder), folder


def _places_title(folder: Path) -> str:
    """Name the table after its model; after the whole recipe if the model has several tables."""
    model = folder.name.partition(" ")[0]
    others = [other for other in folder.parent.glob(f"{model} *") if other != folder]
    return f"My places ({folder.name if others else model})"


def start(owner: str, title: str, spec: EmbeddingSpec, models: Sequence[str] = ()) -> Job:
    """Queue a job; several `models` read the imagery once and write one table each.

    Raises JobError like `check_new`.
    """
    title = check_new(owner, title)
    folder = JOBS / owner / secrets.token_hex(6)
    job = Job(folder)
    record = {
        "title": title,
        "time": time.time(),
        "spec": asdict(replace(spec, out=str(job.table))),
        "models": models or (spec.model,),
    }
    write_atomic(folder / RECORD, json.dumps(record, indent=1).encode())
    (job.folder / WAITING).touch()
    return job


def check_new(owner: str, title: str) -> str:
    """Return the title under which a job may be queued now.

    Raises JobError if the title is taken, too many jobs are waiting, or too much is stored.
    """
    title = " ".join(title.split())[:60]
    owned = jobs_of(owner)
    if not is_owner(owner) or not title:
        raise JobError("The table needs a name: enter one, then start again.")
    if any(title in (job.title, *job.tables) for job in owned):
        raise JobError(f"You already have a table called {title}: choose another name.")
    if len(owned) >= MAX_EACH:
        raise JobError(
            f"You already have {MAX_EACH} tables here, the maximum: delete one that you no longer need."
        )
    if not owned and not (JOBS / owner).exists() and len(owners()) >= MAX_OWNERS:
        raise JobError(
            f"This server already stores tables for {MAX_OWNERS} users, the maximum: "
            "try again tomorrow, or use `python -m core embed`."
        )
    _require_queue_space(owned)
    require_room(owner)
    return title


def _require_queue_space(owned: Sequence[Job]) -> None:
    """Raise JobError if the queue is full for this owner or for all owners together."""
    if sum(map(is_waiting, owned)) >= MAX_WAITING_EACH:
        raise JobError(
            f"You already have {MAX_WAITING_EACH} jobs waiting, the maximum: "
            "start this one when one of them has finished."
        )
    if sum(map(is_waiting, all_jobs())) >= MAX_WAITING:
        raise JobError("Too many jobs are waiting on this server: try again later.")


def require_room(owner: str, size_bytes: int = 0) -> None:
    """Raise JobError if `size_bytes` more would exceed the disk space of the owner or of all owners."""
    if _size_of(JOBS / owner) + size_bytes > MAX_BYTES_EACH:
        raise JobError(
            f"Your tables and uploads fill the {MAX_BYTES_EACH // 2**30} GB that each user has: "
            "delete a table that you no longer need."
        )
    if sum(map(_size_of, owners())) + size_bytes > MAX_BYTES:
        raise JobError(
            "The disk space for the tables of all visitors is full: "
            "try again tomorrow, or use `python -m core embed`."
        )


def cancel(job: Job) -> None:
    """Stop a job after its current batches. Finished work is kept, and `resume` continues from there."""
    (job.folder / WAITING).unlink(missing_ok=True)
    (job.folder / CANCELLED).touch()
    forward_stop(job)


def resume(job: Job) -> None:
    """Queue a job that was cancelled or stopped early; it continues. Raises JobError if the queue is full."""
    if job.state in ("cancelled", "stopped"):
        _require_queue_space(jobs_in(job.folder.parent))
        (job.folder / CANCELLED).unlink(missing_ok=True)
        (job.folder / WAITING).touch()


def remove(job: Job) -> None:
    """Delete a job, its table, and uploads that no other job uses. Raises JobError while its process runs."""
    (job.folder / WAITING).unlink(missing_ok=True)
    if is_running(job):
        raise JobError("The job is still running: cancel it, and delete it when it has stopped.")
    files = (*job.spec.sources, *job.models)
    uploads = {Path(file).parent for file in files if Path(file).parent.parent == job.folder.parent / UPLOADS}
    shutil.rmtree(job.folder, ignore_errors=True)
    for upload in uploads - files_in_use(job.folder.parent):
        shutil.rmtree(upload, ignore_errors=True)


def forward_stop(job: Job) -> None:
    """Ask the process of a cancelled or requeued job to stop; repeated, as a starting process misses it."""
    if (job.folder / CANCELLED).exists() or is_waiting(job):
        for table in job.tables.values():
            if table.is_dir():
                ask_to_stop(table)


def is_running(job: Job) -> bool:
    """Whether its process runs."""
    return alive(job.folder)


def is_waiting(job: Job) -> bool:
    """Whether it is in the queue, for its first or another turn."""
    return (job.folder / WAITING).exists()


def modified(file: Path) -> float:
    """When a file was last changed, in seconds since the epoch; 0 if there is none."""
    with suppress(FileNotFoundError):
        return file.stat().st_mtime
    return 0.0


def _size_of(folder: Path) -> int:
    """Total size of the files in a folder; files deleted during the walk are ignored."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            size += file.lstat().st_size
    return size


def owners() -> list[Path]:
    """The folders of all owners."""
    return [folder for folder in JOBS.iterdir() if is_owner(folder.name)] if JOBS.is_dir() else []


def all_jobs() -> list[Job]:
    """The jobs of all owners."""
    return [job for owner in owners() for job in jobs_in(owner)]


def files_in_use(owner: Path) -> set[Path]:
    """The folders of the uploads that the jobs in an owner's folder need."""
    return {Path(file).parent for job in jobs_in(owner) for file in (*job.spec.sources, *job.models)}


def jobs_in(owner: Path) -> list[Job]:
    """The jobs in the folder of an owner."""
    return [Job(record.parent) for record in owner.glob(f"*/{RECORD}")]


def _combined(parts: Sequence[RunStatus]) -> RunStatus:
    """Progress of a run with several models; each window counts once per model."""
    done, total, unreadable = (
        sum(getattr(part, what) for part in parts) for what in ("done", "total", "unreadable")
    )
    left = [part.seconds_left for part in parts if part.seconds_left is not None]
    rate = sum(part.rate or 0 for part in parts) or None
    return RunStatus(
        done,
        total,
        unreadable,
        rate,
        max(left, default=None),
        all(part.finished for part in parts),
        max(part.when for part in parts),
    )


NEVER = RunStatus(0, 0, 0, None, None, False, 0.0)
