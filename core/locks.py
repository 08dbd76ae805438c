"""File locks on Linux, macOS and Windows that the system releases when the process ends."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30
    """Windows prevents reading locked bytes, so a byte far beyond the end of the file is locked."""

    def try_lock(file: IO[Any], *, shared: bool = False) -> bool:  # noqa: ARG001
        """Lock an open file until it is closed; False if another process holds the lock.

        Locks are never shared here.
        """
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
        """Lock an open file until it is closed; False if another process holds a conflicting lock."""
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
