"""What visitors of this server may do. On the owner's own machine everything; where it serves others, what costs them nothing.

A server counts as serving others when it listens beyond this machine, when it has names of its own (a reverse proxy passes them on), or
when it asks for a password. `EARTH_MAE_ALLOW=train,clear-cache` allows what is named, and nothing else, on any server.
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
    """Something that the owner of this server does not let visitors do."""


def serves_others() -> bool:
    """Whether people on other machines can reach this server."""
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
    """Whether visitors may do this here."""
    said = os.environ.get(ALLOW_VARIABLE)
    if said is None:
        return not serves_others()
    return act in {word.strip() for word in said.split(",")}


def not_allowed(act: Act) -> str:
    """What visitors may not do, and what the owner can do about it."""
    what = {"train": "train networks", "clear-cache": "clear the caches"}[act]
    return f"Visitors of this server may not {what}: its owner can allow it with {ALLOW_VARIABLE}={act}."


def require(act: Act) -> None:
    """Raise NotAllowedError where visitors may not do this."""
    if not may(act):
        raise NotAllowedError(not_allowed(act))
