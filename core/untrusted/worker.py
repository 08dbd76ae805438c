"""The child process: wait for a request, limit time and memory, run one function, answer.

The module `process` starts it as a program that calls `serve`. It imports only what a request needs, so that
the first answer about a recipe takes 0.1 s and weights do not wait for torch.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from ..errors import ExplorerError
from .messages import receive, send

try:
    import resource
except ImportError:  # Windows: only the parent limits time and memory
    resource = None

MEMORY, FAILED = "memory", "failed"
_NO_MEMORY = (
    "memoryerror",
    "out of memory",
    "allocate memory",
    "can't start new thread",
    "failed to map segment",
)
"""In the names and messages of errors after a failed allocation, in lower case."""
_GRACE_S = 2
"""Normally the parent ends a request first; these limits apply when the parent is gone."""


def serve() -> None:
    """Answer requests from standard input on standard output until the parent closes it."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Libraries may print, which must not mix with the answers.
    with open(os.devnull, "r+b") as nothing:  # noqa: PTH123
        for number in (0, 1, 2):
            os.dup2(nothing.fileno(), number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(5)  # a hostile file must not slow down the pages of others
    if resource is not None:
        for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):  # no core dumps, and no files at all
            resource.setrlimit(what, (0, 0))
    while True:
        try:
            request = receive(requests, sys.maxsize)
        except EOFError:
            return
        send(answers, _answer(request))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    module_name, _, name = request["function"].partition(":")
    try:
        # Imports come before the limits, which are for the file.
        module = importlib.import_module(module_name)
        for each in getattr(module, "IMPORTED_FIRST", ()):
            importlib.import_module(each)
        function = getattr(module, name)
        _bound(request["cpu_s"], request["wall_s"], request["memory_mb"])
        return {"result": function(*request["arguments"])}
    except ExplorerError as refusal:
        return {"refused": str(refusal)}
    except Exception as problem:  # a hostile file can raise anything
        return {"failed": MEMORY if lacks_memory(problem) else FAILED, "kind": type(problem).__name__}
    finally:
        _unbound()


def lacks_memory(problem: BaseException | None) -> bool:
    """Whether an allocation failed; libraries raise errors of their own on top of that."""
    while problem is not None:
        said = f"{type(problem).__name__}: {problem}".lower()
        if any(sign in said for sign in _NO_MEMORY):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def _bound(cpu_s: float, wall_s: float, memory_mb: int) -> None:
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + cpu_s + _GRACE_S))
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, _address_space() + memory_mb * 2**20)
    signal.setitimer(signal.ITIMER_REAL, wall_s + _GRACE_S)  # ends the process even inside a C loop


def _unbound() -> None:
    if resource is None:
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    for what in (resource.RLIMIT_CPU, resource.RLIMIT_AS):
        _limit(what, resource.getrlimit(what)[1])


def _limit(what: int, value: int) -> None:
    assert resource is not None
    hard = resource.getrlimit(what)[1]
    with suppress(ValueError, OSError):  # the system may already have set a lower limit
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
