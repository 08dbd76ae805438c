"""HTTPS requests with limits on time, size and redirects, to public addresses only.

Links and catalogues may contain any address, so every address is checked: its scheme; that it has no user
name or password; the IP address of the open connection, so that a host name cannot resolve differently
between check and use; and every redirect likewise. Only open connections are kept between requests: no
cookies, no credentials from files, no cache.
"""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, SSLError

from . import online
from .online import OnlineError

REDIRECTS = (301, 302, 303, 307, 308)
BUSY = (429, 500, 502, 503, 504)
PIECE_BYTES = 2**16
PAUSE_S = 0.4
AGENT = "earth-mae-explorer"


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a request.

    Seconds to connect, between two pieces and in total; bytes of JSON and of a preview; number of redirects.
    """

    connect_s: float = 10.0
    wait_s: float = 20.0
    whole_s: float = 120.0
    json_bytes: int = 16 * 2**20
    picture_bytes: int = 8 * 2**20
    redirects: int = 3


@dataclass(frozen=True)
class ByteRange:
    """Bytes of a file, its total size, and the ETag of its version (empty if the server sends none)."""

    data: bytes
    total: int
    tag: str


@dataclass(frozen=True)
class _Ask:
    address: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None


class RefusedError(OnlineError):
    """An HTTP error response; `status` is its code."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Web:
    """An HTTP client with limits.

    Safe to share between threads. Raises OnlineError while online access is off.
    """

    def __init__(self, asked: bool = False, limits: RequestLimits | None = None) -> None:
        online.require(asked)
        self.limits = limits or RequestLimits()
        self._local = online.local_allowed()
        self._pools: dict[str, urllib3.PoolManager] = {}

    def json(self, address: str, question: object = None) -> Any:
        """Fetch a JSON document; a `question` is sent as JSON (POST).

        Raises OnlineError, also for invalid JSON.
        """
        headers = {"Accept": "application/geo+json, application/json", "Content-Type": "application/json"}
        body = None if question is None else json.dumps(question).encode()
        answer = self._whole(
            _Ask(address, "GET" if body is None else "POST", headers, body), self.limits.json_bytes
        )
        try:
            return json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise OnlineError(
                f"{_host(address)} {_what_came(answer)} instead of JSON: check the address of the catalogue."
            ) from error

    def picture(self, address: str) -> bytes:
        """Fetch a small file, such as a preview."""
        return self._whole(_Ask(address, headers={"Accept": "image/*"}), self.limits.picture_bytes)

    def part(self, address: str, first: int, count: int) -> ByteRange:
        """Fetch `count` bytes from byte `first` (fewer at the end).

        Raises OnlineError if the server does not support range requests.
        """
        asked = f"bytes={first}-{first + count - 1}"
        with self._answer(_Ask(address, headers={"Range": asked, "Accept-Encoding": "identity"})) as answer:
            if answer.response.status != 206:
                head = answer.read(512, enough=True)
                refused = what if (what := _what_came(head)) != UNKNOWN else "does not support range requests"
                raise OnlineError(
                    f"{_host(address)} {refused}: give the address of a cloud-optimised GeoTIFF itself."
                )
            total = _total(answer.response.headers.get("Content-Range", ""), first)
            if total is None:
                raise OnlineError(
                    f"{_host(address)} returns a different part of the file than requested: "
                    "download the file and open that."
                )
            data = answer.read(count)
            if len(data) != min(count, total - first):
                raise OnlineError(
                    f"{_host(address)} closed the connection in the middle of a file: try again in a moment."
                )
            return ByteRange(data, total, answer.response.headers.get("ETag", ""))

    def _whole(self, ask: _Ask, most: int) -> bytes:
        with self._answer(ask) as answer:
            return answer.read(most)

    def _answer(self, ask: _Ask) -> _Answer:
        """Send a request, follow redirects, and retry once if the connection broke or the server was busy."""
        for hop in range(self.limits.redirects + 1):
            response = self._once(ask) if hop else self._twice(ask)
            if response.status not in REDIRECTS:
                break
            to = urljoin(ask.address, response.headers.get("Location", ""))
            response.close()
            ask = _Ask(to, ask.method, ask.headers, ask.body)
        else:
            raise OnlineError(f"{_host(ask.address)} redirects too many times: check the address.")
        if not 200 <= response.status < 300:
            response.close()
            raise RefusedError(_refusal(ask.address, response.status), response.status)
        return _Answer(ask.address, response, time.monotonic() + self.limits.whole_s)

    def _twice(self, ask: _Ask) -> urllib3.BaseHTTPResponse:
        try:
            response = self._once(ask)
            if response.status not in BUSY:
                return response
            response.close()
        except _NoAnswerError:
            pass
        time.sleep(PAUSE_S)
        return self._once(ask)

    def _once(self, ask: _Ask) -> urllib3.BaseHTTPResponse:
        self._require_allowed(ask.address)
        headers = {"User-Agent": AGENT, **ask.headers}
        try:
            return self._pool(ask.address).request(
                ask.method,
                ask.address,
                headers=headers,
                body=ask.body,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise _no_answer(ask.address, error) from error

    def _pool(self, address: str) -> urllib3.PoolManager:
        """Return connections to a server, direct or through the proxy set in the environment."""
        parts = urlsplit(address)
        proxy = (
            ""
            if urllib.request.proxy_bypass(parts.hostname or "")
            else urllib.request.getproxies().get(parts.scheme, "")
        )
        if proxy not in self._pools:
            timeout = urllib3.Timeout(connect=self.limits.connect_s, read=self.limits.wait_s)
            if proxy:
                self._pools[proxy] = urllib3.ProxyManager(proxy, timeout=timeout, maxsize=8)
            else:
                straight = urllib3.PoolManager(timeout=timeout, maxsize=8)
                straight.pool_classes_by_scheme = _guarded_pools(self._require_peer)
                self._pools[proxy] = straight
        return self._pools[proxy]

    def _require_allowed(self, address: str) -> None:
        """Raise OnlineError for an invalid address, before connecting."""
        try:
            parts = urlsplit(address)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise OnlineError(
                f"{address[:80]!r} is not a valid address: give one that starts with https://."
            ) from error
        schemes = ("https", "http") if self._local else ("https",)
        if parts.scheme.lower() not in schemes or not host or not address.isprintable() or " " in address:
            raise OnlineError(f"{address.split('?')[0][:80]!r} cannot be opened: give an https:// address.")
        if parts.username is not None or parts.password is not None:
            raise OnlineError(
                "Addresses with a user name or password are not allowed: "
                "give a signed link, or download the file."
            )
        if not self._local and (
            host.lower() == "localhost" or host.lower().endswith(".localhost") or not _is_public(host)
        ):
            raise _inside(host)

    def _require_peer(self, host: str, found: str) -> None:
        """Raise OnlineError for a connection to a private network."""
        if not self._local and not _is_public(found):
            raise _inside(host)


class _Answer:
    """A response whose body is read within limits; closed by `with`."""

    def __init__(self, address: str, response: urllib3.BaseHTTPResponse, until: float) -> None:
        self._address, self.response, self._until = address, response, until

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.response.release_conn()
        else:
            self.response.close()

    def read(self, most: int, *, enough: bool = False) -> bytes:
        """Read the body; raises OnlineError above `most` bytes, or stops there if that is `enough`."""
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := self.response.read1(PIECE_BYTES):
                pieces.append(piece)
                size += len(piece)
                if enough and size >= most:
                    self.response.close()
                    break
                if size > most:
                    raise OnlineError(
                        f"{_host(self._address)} sends more than the allowed {most / 1e6:,.1f} MB: "
                        "check the address."
                    )
                if time.monotonic() > self._until:
                    raise OnlineError(f"{_host(self._address)} is too slow: try again later.")
        except (HTTPError, OSError) as error:
            raise _no_answer(self._address, error) from error
        return b"".join(pieces)[: most if enough else None]


class _NoAnswerError(OnlineError):
    """The server was not reached, or the connection broke."""


def _guarded_pools(check: Callable[[str, str], None]) -> dict[str, Any]:
    """Return pools whose connections check the IP address that they reached before sending anything."""

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


def _is_public(host: str) -> bool:
    """Return False for a private, loopback or link-local IP address; True for public ones and for names."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return True
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global and not found.is_multicast


def _inside(host: str) -> OnlineError:
    return OnlineError(
        f"{host[:80]} is in a private network, where requests are not allowed: "
        f"set {online.LOCAL_SWITCH}=1 to allow them."
    )


def _host(address: str) -> str:
    return (urlsplit(address).hostname or "The server")[:80]


UNKNOWN = "returns something else"


def _what_came(head: bytes) -> str:
    start = head[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "returns a web page, perhaps a sign-in page,"
    return "returns XML" if start.startswith(b"<?xml") else UNKNOWN


def _total(content_range: str, first: int) -> int | None:
    """Parse "bytes FIRST-LAST/TOTAL"; None if it is invalid or another part."""
    unit, _, rest = content_range.partition(" ")
    span, _, total = rest.partition("/")
    start, _, last = span.partition("-")
    fits = (
        unit == "bytes" and start == str(first) and last.isdecimal() and total.isdecimal() and len(total) < 19
    )
    return int(total) if fits and first <= int(last) < int(total) else None


def _refusal(address: str, status: int) -> str:
    host = _host(address)
    if status in (401, 403):
        return (
            f"{host} refuses this link ({status}; it has expired or needs a signature): "
            "search the catalogue again for a new one."
        )
    if status in (404, 410):
        return f"{host} has no file at this address ({status}): check it, or search the catalogue again."
    if status in BUSY:
        return f"{host} is busy or failing ({status}): try again in a minute."
    return f"{host} refuses this request ({status}): check the address."


def _no_answer(address: str, error: Exception) -> OnlineError:
    host, cause = _host(address), getattr(error, "reason", error)
    if isinstance(error, SSLError) or isinstance(cause, SSLError):
        return OnlineError(f"{host} has an invalid certificate: check the address.")
    slow = "timed out" in str(cause).lower() or isinstance(error, TimeoutError)
    why = "does not answer in time" if slow else "cannot be reached or closed the connection"
    return _NoAnswerError(f"{host} {why}: check the address and the network, then try again.")
