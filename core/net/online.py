"""The one place that decides whether this program may use the internet: off, unless a person switched it on.

On for a whole server or shell: the variable EARTH_MAE_ONLINE=1. On for one command: `--online`. Everything that dials asks here first
(`core.net.client.Web` cannot even be made otherwise). EARTH_MAE_ONLINE_LOCAL=1 also allows plain http and addresses of one's own network and
machine, for a catalogue that an institute runs itself; without it a link or a catalogue cannot make the server look around inside.
Fetching weights (`python -m core fetch`) is a command of its own, and asks for nothing but what it is told.
"""

from __future__ import annotations

import os

from ..errors import ExplorerError

SWITCH = "EARTH_MAE_ONLINE"
LOCAL_SWITCH = "EARTH_MAE_ONLINE_LOCAL"
HOW = f"start with {SWITCH}=1 in the environment, or add --online to a command"


class OnlineError(ExplorerError):
    """Something on the internet that may not be asked, does not answer, or answers with what cannot be used."""


def is_on(asked: bool = False) -> bool:
    """Tell whether the internet may be used; `asked` is what the person said for this one call."""
    return asked or os.environ.get(SWITCH) == "1"


def require(asked: bool = False) -> None:
    """Pass where the internet may be used; raises OnlineError with how to switch it on where it may not."""
    if not is_on(asked):
        raise OnlineError(
            f"That is on the internet and online access is off: {HOW}; or download the file and open that."
        )


def local_allowed() -> bool:
    """Tell whether plain http and the addresses of one's own network may be asked as well."""
    return os.environ.get(LOCAL_SWITCH) == "1"
