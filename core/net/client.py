"""The one door to the internet: https requests with limits on time, size and redirects, to public addresses only.

What comes from outside may name any address, so every one is checked: the scheme; no user name or password; the address that the name
really led to, looked at on the open connection (a name that changes its mind between check and use gains nothing); every redirect again.
Nothing is kept between requests but open connections: no cookies, no credentials from files, no cache.
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
    """Bound every request: seconds to connect, between two pieces of an answer and for all of it; bytes of JSON and of a preview; redirects."""

    connect_s: float = 10.0
    wait_s: float = 20.0
    whole_s: float = 120.0
    json_bytes: int = 16 * 2**20
    picture_bytes: int = 8 * 2**20
    redirects: int = 3


@dataclass(frozen=True)
class ByteRange:
    """Bytes of a file, how many it has in all, and the tag of its version (empty where the server gives none)."""

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
    """A server that answered, and said no; `status` is what it said."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Web:
    """Ask servers, within limits. Safe to share between threads. Cannot be made while online access is off (OnlineError)."""

    def __init__(self, asked: bool = False, limits: RequestLimits | None = None) -> None:
        online.require(asked)
        self.limits = limits or RequestLimits()
        self._local = online.local_allowed()
        self._pools: dict[str, urllib3.PoolManager] = {}

    def json(self, address: str, question: object = None) -> Any:
        """Fetch a JSON document; a `question` is sent as JSON (POST). Raises OnlineError, also for an answer that is no JSON."""
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
        """Fetch a small file such as a preview whole."""
        return self._whole(_Ask(address, headers={"Accept": "image/*"}), self.limits.picture_bytes)

    def part(self, address: str, first: int, count: int) -> ByteRange:
        """Fetch `count` bytes of a file from byte `first` on (fewer at its end); raises OnlineError where the server gives no parts."""
        asked = f"bytes={first}-{first + count - 1}"
        with self._answer(_Ask(address, headers={"Range": asked, "Accept-Encoding": "identity"})) as answer:
            if answer.response.status != 206:
                head = answer.read(512, enough=True)
                refused = (
                    what
                    if (what := _what_came(head)) != UNKNOWN
                    else "does not give parts of a file (no range requests)"
                )
                raise OnlineError(
                    f"{_host(address)} {refused}: give the address of a cloud-optimised GeoTIFF itself."
                )
            total = _total(answer.response.headers.get("Content-Range", ""), first)
            if total is None:
                raise OnlineError(
                    f"{_host(address)} answers with another part of the file than was asked for: download the file and open that."
                )
            data = answer.read(count)
            if len(data) != min(count, total - first):
                raise OnlineError(
                    f"{_host(address)} broke off in the middle of a file: try again in a moment."
                )
            return ByteRange(data, total, answer.response.headers.get("ETag", ""))

    def _whole(self, ask: _Ask, most: int) -> bytes:
        with self._answer(ask) as answer:
            return answer.read(most)

    def _answer(self, ask: _Ask) -> _Answer:
        """Ask, follow redirects, and try once more where the connection broke or the server was busy."""
        for hop in range(self.limits.redirects + 1):
            response = self._once(ask) if hop else self._twice(ask)
            if response.status not in REDIRECTS:
                break
            to = urljoin(ask.address, response.headers.get("Location", ""))
            response.close()
            ask = _Ask(to, ask.method, ask.headers, ask.body)
        else:
            raise OnlineError(
                f"{_host(ask.address)} sends us from address to address without end: check the address."
            )
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
                ask.method, ask.address, headers=headers, body=ask.body, redirect=False, retries=False, preload_content=False,
            )  # fmt: skip
        except (HTTPError, OSError, ValueError) as error:
            raise _no_answer(ask.address, error) from error

    def _pool(self, address: str) -> urllib3.PoolManager:
        """Connections to a server, straight or through the proxy that the environment names for it."""
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
        """Refuse what is wrong with an address before anything is dialled."""
        try:
            parts = urlsplit(address)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise OnlineError(
                f"{address[:80]!r} is not an internet address: give one that begins with https://."
            ) from error
        schemes = ("https", "http") if self._local else ("https",)
        if parts.scheme.lower() not in schemes or not host or not address.isprintable() or " " in address:
            raise OnlineError(f"{address.split('?')[0][:80]!r} cannot be asked: only https:// addresses are.")
        if parts.username is not None or parts.password is not None:
            raise OnlineError(
                "An address with a user name or password in it is not asked: give a signed link, or download the file."
            )
        if not self._local and (
            host.lower() == "localhost" or host.lower().endswith(".localhost") or not _is_public(host)
        ):
            raise _inside(host)

    def _require_peer(self, host: str, found: str) -> None:
        """Refuse a connection that led inside one's own network."""
        if not self._local and not _is_public(found):
            raise _inside(host)


