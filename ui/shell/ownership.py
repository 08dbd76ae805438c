"""Who started a run: on a server for others only they may stop it; on the owner's machine anybody may."""

from __future__ import annotations

import hashlib
import hmac

from ui.shell import state
from ui.shell.jobs import new_owner
from ui.shell.permissions import serves_others


def visitor() -> str:
    """A hash that identifies this browser, also after a reload; "" on a server that only its owner uses."""
    if not serves_others():
        return ""
    key = state.owner()
    if not key:
        key = new_owner()
        state.set_owner(key)
    return hashlib.sha256(key.encode()).hexdigest()


def may_control(started_by: str) -> bool:
    """Whether this visitor may stop or resume what `started_by` (a `visitor()`) started."""
    return not serves_others() or (
        bool(started_by) and hmac.compare_digest(started_by.encode(), visitor().encode())
    )
