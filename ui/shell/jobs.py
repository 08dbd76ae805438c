"""Background jobs of this server's users: imagery becoming tables. A job is a folder on disk, worked on by a process of its own.

`JOBS/<owner>/<job>/` holds job.json, the process's words and the table; `JOBS/<owner>/uploads/` what was uploaded;
`JOBS/<owner>/places/` tables of places kept one by one. The owner is an
unguessable key that stands in the user's address bar: whoever has it sees these jobs and nobody else's, and after a reload or a restart of
the server they are found again. Pages only follow the folders. A keeper thread starts those that wait, in order.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from core.engine.background import ROOT, alive, last_words, launch
from core.engine.embedding.folder import RunStatus, ask_to_stop, run_status
from core.engine.embedding.spec import EmbeddingSpec, folder_of, spec_from_values
from core.errors import ExplorerError
from core.files import write_atomic

JOBS = Path(os.environ.get("EARTH_MAE_JOBS", ROOT / "jobs"))
AT_ONCE = 1
MOST_WAITING, MOST_WAITING_EACH, MOST_EACH, MOST_OWNERS = 24, 3, 12, 200
MOST_BYTES_EACH, MOST_BYTES = 8 * 2**30, 64 * 2**30
KEPT_DAYS = 14
KEEPER_S, EXPIRE_EVERY = 1.0, 600
WORDS, WAITING, CANCELLED, TABLE, UPLOADS, PLACES = (
    "job.json",
    "waiting",
    "cancelled",
    "table",
    "uploads",
    "places",
)
SERVED = "served"
"""Its time is when a job of this owner was last started."""

State = Literal["waiting", "running", "stopping", "finished", "cancelled", "stopped"]


class JobError(ExplorerError):
    """A job that cannot be started, followed or resumed as asked."""


@dataclass(frozen=True)
class Job:
    """One job on disk: everything else about it is read from its folder when it is asked for."""

    folder: Path

    @property
    def key(self) -> str:
        """What tells this job from its owner's others."""
        return self.folder.name

    @property
    def table(self) -> Path:
        """The folder of the table, growing or finished; of several models' that which holds the folder of each."""
        return self.folder / TABLE

    @property
    def models(self) -> tuple[str, ...]:
        """The networks that look at it, each for a table of its own."""
        return tuple(self.words.get("models") or (self.spec.model,))  # pyright: ignore[reportArgumentType]

    @property
    def tables(self) -> dict[str, Path]:
        """The folders of its tables by their titles, laid as `python -m core embed` lays them."""
        if len(self.models) == 1:
            return {self.title: self.table}
        return {f"{self.title} ({Path(model).stem})": folder_of(self.table, model) for model in self.models}

    @cached_property
    def words(self) -> dict[str, object]:
        """What was said when it was started: title, settings, time."""
        return json.loads((self.folder / WORDS).read_text("utf-8"))

    @property
    def title(self) -> str:
        """What the user called it."""
        return str(self.words["title"])

    @property
    def started(self) -> float:
        """When it was asked for, in seconds since the epoch."""
        return float(self.words["time"])  # pyright: ignore[reportArgumentType]

    @cached_property
    def spec(self) -> EmbeddingSpec:
        """What it computes."""
        return spec_from_values(self.words["spec"])  # pyright: ignore[reportArgumentType]

    @property
    def standing(self) -> RunStatus | None:
        """How far it is, with all its models; None before its plan is written."""
        parts = [part for table in self.tables.values() if (part := run_status(table)) is not None]
        return _together(parts) if len(parts) == len(self.models) else None

    @property
    def state(self) -> State:
        """What it is doing."""
        cancelled = (self.folder / CANCELLED).exists()
        if alive(self.folder):
            return "stopping" if cancelled else "running"
        if (now := self.standing) is not None and now.finished:
            return "finished"
        if cancelled:
            return "cancelled"
        return "waiting" if (self.folder / WAITING).exists() else "stopped"

    @property
    def last_words(self) -> str:
        """Why it ended, where it ended early."""
        return last_words(self.folder).removeprefix("core: ")


def new_owner() -> str:
    """A key that nobody can guess."""
    return secrets.token_urlsafe(16)


def is_owner(text: str) -> bool:
    """Tell whether a text from outside has the form of a key; whether anything belongs to it is another matter."""
    return re.fullmatch(r"[A-Za-z0-9_-]{22}", text) is not None


def jobs_of(owner: str) -> tuple[Job, ...]:
    """The jobs of an owner, newest first; none for a key that was never given out."""
    return (
        tuple(sorted(_jobs(JOBS / owner), key=lambda job: job.started, reverse=True))
        if is_owner(owner)
        else ()
    )


def tables_of(owner: str) -> dict[str, Path]:
    """The finished tables of an owner, by title, and those of places kept one by one."""
    places = sorted((JOBS / owner / PLACES).glob("*/*manifest.json")) if is_owner(owner) else []
    kept = {_places_title(manifest.parent): manifest.parent for manifest in places}
    return kept | {
        title: table
        for job in jobs_of(owner)
        if job.state == "finished"
        for title, table in job.tables.items()
    }


