"""Who started a run: on a server for others only they may stop it; on the owner's machine anybody may."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from core.files import write_atomic
from ui.shell import state
from ui.shell.jobs import new_owner
from ui.shell.permissions import serves_others

STARTED_BY = "started-by"
NOT_YOURS = "Only the browser that started it can stop or resume it."


def visitor() -> str:
    """A hash that identifies this browser, also after a reload; "" on a server that only its owner uses."""
    if not serves_others():
        return ""
    key = state.owner()
    if not key:
        key = new_owner()
        state.set_owner(key)
    return hashlib.sha256(key.encode()).hexdigest()


def record_starter(folder: Path) -> None:
    """Note in the folder of a run that this visitor started it."""
    write_atomic(folder / STARTED_BY, visitor().encode())


def may_control(folder: Path) -> bool:
    """Whether this visitor may stop or resume the run in a folder."""
    if not serves_others():
        return True
    try:
        started_by = (folder / STARTED_BY).read_bytes()
    except OSError:
        return False
    return bool(started_by) and hmac.compare_digest(started_by, visitor().encode())
