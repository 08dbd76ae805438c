"""Who started what runs on this server: only they stop it where the server serves others; on its owner's machine anybody may."""

from __future__ import annotations

import hashlib
import hmac

from ui.shell import state
from ui.shell.jobs import new_owner
from ui.shell.permissions import serves_others


def visitor() -> str:
    """A hash of what this browser is known by, the same after a reload; "" on a server that is its owner's alone."""
    if not serves_others():
        return ""
    key = state.owner()
    if not key:
        key = new_owner()
        state.own(key)
    return hashlib.sha256(key.encode()).hexdigest()


def may_control(started_by: str) -> bool:
    """Whether this visitor may stop or resume what `started_by` (a `visitor()`) started."""
    return not serves_others() or (
        bool(started_by) and hmac.compare_digest(started_by.encode(), visitor().encode())
    )
