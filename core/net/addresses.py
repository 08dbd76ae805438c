"""Checks that an address, and the connection opened to it, leads to the public internet."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .online import LOCAL_SWITCH, OnlineError


def host_of(address: str) -> str:
    """Return the host name of an address, short enough for a message."""
    return (urlsplit(address).hostname or "The server")[:80]


def require_allowed(address: str, local: bool) -> None:
    """Raise OnlineError for an invalid address, before connecting.

    `local` also allows plain http and addresses of private networks.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise OnlineError(
            f"{address[:80]!r} is not a valid address: give one that starts with https://."
        ) from error
    schemes = ("https", "http") if local else ("https",)
    if parts.scheme.lower() not in schemes or not host or not address.isprintable() or " " in address:
        raise OnlineError(f"{address.split('?')[0][:80]!r} cannot be opened: give an https:// address.")
    if parts.username is not None or parts.password is not None:
        raise OnlineError(
            "Addresses with a user name or password are not allowed: "
            "give a signed link, or download the file."
        )
    if not local and (
        host.lower() == "localhost" or host.lower().endswith(".localhost") or not is_public(host)
    ):
        raise _private(host)


def require_peer(host: str, ip: str, local: bool) -> None:
    """Raise OnlineError if the connection to `host` reached an `ip` of a private network."""
    if not local and not is_public(ip):
        raise _private(host)


def is_public(host: str) -> bool:
    """Return False for a private, loopback or link-local IP address; True for public ones and for names."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return True
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global and not found.is_multicast


def guarded_pools(check: Callable[[str, str], None]) -> dict[str, Any]:
    """Return connection pools for urllib3 that call `check(host, ip)` before they send anything."""

    def checked(connection: HTTPConnection, reached: socket.socket) -> socket.socket:
        try:
            check(connection.host, str(reached.getpeername()[0]))
        except BaseException:
            reached.close()
            raise
        return reached

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain  # pyright: ignore[reportAssignmentType]

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure  # pyright: ignore[reportAssignmentType]

    return {"http": PlainPool, "https": SecurePool}


def _private(host: str) -> OnlineError:
    return OnlineError(
        f"{host[:80]} is in a private network, where requests are not allowed: "
        f"set {LOCAL_SWITCH}=1 to allow them."
    )
