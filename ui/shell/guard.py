"""The outermost layer of the server: all requests and websockets pass it before Streamlit or our routes.

It refuses requests for a foreign host name (DNS rebinding) or from a page of another site, asks for the
password if one is set, limits how much visitors upload, drops requests to clear the caches that all visitors
share, and gives each browser the cookie that owns its background jobs.

Streamlit compares the origin of a websocket with the addresses of this machine, for which it asks an outside
service. Requests that pass this layer have the same origin, so that it need not ask; `keep_streamlit_offline`
also disables the lookup itself.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, net_util
from streamlit.proto.BackMsg_pb2 import BackMsg

from ui.shell.login import Login, is_https
from ui.shell.permissions import HOSTS_VARIABLE, PASSWORD_VARIABLE, may
from ui.shell.routes import OWNER_COOKIE
from ui.shell.upload_quota import UploadQuota

OWNER_COOKIE_S = 400 * 86_400
HEALTH = "/_stcore/health"
PLAIN = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
VIOLATION = 1008


class Guard:
    """ASGI middleware in front of everything that this server answers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Iterable[str],
        login: Login | None = None,
        quota: UploadQuota | None = None,
    ) -> None:
        self._app, self._login, self._quota = app, login, quota or UploadQuota()
        self._names = frozenset(name.strip().lower().rstrip(".") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, ask for the password, or forward the request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if problem := self._refusal(headers):
            await _refuse(scope, receive, send, *problem)
            return
        cookies = cookie_parser(headers.get("cookie", ""))
        if self._login and not self._login.holds(cookies) and not _is_health(scope):
            if scope["type"] == "http":
                await self._login.answer(scope, receive, send)
            else:
                await _refuse(scope, receive, send, 401, "Log in first.")
            return
        if scope["type"] == "websocket":
            await self._app(scope, _without_cache_clearing(receive), send)
        elif self._quota.applies_to(scope):
            await self._quota.answer(self._app, scope, receive, send)
        else:
            await self._app(
                scope, receive, send if OWNER_COOKIE in cookies else _with_owner_cookie(scope, send)
            )

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        name = hostname(hosts[0]) if len(hosts) == 1 else None
        if name is None:
            return 400, "The request names no host, or more than one."
        if not ("*" in self._names or name in self._names or is_address(name)):
            return 421, (
                f"This server does not answer to the name {name:.80}: open it by its address, "
                f"or have its owner add the name to {HOSTS_VARIABLE}."
            )
        if any(not _same_origin(origin, hosts[0]) for origin in origins):
            return (
                403,
                "This server answers to its own pages only, and the request comes from another site's.",
            )
        return None


def server_names() -> tuple[str, ...]:
    """Host names that this server answers to: loopback, its own address, and those the owner configured."""
    machine = socket.gethostname().lower()  # what the kernel calls it; no name server is asked
    short = machine.partition(".")[0]
    bound = config.get_option("server.address") or ""
    named = os.environ.get(HOSTS_VARIABLE, "").split(",")
    return tuple(
        name for name in ("localhost", machine, short, f"{short}.local", bound, *named) if name.strip()
    )


def new_login() -> Login | None:
    """The login, or None if no password is set."""
    password = os.environ.get(PASSWORD_VARIABLE, "")
    return Login(password) if password else None


def keep_streamlit_offline() -> None:
    """Disable Streamlit's lookup of this machine's addresses at 8.8.8.8 and at a web service."""
    net_util.get_internal_ip = _unknown
    net_util.get_external_ip = _unknown
    config.set_option(
        "server.allowedHosts", []
    )  # the guard checks names more strictly; Streamlit knows no IP literals


def hostname(host: str) -> str | None:
    """The host in a Host header, in lower case and without the port; None if it is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def is_address(name: str) -> bool:
    """Whether a host is an IP address, which DNS rebinding cannot redirect."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(origin: str, host: str) -> bool:
    return urlsplit(origin).netloc.lower() == host.lower() or origin in config.get_option(
        "server.corsAllowedOrigins"
    )


def _is_health(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["path"].endswith(HEALTH) and scope["method"] in ("GET", "HEAD")


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": VIOLATION, "reason": ""})
        return
    response: Response = PlainTextResponse(sentence, status, PLAIN)
    await response(scope, receive, send)


def _without_cache_clearing(receive: Receive) -> Receive:
    """Drop requests to clear the caches, which all visitors share, unless the owner allows them."""

    async def allowed() -> Message:
        while True:
            message = await receive()
            if (
                message["type"] != "websocket.receive"
                or may("clear-cache")
                or not _clears_cache(message.get("bytes") or b"")
            ):
                return message

    return allowed


def _clears_cache(data: bytes) -> bool:
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except Exception:  # protobuf's errors have no common class; Streamlit answers such a message itself
        return False
    return message.WhichOneof("type") == "clear_cache"


def _with_owner_cookie(scope: Scope, send: Send) -> Send:
    """Set the cookie with the key of a browser's background jobs when it opens a page."""

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            accept = Headers(scope=scope).get("accept", "")
            cached_page = message["status"] == 304 and "text/html" in accept
            if cached_page or headers.get("content-type", "").startswith("text/html"):
                secure = "; Secure" if is_https(scope) else ""
                key = secrets.token_urlsafe(16)
                headers.append(
                    "set-cookie",
                    f"{OWNER_COOKIE}={key}; Path=/; Max-Age={OWNER_COOKIE_S}; HttpOnly; SameSite=Lax{secure}",
                )
        await send(message)

    return send_with_cookie


def _unknown() -> None:
    return None
