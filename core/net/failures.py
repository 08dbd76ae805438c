"""Sentences for requests that fail: what the server did, then what to do next."""

from __future__ import annotations

from urllib3.exceptions import SSLError

from .addresses import host_of
from .online import OnlineError

BUSY = (429, 500, 502, 503, 504)
RANGE_NOT_SATISFIABLE = 416


class RefusedError(OnlineError):
    """An HTTP error response; `status` is its code."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ConnectionLostError(OnlineError):
    """The server was not reached, or the connection broke."""


def refused(address: str, status: int) -> RefusedError:
    """Return the error for an HTTP status outside of 200 to 299."""
    host = host_of(address)
    if status in (401, 403):
        return RefusedError(
            f"{host} refuses this link ({status}; it has expired or needs a signature): "
            "search the catalogue again for a new one.",
            status,
        )
    if status in (404, 410):
        return RefusedError(
            f"{host} has no file at this address ({status}): check it, or search the catalogue again.", status
        )
    if status in BUSY:
        return RefusedError(f"{host} is busy or failing ({status}): try again in a minute.", status)
    return RefusedError(f"{host} refuses this request ({status}): check the address.", status)


def no_answer(address: str, error: Exception) -> OnlineError:
    """Return the error for a server that cannot be reached, or a connection that broke."""
    host, cause = host_of(address), getattr(error, "reason", error)
    if isinstance(error, SSLError) or isinstance(cause, SSLError):
        return OnlineError(f"{host} has an invalid certificate: check the address.")
    slow = "timed out" in str(cause).lower() or isinstance(error, TimeoutError)
    why = "does not answer in time" if slow else "cannot be reached or closed the connection"
    return ConnectionLostError(f"{host} {why}: check the address and the network, then try again.")


def other_part(address: str) -> OnlineError:
    """Return the error for a range response that is not the range asked for."""
    return OnlineError(
        f"{host_of(address)} returns a different part of the file than requested: "
        "download the file and open that."
    )


def what_came(head: bytes) -> str:
    """Say what the start of an unexpected response is; empty if it is nothing well known."""
    start = head[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "returns a web page, perhaps a sign-in page,"
    return "returns XML" if start.startswith(b"<?xml") else ""