def made_by(table: Path) -> Job | None:
    """The job that a table's folder belongs to; None for any other folder."""
    folder = next((folder.parent for folder in (table, table.parent) if folder.name == TABLE), None)
    return Job(folder) if folder is not None and (folder / WORDS).is_file() else None


def places_of(owner: str, recipe: tuple[str, str | None, str]) -> tuple[str, Path]:
    """Title and folder of an owner's table of places made with a recipe: model, hash of its weights, pooling."""
    if not is_owner(owner):
        raise JobError("Your key is no key: open the Globe page anew.")
    model, weights, pooling = recipe
    folder = (
        JOBS
        / owner
        / PLACES
        / re.sub(r"[^A-Za-z0-9_+ -]", "-", f"{model} {pooling} {(weights or 'untrained')[:8]}")
    )
    return _places_title(folder), folder


def _places_title(folder: Path) -> str:
    """By the model; where there are several of one model, by all of the recipe."""
    model = folder.name.partition(" ")[0]
    others = [other for other in folder.parent.glob(f"{model} *") if other != folder]
    return f"My places ({folder.name if others else model})"


def start(owner: str, title: str, spec: EmbeddingSpec, models: Sequence[str] = ()) -> Job:
    """Queue a job; with several `models` each writes a table of its own, from one reading. Raises JobError where `admit` does."""
    title = admit(owner, title)
    folder = JOBS / owner / secrets.token_hex(6)
    job = Job(folder)
    said = {
        "title": title,
        "time": time.time(),
        "spec": asdict(replace(spec, out=str(job.table))),
        "models": models or (spec.model,),
    }
    write_atomic(folder / WORDS, json.dumps(said, indent=1).encode())
    _queue(job)
    return job


def admit(owner: str, title: str) -> str:
    """The title under which a job may be queued now.

    Raises JobError for one that names another job of this owner, where too many wait, and where too much is kept.
    """
    title = " ".join(title.split())[:60]
    held = jobs_of(owner)
    if not is_owner(owner) or not title:
        raise JobError("A table needs a name: write one, then start again.")
    if any(title in (job.title, *job.tables) for job in held):
        raise JobError(f"You have a table called {title} already: choose another name.")
    if len(held) >= MOST_EACH:
        raise JobError(f"You keep {MOST_EACH} tables here already: delete one that you no longer need.")
    if not held and not (JOBS / owner).exists() and len(_owners()) >= MOST_OWNERS:
        raise JobError(
            "This server keeps as many people's tables as it may: try again tomorrow, or use `python -m core embed`."
        )
    _require_turn(held)
    require_room(owner)
    return title


def _require_turn(held: Sequence[Job]) -> None:
    """Raise JobError where this owner's jobs, or everybody's, fill the queue."""
    if sum(map(_waits, held)) >= MOST_WAITING_EACH:
        raise JobError(
            f"{MOST_WAITING_EACH} of your jobs wait already: start the next one when one of them is done."
        )
    if sum(map(_waits, _all())) >= MOST_WAITING:
        raise JobError("Too many jobs wait on this server already: try again when one of them is done.")


def require_room(owner: str, size_bytes: int = 0) -> None:
    """Raise JobError where an owner's folder, or those of all, would take more of the disk than they may with so many bytes more."""
    if _size_of(JOBS / owner) + size_bytes > MOST_BYTES_EACH:
        raise JobError(
            f"Your tables and uploads take the {MOST_BYTES_EACH // 2**30} GB that they may: delete a table that you no longer need."
        )
    if sum(map(_size_of, _owners())) + size_bytes > MOST_BYTES:
        raise JobError(
            "The tables of all visitors take the disk space that they may: try again tomorrow, or use `python -m core embed`."
        )


def cancel(job: Job) -> None:
    """Have a job stop after the batches in hand; what is done stays, and `resume` goes on from there."""
    (job.folder / WAITING).unlink(missing_ok=True)
    (job.folder / CANCELLED).touch()
    _press(job)


def resume(job: Job) -> None:
    """Queue a job that was cancelled or ended early; it goes on where it was. Raises JobError where too many wait."""
    if job.state in ("cancelled", "stopped"):
        _require_turn(_jobs(job.folder.parent))
        (job.folder / CANCELLED).unlink(missing_ok=True)
        _queue(job)


def remove(job: Job) -> None:
    """Delete a job and its table. Raises JobError while its process is there."""
    (job.folder / WAITING).unlink(missing_ok=True)
    if alive(job.folder):
        raise JobError("The job is still at work: cancel it first, and delete it when it has stopped.")
    needed = (*job.spec.sources, *job.models)
    laid_in = {
        Path(file).parent for file in needed if Path(file).parent.parent == job.folder.parent / UPLOADS
    }
    shutil.rmtree(job.folder, ignore_errors=True)
    for upload in laid_in - _used(job.folder.parent):
        shutil.rmtree(upload, ignore_errors=True)