class _Answer:
    """An answer on its way; read within limits, closed by `with`."""

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
        """Read all of an answer; one of more than `most` bytes is refused, or cut there where that is `enough`."""
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
                        f"{_host(self._address)} sends more than {most / 1e6:,.1f} MB where so much cannot be: check the address."
                    )
                if time.monotonic() > self._until:
                    raise OnlineError(
                        f"{_host(self._address)} is too slow to finish its answer in time: try again later."
                    )
        except (HTTPError, OSError) as error:
            raise _no_answer(self._address, error) from error
        return b"".join(pieces)[: most if enough else None]


class _NoAnswerError(OnlineError):
    """The server was not reached, or broke off."""


def _guarded_pools(check: Callable[[str, str], None]) -> dict[str, Any]:
    """Pools whose connections look at the address that they reached before a byte is sent."""

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
        ConnectionCls = Plain  # pyright: ignore[reportAssignmentType]  urllib3 calls its own class by a stricter protocol

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure  # pyright: ignore[reportAssignmentType]

    return {"http": PlainPool, "https": SecurePool}


def _is_public(host: str) -> bool:
    """False for a numeric address of a private network, this machine or a link; True for public ones and for names."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return True
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global and not found.is_multicast


def _inside(host: str) -> OnlineError:
    return OnlineError(
        f"{host[:80]} lies inside this machine's own network, which is not asked: set {online.LOCAL_SWITCH}=1 to allow that."
    )


def _host(address: str) -> str:
    return (urlsplit(address).hostname or "The server")[:80]


UNKNOWN = "answers with something else"


def _what_came(head: bytes) -> str:
    start = head[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "answers with a web page, perhaps one to sign in on,"
    return "answers with an XML text" if start.startswith(b"<?xml") else UNKNOWN


def _total(said: str, first: int) -> int | None:
    """Read "bytes FIRST-LAST/TOTAL"; None where it is another part or no such thing."""
    unit, _, rest = said.partition(" ")
    span, _, total = rest.partition("/")
    start, _, last = span.partition("-")
    fits = (
        unit == "bytes" and start == str(first) and last.isdecimal() and total.isdecimal() and len(total) < 19
    )
    return int(total) if fits and first <= int(last) < int(total) else None


def _refusal(address: str, status: int) -> str:
    host = _host(address)
    if status in (401, 403):
        return f"{host} no longer opens this link ({status}; it has expired or needs signing): ask the catalogue again for a fresh one."
    if status in (404, 410):
        return f"{host} has nothing at this address ({status}): check it, or ask the catalogue again."
    if status in BUSY:
        return f"{host} is busy or broken ({status}): try again in a minute."
    return f"{host} refuses this request ({status}): check the address."


def _no_answer(address: str, error: Exception) -> OnlineError:
    host, cause = _host(address), getattr(error, "reason", error)
    if isinstance(error, SSLError) or isinstance(cause, SSLError):
        return OnlineError(
            f"{host} cannot prove that it is who it says (its certificate): check the address."
        )
    slow = "timed out" in str(cause).lower() or isinstance(error, TimeoutError)
    why = "does not answer in time" if slow else "cannot be reached or broke off"
    return _NoAnswerError(f"{host} {why}: check the address and the network, then try again.")
