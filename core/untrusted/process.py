"""Run a function on an untrusted file in a child process with limits on time and memory.

    header = call(describe, str(path), name="field.tif", error=GeoError)

A small pool of child processes is kept; one that was killed, crashed, grew or reported an unexpected error is
replaced, and one that nobody needs is ended after a while. On Linux the kernel enforces the limits
(RLIMIT_AS, RLIMIT_CPU, an alarm) even when the server is gone. On every system, the calling process also
measures time and memory of the child and kills it. On macOS and Windows that is the only limit on memory, so
a child may exceed it for a moment.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from ..errors import ExplorerError
from .messages import MessageError, receive, send
from .slots import Slots
from .worker import MEMORY

ROOT = Path(__file__).resolve().parents[2]
MOST_AT_ONCE = 3
WAIT_S = 60.0
EVERY_S = 0.02
KEPT_MB = 400
"""A child process that uses more after its answer is replaced."""
UNUSED_S = 60.0
"""A child process that was idle for so long is ended, and its memory returned."""
_ENDED_BY_TIME = {-getattr(signal, name) for name in ("SIGALRM", "SIGXCPU") if hasattr(signal, name)}
"""Exit codes of a child process that the kernel ended before `_Watch` did."""
_START = "import sys; sys.path.append({root!r}); from {package}.worker import serve; serve()"


@dataclass(frozen=True)
class Limits:
    """Limits of a call: CPU seconds, seconds, MB of memory above an idle child process, MB of the answer."""

    cpu_s: float = 10.0
    wall_s: float = 60.0
    memory_mb: int = 1536
    answer_mb: int = 1024


def call(
    function: Callable[..., Any],
    *arguments: Any,
    name: str,
    error: type[ExplorerError],
    exceeded: type[ExplorerError] | None = None,
    limits: Limits = Limits(),
) -> Any:
    """Return the result of a module-level function, computed in a child process.

    `name` is the name of the file in error messages. Arguments and result may be None, bool, int, float, str,
    bytes, arrays, and lists and dictionaries of them. Raises `error` with the message of the function if it
    rejects the file; `exceeded` (None: `error` too) if the file exceeds a limit or crashes the child
    process.
    """
    with _pool.lent(name, error) as child:
        return child.answer(function, arguments, name, error, limits, exceeded)


def share_among(asker: Callable[[], Hashable]) -> None:
    """Share the child processes fairly among those who ask: `asker` names the caller, in the calling thread.

    None stands for nobody in particular.
    """
    _pool.asker = asker


class _Child:
    """A child process, used by one thread at a time."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START.format(root=str(ROOT), package=__package__)], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.measured = psutil.Process(self.process.pid)
        self.idle_since = 0.0

    def answer(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        name: str,
        error: type[ExplorerError],
        limits: Limits,
        exceeded: type[ExplorerError] | None = None,
    ) -> Any:
        exceeded = exceeded or error
        assert self.process.stdin and self.process.stdout
        request = {
            "function": f"{function.__module__}:{function.__qualname__}",
            "arguments": arguments,
            **vars(limits),
        }
        with _Watch(self, limits) as watch:
            try:
                send(self.process.stdin, request)
                answer = receive(self.process.stdout, limits.answer_mb * 2**20)
            except MessageError:
                self.end()
                raise exceeded(_sentence(name, "memory", limits)) from None
            except (OSError, EOFError):
                self.end()
                by_time = self.process.returncode in _ENDED_BY_TIME
                reason = watch.exceeded or ("time" if by_time else "crash")
                raise exceeded(_sentence(name, reason, limits)) from None
        if "refused" in answer:
            raise error(str(answer["refused"])[:2000])
        if "failed" in answer:
            self.end()  # a library whose import or allocation failed may fail on every later file
            raise exceeded(_sentence(name, "memory" if answer["failed"] == MEMORY else "error", limits))
        return answer["result"]

    def fit(self) -> bool:
        """Whether the child process is running and as small as a new one."""
        with suppress(psutil.Error):
            return self.process.poll() is None and self.measured.memory_info().rss < KEPT_MB * 2**20
        return False

    def end(self) -> None:
        """Kill the child process and wait for its end."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                assert pipe
                pipe.close()
        self.process.wait()


class _Watch:
    """Kills a child process that exceeds its limits or whose server is shutting down.

    `exceeded` names the limit.
    """

    def __init__(self, child: _Child, limits: Limits) -> None:
        self.exceeded = ""
        self._child, self._limits = child, limits
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch of an opening file", daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _run(self) -> None:
        started = time.monotonic()
        with suppress(psutil.Error):
            measured = self._child.measured
            cpu, memory = _cpu_s(measured), measured.memory_info().rss
            while not self._over.wait(EVERY_S) and not self.exceeded:
                if (
                    _cpu_s(measured) - cpu > self._limits.cpu_s
                    or time.monotonic() - started > self._limits.wall_s
                ):
                    self.exceeded = "time"
                elif measured.memory_info().rss - memory > self._limits.memory_mb * 2**20:
                    self.exceeded = "memory"
                elif not threading.main_thread().is_alive():
                    self.exceeded = "end"
        if self.exceeded:
            self._child.process.kill()


class _Pool:
    """Idle child processes, and the slots of callers that use or wait for one."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self.asker: Callable[[], Hashable] = lambda: None
        self.forget()

    @contextmanager
    def lent(self, name: str, error: type[ExplorerError]) -> Generator[_Child]:
        slots, asker = self._slots, self.asker()
        if not slots.acquire(asker, WAIT_S):
            raise error(
                f"'{name}' was not opened because this server is busy opening other files: "
                "try again in a minute."
            )
        try:
            child = self._idle_one() or _Child()
            try:
                yield child
            finally:
                self._take_back(child)
        except OSError as problem:
            raise error(
                f"'{name}' was not opened because no process could be started ({problem.strerror}): "
                "try again later."
            ) from None
        finally:
            slots.release(asker)

    def forget(self) -> None:
        """Forget all child processes, which belong to the parent after a fork."""
        self._slots = Slots(self._most)
        self._idle: list[_Child] = []
        self._cleaner: threading.Thread | None = None

    def close(self) -> None:
        """Stop every idle child process."""
        while (child := self._idle_one()) is not None:
            child.end()

    def _idle_one(self) -> _Child | None:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.fit():
                    return child
                child.end()
        return None

    def _take_back(self, child: _Child) -> None:
        if not child.fit():
            child.end()
            return
        child.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(child)
            if self._cleaner is None:
                self._cleaner = threading.Thread(
                    target=self._end_unused, name="end of unused processes", daemon=True
                )
                self._cleaner.start()

    def _end_unused(self) -> None:
        """End child processes that stay idle, until there are none."""
        while True:
            time.sleep(UNUSED_S)
            with self._lock:
                in_use_until = time.monotonic() - UNUSED_S
                unused = [child for child in self._idle if child.idle_since <= in_use_until]
                self._idle = [child for child in self._idle if child not in unused]
                is_done = not self._idle
                if is_done:
                    self._cleaner = None
            for child in unused:
                child.end()
            if is_done:
                return


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


def _sentence(name: str, reason: str, limits: Limits) -> str:
    if reason == "end":
        return f"'{name}' was not opened because this server is shutting down: try again when it is back."
    memory = f"takes more than {limits.memory_mb:,} MB of memory to open"
    fails = "makes the program that reads it fail"
    # C and C++ libraries also crash where an allocation fails, so a crash has two possible causes.
    does = {
        "time": "takes too long to open",
        "memory": memory,
        "crash": f"{memory} or {fails}",
        "error": fails,
    }[reason]
    return f"'{name}' {does}: it is damaged or malicious. Export it again, or choose another file."


_pool = _Pool(MOST_AT_ONCE)
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)
