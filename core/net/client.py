"""HTTPS requests with limits on time, size and redirects, to public addresses only.

Links and catalogues may contain any address, so every address is checked: its scheme; that it has no user
name or password; the IP address of the open connection, so that a host name cannot resolve differently
between check and use; and every redirect likewise (`core.net.addresses`). Only open connections are kept
between requests: no cookies, no credentials from files, no cache.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from . import online
from .addresses import guarded_pools, host_of, require_allowed, require_peer
from .failures import BUSY, ConnectionLostError, no_answer, other_part, refused, what_came
from .online import OnlineError

REDIRECTS = (301, 302, 303, 307, 308)
PIECE_BYTES = 2**16
PAUSE_S = 0.4
AGENT = "earth-mae-explorer"


@dataclass(frozen=True)
class RequestLimits:
    """Limits of a request.

    Seconds to connect, between two pieces and in total (a download has no total); bytes of JSON and of a
    preview; number of redirects.
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
                f"{host_of(address)} {what_came(answer) or 'returns something else'} instead of JSON: "
                "check the address of the catalogue."
            ) from error

    def picture(self, address: str) -> bytes:
        """Fetch a small file, such as a preview."""
        return self._whole(_Ask(address, headers={"Accept": "image/*"}), self.limits.picture_bytes)

    def part(self, address: str, first: int, count: int) -> ByteRange:
        """Fetch `count` bytes from byte `first` (fewer at the end).

        Raises OnlineError if the server does not support range requests.
        """
        headers = {"Range": f"bytes={first}-{first + count - 1}", "Accept-Encoding": "identity"}
        with self._answer(_Ask(address, headers=headers)) as answer:
            if answer.response.status != 206:
                head = answer.read(512, enough=True)
                why = what_came(head) or "does not support range requests"
                raise OnlineError(
                    f"{host_of(address)} {why}: give the address of a cloud-optimised GeoTIFF itself."
                )
            total = _total(answer.response.headers.get("Content-Range", ""), first)
            if total is None:
                raise other_part(address)
            data = answer.read(count)
            if len(data) != min(count, total - first):
                raise OnlineError(
                    f"{host_of(address)} closed the connection in the middle of a file: "
                    "try again in a moment."
                )
            return ByteRange(data, total, answer.response.headers.get("ETag", ""))

    def rest(self, address: str, first: int = 0) -> RestOfFile:
        """Open a file for download from byte `first`, or from its start if the server cannot resume.

        Use it in a `with` statement. Raises OnlineError, RefusedError with status 416 if the file has no
        byte `first`.
        """
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={first}-"} if first else {})
        return RestOfFile(self._answer(_Ask(address, headers=headers), inf), first)

    def _whole(self, ask: _Ask, most: int) -> bytes:
        with self._answer(ask) as answer:
            return answer.read(most)

    def _answer(self, ask: _Ask, whole_s: float | None = None) -> _Answer:
        """Send a request, follow redirects, and retry once if the connection broke or the server was busy."""
        for hop in range(self.limits.redirects + 1):
            response = self._once(ask) if hop else self._twice(ask)
            if response.status not in REDIRECTS:
                break
            to = urljoin(ask.address, response.headers.get("Location", ""))
            response.close()
            ask = _Ask(to, ask.method, ask.headers, ask.body)
        else:
            raise OnlineError(f"{host_of(ask.address)} redirects too many times: check the address.")
        if not 200 <= response.status < 300:
            response.close()
            raise refused(ask.address, response.status)
        limit_s = self.limits.whole_s if whole_s is None else whole_s
        return _Answer(ask.address, response, time.monotonic() + limit_s)

    def _twice(self, ask: _Ask) -> urllib3.BaseHTTPResponse:
        try:
            response = self._once(ask)
            if response.status not in BUSY:
                return response
            response.close()
        except ConnectionLostError:
            pass
        time.sleep(PAUSE_S)
        return self._once(ask)

    def _once(self, ask: _Ask) -> urllib3.BaseHTTPResponse:
        require_allowed(ask.address, self._local)
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
            raise no_answer(ask.address, error) from error

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
                direct = urllib3.PoolManager(timeout=timeout, maxsize=8)
                direct.pool_classes_by_scheme = guarded_pools(self._require_peer)
                self._pools[proxy] = direct
        return self._pools[proxy]

    def _require_peer(self, host: str, ip: str) -> None:
        require_peer(host, ip, self._local)


class _Answer:
    """A response whose body is read within limits; closed by `with`."""

    def __init__(self, address: str, response: urllib3.BaseHTTPResponse, until: float) -> None:
        self.address, self.response, self._until = address, response, until

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.response.release_conn()
        else:
            self.response.close()

    def pieces(self, decode: bool = True) -> Iterator[bytes]:
        """Yield the body in pieces as they arrive; without `decode`, as they were compressed for transfer."""
        try:
            while piece := self.response.read1(PIECE_BYTES, decode_content=decode):
                yield piece
                if time.monotonic() > self._until:
                    raise OnlineError(f"{host_of(self.address)} is too slow: try again later.")
        except (HTTPError, OSError) as error:
            raise no_answer(self.address, error) from error

    def read(self, most: int, *, enough: bool = False) -> bytes:
        """Read the body; raises OnlineError above `most` bytes, or stops there if that is `enough`."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if enough and len(body) >= most:
                self.response.close()
                break
            if len(body) > most:
                raise OnlineError(
                    f"{host_of(self.address)} sends more than the allowed {most / 1e6:,.1f} MB: "
                    "check the address."
                )
        return bytes(body[: most if enough else None])


class RestOfFile:
    """A file on a server from byte `start` to its end at `total`; closed by `with`."""

    def __init__(self, answer: _Answer, first: int) -> None:
        self._answer = answer
        headers = answer.response.headers
        length = headers.get("Content-Length", "")
        if not (length.isdecimal() and len(length) < 19):
            answer.response.close()
            raise OnlineError(f"{host_of(answer.address)} does not state the size of the file.")
        self.start = first if first and answer.response.status == 206 else 0
        if answer.response.status == 206 and _total(headers.get("Content-Range", ""), first) is None:
            answer.response.close()
            raise other_part(answer.address)
        self.total = self.start + int(length)

    def __enter__(self) -> RestOfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.response.close()

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive; raises ConnectionLostError if the connection breaks."""
        return self._answer.pieces(decode=False)


def _total(content_range: str, first: int) -> int | None:
    """Parse "bytes FIRST-LAST/TOTAL"; None if it is invalid or another part."""
    unit, _, rest = content_range.partition(" ")
    span, _, total = rest.partition("/")
    start, _, last = span.partition("-")
    fits = (
        unit == "bytes" and start == str(first) and last.isdecimal() and total.isdecimal() and len(total) < 19
    )
    return int(total) if fits and first <= int(last) < int(total) else None