def place_in_queue(job: Job) -> int:
    """How many jobs are before this one."""
    everyone = _all()
    running = [other for other in everyone if alive(other.folder)]
    before = [other.folder for other in _in_turn(everyone)]
    return len(running) + (before.index(job.folder) if job.folder in before else 0)


def keep() -> None:
    """Start the thread that tends the queue, once a process."""
    with _keeping:
        if not any(thread.name == _KEEPER for thread in threading.enumerate()):
            threading.Thread(target=_keeper, name=_KEEPER, daemon=True).start()


def tend() -> None:
    """Start jobs that wait while there is room, press those that were cancelled. One process at a time does it."""
    if not JOBS.is_dir():
        return
    with suppress(Timeout), FileLock(JOBS / "keeper.lock").acquire(timeout=0):
        everyone = _all()
        running = [job for job in everyone if alive(job.folder)]
        for job in running:
            _press(job)
        for job in _in_turn(everyone)[: max(0, AT_ONCE - len(running))]:
            (job.folder / WAITING).unlink(missing_ok=True)
            (job.folder.parent / SERVED).touch()
            launch(job.folder, ["embed", f"--spec={(job.folder / WORDS).resolve()}", "--resume"])


def forget_expired() -> None:
    """Delete what nobody came back for: jobs, uploads and tables of places whose folder was not touched for `KEPT_DAYS`, then owners with nothing left."""
    before = time.time() - KEPT_DAYS * 86_400
    for owner in _owners():
        for job in _jobs(owner):
            if max(job.started, (job.standing or _NEVER).when) < before and job.state in (
                "finished",
                "cancelled",
                "stopped",
            ):
                remove(job)
        used = _used(owner)
        for upload in owner.glob(f"{UPLOADS}/*"):
            if upload not in used and upload.stat().st_mtime < before:
                shutil.rmtree(upload, ignore_errors=True)
        for table in owner.glob(f"{PLACES}/*"):
            if table.stat().st_mtime < before:
                shutil.rmtree(table, ignore_errors=True)
        for folder in (owner / UPLOADS, owner / PLACES):
            with suppress(OSError):
                folder.rmdir()  # only when empty
        if [file.name for file in owner.iterdir()] == [SERVED]:
            (owner / SERVED).unlink(missing_ok=True)
        with suppress(OSError):
            owner.rmdir()


_KEEPER = "keeper of jobs"
_keeping = threading.Lock()


def _keeper() -> None:
    for round_ in itertools.count():
        with suppress(OSError, ValueError, ExplorerError):
            tend()
            if round_ % EXPIRE_EVERY == 0:
                forget_expired()
        time.sleep(KEEPER_S)


def _queue(job: Job) -> None:
    (job.folder / WAITING).touch()
    keep()


def _press(job: Job) -> None:
    """Ask a cancelled job's process to stop, again and again: one that is still on its way to its folder does not hear the first time."""
    for table in job.tables.values() if (job.folder / CANCELLED).exists() else ():
        if table.is_dir():
            ask_to_stop(table)


def _waits(job: Job) -> bool:
    return (job.folder / WAITING).exists()


def _in_turn(everyone: Sequence[Job]) -> list[Job]:
    """The jobs that wait, in the order in which they start: owners take turns, so that nobody waits for all jobs of another.

    Each later job of an owner waits for a round in which every other owner has one; within a round it counts since when an owner waits,
    and one that was served meanwhile waits since then.
    """
    waiting = sorted(filter(_waits, everyone), key=_since)
    rounds: dict[Path, int] = {}
    order: list[tuple[int, float, Job]] = []
    for job in waiting:
        owner = job.folder.parent
        rounds[owner] = rounds.get(owner, -1) + 1
        order.append((rounds[owner], max(_since(job), _time(owner / SERVED)), job))
    return [job for *_, job in sorted(order, key=lambda item: item[:2])]


def _since(job: Job) -> float:
    return _time(job.folder / WAITING)


def _time(file: Path) -> float:
    with suppress(FileNotFoundError):
        return file.stat().st_mtime
    return 0.0


def _size_of(folder: Path) -> int:
    """The bytes of all files in a folder; what goes meanwhile counts nothing."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            size += file.lstat().st_size
    return size


def _owners() -> list[Path]:
    return [folder for folder in JOBS.iterdir() if is_owner(folder.name)] if JOBS.is_dir() else []


def _all() -> list[Job]:
    return [job for owner in _owners() for job in _jobs(owner)]


def _used(owner: Path) -> set[Path]:
    return {Path(file).parent for job in _jobs(owner) for file in (*job.spec.sources, *job.models)}


def _jobs(owner: Path) -> list[Job]:
    return [Job(words.parent) for words in owner.glob(f"*/{WORDS}")]


def _together(parts: Sequence[RunStatus]) -> RunStatus:
    """Where a sweep of several models stands: windows counted once for each."""
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


_NEVER = RunStatus(0, 0, 0, None, None, False, 0.0)
