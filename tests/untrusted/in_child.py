"""Functions that tests run in a child process."""

from __future__ import annotations

import resource
import sys
import time
from types import ModuleType

from core.errors import ExplorerError

held: list[bytearray] = []


def keep(count: int) -> None:
    """Keep so many bytes after the answer, all of them in use."""
    held.append(bytearray(b"x") * count)


def keep_without_limit(count: int, seconds: float) -> None:
    """Lift the kernel's limit, which macOS and Windows do not have, and hold so many bytes for a while."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    keep(count)
    time.sleep(seconds)


def refuse(text: str) -> None:
    """Refuse with this text."""
    raise ExplorerError(text)


def fail_with_half_a_module() -> None:
    """Fail as an import does whose allocation failed: the module is there, but incomplete."""
    sys.modules["core.untrusted.text"] = ModuleType("core.untrusted.text")
    raise ImportError("failed to map segment from shared object")


def fail_as_a_library() -> None:
    """Fail as a library does whose allocation failed: with an error of its own."""
    try:
        raise MemoryError
    except MemoryError as problem:
        raise ValueError("Read failed") from problem
