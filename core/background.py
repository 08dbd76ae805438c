"""Runs a verb of the command line in a background process that outlives the server.

The process inherits a locked file in its folder. The system releases the lock when the process ends, however
it ends, so a server that restarts finds the processes that still run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from .errors import ExplorerError
from .locks import try_lock

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = __name__.partition(".")[0]  # `core` in a checkout, `earth_mae` where the wheel is installed
OUTPUT, LOCK, STARTED = "output.txt", "process.lock", "process.txt"
TRIES = 40


class BackgroundError(ExplorerError):
    """A process that cannot be started in this folder."""


def launch(folder: Path, arguments: Sequence[str]) -> None:
    """Start `python -m core ARGUMENTS`, with its output in the folder.

    Raises BackgroundError while another process still runs there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock, (folder / OUTPUT).open("ab") as output:
        if not _take(lock, TRIES):
            raise BackgroundError(
                f"A process is already running in {folder.name}: wait for it, or stop it first."
            )
        command = [sys.executable, "-m", PACKAGE, *arguments]
        if sys.platform == "win32":  # locks are not inherited: the process is identified by id and start time
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
            child = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, creationflags=flags
            )
            (folder / STARTED).write_text(f"{child.pid} {psutil.Process(child.pid).create_time()}")
            return
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )


def alive(folder: Path) -> bool:
    """Tell whether a process that was launched in a folder is still running."""
    if sys.platform == "win32" and (folder / STARTED).exists():
        with suppress(psutil.Error, ValueError, OSError):
            number, started = (folder / STARTED).read_text().split()
            return abs(psutil.Process(int(number)).create_time() - float(started)) < 1
        return False
    try:
        with (folder / LOCK).open() as lock:
            return not _take(lock, 1, shared=True)  # shared, so that concurrent checks do not see each other
    except FileNotFoundError:
        return False


def last_words(folder: Path) -> str:
    """Return the last line of output of a launched process, for example why it failed."""
    try:
        with (folder / OUTPUT).open("rb") as output:
            output.seek(max(0, (folder / OUTPUT).stat().st_size - 4096))
            text = output.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _take(lock: IO[str], tries: int, *, shared: bool = False) -> bool:
    for left in reversed(range(tries)):
        if try_lock(lock, shared=shared):
            return True
        if left:
            time.sleep(0.005)
    return False
