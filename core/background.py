"""Runs a verb of the command line in a background process that outlives the server.

The process inherits a locked file in its folder. The system releases the lock when the process ends, however
it ends, so a server that restarts finds the processes that still run.

A `BackgroundRun` is such a folder with what to do (request.json), how far it is (status.json), the output of
the process, and a file `stop` once somebody asked it to stop.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, TypeVar

import psutil
from filelock import FileLock

from .errors import ExplorerError
from .files import write_atomic
from .locks import try_lock
from .spec_values import read_values, spec_from_values

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = __name__.partition(".")[0]  # `core` in a checkout, `earth_mae` where the wheel is installed
OUTPUT, LOCK, STARTED = "output.txt", "process.lock", "process.txt"
REQUEST, STATUS, STOP = "request.json", "status.json", "stop"
TRIES = 40
SECONDS_BETWEEN_WRITES = 0.5


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


@dataclass(frozen=True, kw_only=True)
class BackgroundStatus:
    """How a background run ended: `problem` says why it ended early.

    `ended` stays False if the process was killed.
    """

    problem: str = ""
    ended: bool = False


Request = TypeVar("Request")
Status = TypeVar("Status", bound=BackgroundStatus)


class BackgroundRun(Generic[Request, Status]):
    """The folder of a verb that runs in the background: the process writes `status`, pages read it.

    Subclasses name the verb, which `python -m core VERB --spec request.json` runs, and the dataclasses of its
    request and status. `title` and `resuming` are words for messages.
    """

    verb: ClassVar[str]
    title: ClassVar[str]
    resuming: ClassVar[str]
    request_type: ClassVar[type[Any]]
    status_type: ClassVar[type[Any]]
    error: ClassVar[type[ExplorerError]] = BackgroundError

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = 0.0

    @property
    def exists(self) -> bool:
        """Whether a run was ever started in this folder."""
        return (self.folder / REQUEST).is_file()

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return alive(self.folder)

    @property
    def request(self) -> Request:
        """What to do. Raises `error`, which names the file and the field, for an invalid file."""
        return self.read_request(self.folder / REQUEST)

    @classmethod
    def read_request(cls, file: Path) -> Request:
        """Read a request from a JSON file. Raises `error`, which names the file and the field."""
        try:
            return spec_from_values(cls.request_type, read_values(file, cls.error), cls.error, "request")
        except ExplorerError as problem:
            raise cls.error(f"{file.name}: {problem}") from problem

    @property
    def status(self) -> Status:
        """How far it is; an empty status before the process has begun."""
        try:
            values = read_values(self.folder / STATUS, self.error)
            return spec_from_values(self.status_type, values, self.error, "status")
        except ExplorerError:
            return self.status_type()

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked it to stop."""
        return (self.folder / STOP).exists()

    @property
    def problem(self) -> str:
        """Why it ended early unasked; "" while it runs, and after its end or a stop."""
        running, status = self.running, self.status  # in this order: its last status comes before its end
        if running or status.ended or self.stop_requested:
            return status.problem
        return f"The {self.title} was interrupted: {self.resuming}"

    def start(self, request: Request) -> None:
        """Replace what the folder holds by a new run. Raises BackgroundError while one is running."""
        self._launch(json.dumps(asdict(request), indent=1).encode())  # pyright: ignore[reportArgumentType]

    def resume(self) -> None:
        """Run the same request again; finished work is kept. Raises BackgroundError while it is running."""
        self._launch((self.folder / REQUEST).read_bytes())

    def stop(self) -> None:
        """Have the process end after its current step; finished work is kept."""
        (self.folder / STOP).touch()

    def write(self, status: Status, *, now: bool = False) -> None:
        """Write the status, for the process itself: twice a second at most, at once with `now`."""
        if now or time.monotonic() - self._written > SECONDS_BETWEEN_WRITES:
            write_atomic(self.folder / STATUS, json.dumps(asdict(status)).encode())
            self._written = time.monotonic()

    def reason(self, problem: Exception) -> str:
        """Return why the process ends early, as one sentence for the status."""
        if isinstance(problem, ExplorerError):
            return str(problem)
        return (
            f"The {self.title} failed unexpectedly ({type(problem).__name__}): "
            f"{OUTPUT} in {self.folder.name} on the server has the details."
        )

    def _launch(self, request: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "starting.lock", timeout=20):
            if self.running:
                raise BackgroundError(
                    f"Another {self.title} is already running on this server: stop it, or wait for its end."
                )
            for name in (STOP, STATUS, OUTPUT):
                (self.folder / name).unlink(missing_ok=True)
            write_atomic(self.folder / REQUEST, request)
            launch(self.folder, [self.verb, f"--spec={(self.folder / REQUEST).resolve()}"])


def _take(lock: IO[str], tries: int, *, shared: bool = False) -> bool:
    for left in reversed(range(tries)):
        if try_lock(lock, shared=shared):
            return True
        if left:
            time.sleep(0.005)
    return False
