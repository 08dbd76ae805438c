"""The switch for internet access, which is off by default.

EARTH_MAE_ONLINE=1 switches it on for a server or shell, `--online` for one command. Everything that connects
checks it first (`core.net.client.Web` raises otherwise). EARTH_MAE_ONLINE_LOCAL=1 also allows plain http and
private addresses, for a catalogue in one's own network; without it, a link or catalogue cannot make the
server access internal hosts. `python -m core fetch` is an explicit command and needs no switch.
"""

from __future__ import annotations

import os

from ..errors import ExplorerError

SWITCH = "EARTH_MAE_ONLINE"
LOCAL_SWITCH = "EARTH_MAE_ONLINE_LOCAL"
HOW = f"start with {SWITCH}=1 in the environment, or add --online to a command"


class OnlineError(ExplorerError):
    """A request that is not allowed, has no response, or has an unusable one."""


def is_on(asked: bool = False) -> bool:
    """Return whether the internet may be used; `asked` switches it on for one call."""
    return asked or os.environ.get(SWITCH) == "1"


def require(asked: bool = False) -> None:
    """Raise OnlineError, with how to switch it on, while online access is off."""
    if not is_on(asked):
        raise OnlineError(
            f"This is on the internet and online access is off: {HOW}, or download the file and open that."
        )


def local_allowed() -> bool:
    """Return whether plain http and private addresses are allowed."""
    return os.environ.get(LOCAL_SWITCH) == "1"
