"""The queue of embedding jobs: one thread per server starts the waiting ones, and owners take turns."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from core.background import launch
from core.errors import ExplorerError
from ui.shell import jobs
from ui.shell.jobs import Job

AT_ONCE = 1
TURN_S = 600.0
"""After this time a running job makes room for another owner's waiting one, and continues later."""
KEPT_DAYS = 14
EVERY_S, EXPIRE_EVERY = 1.0, 600
SERVED = "served"
"""File whose modification time is when a job of this owner was last started, or ended its turn."""
_THREAD = "job queue"
_thread_lock = threading.Lock()


def start_queue() -> None:
    """Start the thread that runs the queue, once per process."""
    with _thread_lock:
        if not any(thread.name == _THREAD for thread in threading.enumerate()):
            threading.Thread(target=_queue_loop, name=_THREAD, daemon=True).start()


def run_queue() -> None:
    """Start waiting jobs if there is capacity, and stop those that are cancelled or whose turn is over.

    Runs in one process at a time.
    """
    if not jobs.JOBS.is_dir():
        return
    with suppress(Timeout), FileLock(jobs.JOBS / "keeper.lock").acquire(timeout=0):
        every_job = jobs.all_jobs()
        running = [job for job in every_job if jobs.is_running(job)]
        for job in running:
            _end_turn(job, every_job)
            jobs.forward_stop(job)
        waiting = [job for job in _in_order(every_job) if job not in running]
        for job in waiting[: max(0, AT_ONCE - len(running))]:
            (job.folder / jobs.WAITING).unlink(missing_ok=True)
            (job.folder.parent / SERVED).touch()
            spec = (job.folder / jobs.RECORD).resolve()
            launch(job.folder, ["embed", f"--spec={spec}", "--resume", "--untrusted"])


def jobs_ahead(job: Job) -> int:
    """The number of jobs ahead of this one."""
    every_job = jobs.all_jobs()
    running = [other for other in every_job if jobs.is_running(other)]
    waiting = [other.folder for other in _in_order(every_job)]
    return len(running) + (waiting.index(job.folder) if job.folder in waiting else 0)


def delete_expired() -> None:
    """Delete jobs, uploads and tables that were unused for `KEPT_DAYS`, and folders that are then empty."""
    before = time.time() - KEPT_DAYS * 86_400
    for owner in jobs.owners():
        for job in jobs.jobs_in(owner):
            if max(job.started, (job.progress or jobs.NEVER).when) < before and job.state in (
                "finished",
                "cancelled",
                "stopped",
            ):
                jobs.remove(job)
        used = jobs.files_in_use(owner)
        for upload in owner.glob(f"{jobs.UPLOADS}/*"):
            if upload not in used and upload.stat().st_mtime < before:
                shutil.rmtree(upload, ignore_errors=True)
        for table in (*owner.glob(f"{jobs.PLACES}/*"), *owner.glob(f"{jobs.OPENED}/*")):
            if table.stat().st_mtime < before:
                shutil.rmtree(table, ignore_errors=True)
        for folder in (owner / jobs.UPLOADS, owner / jobs.PLACES, owner / jobs.OPENED):
            with suppress(OSError):
                folder.rmdir()  # only when empty
        if [file.name for file in owner.iterdir()] == [SERVED]:
            (owner / SERVED).unlink(missing_ok=True)
        with suppress(OSError):
            owner.rmdir()


def _queue_loop() -> None:
    for round_ in itertools.count():
        with suppress(OSError, ValueError, ExplorerError):
            run_queue()
            if round_ % EXPIRE_EVERY == 0:
                delete_expired()
        time.sleep(EVERY_S)


def _end_turn(job: Job, every_job: Sequence[Job]) -> None:
    """Queue a running job again if its turn is over and another owner waits."""
    owner = job.folder.parent
    over = time.time() - jobs.modified(owner / SERVED) > TURN_S and not jobs.is_waiting(job)
    if over and any(jobs.is_waiting(other) and other.folder.parent != owner for other in every_job):
        (owner / SERVED).touch()
        (job.folder / jobs.WAITING).touch()


def _in_order(every_job: Sequence[Job]) -> list[Job]:
    """The waiting jobs in the order in which they start: owners take turns, one job per owner and round.

    Within a round, the job that has waited longest comes first; the wait counts from when the job was queued
    or its owner last had one started, whichever is later.
    """
    waiting = sorted(filter(jobs.is_waiting, every_job), key=_since)
    rounds: dict[Path, int] = {}
    order: list[tuple[int, float, Job]] = []
    for job in waiting:
        owner = job.folder.parent
        rounds[owner] = rounds.get(owner, -1) + 1
        order.append((rounds[owner], max(_since(job), jobs.modified(owner / SERVED)), job))
    return [job for *_, job in sorted(order, key=lambda item: item[:2])]


def _since(job: Job) -> float:
    return jobs.modified(job.folder / jobs.WAITING)
