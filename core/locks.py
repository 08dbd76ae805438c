"""Locks on open files that the system releases however the process ends, on Linux, macOS and Windows."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30
    """Windows locks bytes and forbids reading them: one far beyond what a lock file holds leaves its text readable."""

    def try_lock(file: IO[Any], *, shared: bool = False) -> bool:  # noqa: ARG001
        """Take the lock of an open file, until it is closed; False where another process holds it. Nobody shares a lock here."""
        place = file.tell()
        file.seek(_FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(place)
        return True

else:
    import fcntl

    def try_lock(file: IO[Any], *, shared: bool = False) -> bool:
        """Take the lock of an open file, until it is closed; False where another process holds it. Those who share do not exclude each other."""
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
