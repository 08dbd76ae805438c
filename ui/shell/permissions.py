"""What visitors may do: everything on the owner's own machine, only cheap actions on a server for others.

A server counts as serving others if it listens on a non-loopback address, has host names of its own (as
behind a reverse proxy), or asks for a password. `EARTH_MAE_ALLOW=train,clear-cache` allows exactly the listed
actions, on any server.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Literal

from streamlit import config

from core.errors import ExplorerError

Act = Literal["train", "clear-cache"]
ALLOW_VARIABLE = "EARTH_MAE_ALLOW"
HOSTS_VARIABLE = "EARTH_MAE_HOSTS"
PASSWORD_VARIABLE = "EARTH_MAE_PASSWORD"


class NotAllowedError(ExplorerError):
    """An action that visitors of this server may not take."""


def serves_others() -> bool:
    """Whether this server can be reached from other machines."""
    if os.environ.get(HOSTS_VARIABLE) or os.environ.get(PASSWORD_VARIABLE):
        return True
    address = config.get_option("server.address") or ""
    if address == "localhost" or address.startswith("unix://"):
        return False
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True


def may(act: Act) -> bool:
    """Whether visitors of this server may take this action."""
    allowed = os.environ.get(ALLOW_VARIABLE)
    if allowed is None:
        return not serves_others()
    return act in {word.strip() for word in allowed.split(",")}


def not_allowed(act: Act) -> str:
    """A sentence that names the forbidden action and how the owner can allow it."""
    action = {"train": "train networks", "clear-cache": "clear the caches"}[act]
    return f"Visitors of this server may not {action}: its owner can allow it with {ALLOW_VARIABLE}={act}."


def require(act: Act) -> None:
    """Raise NotAllowedError if visitors may not take this action."""
    if not may(act):
        raise NotAllowedError(not_allowed(act))
