"""The guard: only its own host names and pages reach the server, after login if a password is set."""

from __future__ import annotations

import re
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit import config, net_util
from streamlit.proto.BackMsg_pb2 import BackMsg

from core.errors import ExplorerError
from ui.shell import guard, login, permissions, upload_quota
from ui.shell.guard import Guard, hostname
from ui.shell.login import Login
from ui.shell.session_store import SessionStore
from ui.shell.upload_quota import UploadQuota

PASSWORD = "correct horse ü"
HOST = "127.0.0.1:8501"
UPLOAD = "/_stcore/upload_file/{}/{}"


def inner(held: dict[str, dict[str, Any]]) -> Starlette:
    """A stand-in for Streamlit: a page, an upload, a health check, and a websocket that echoes."""

    async def page(_: Request) -> Response:
        return HTMLResponse("<p>the app</p>")

    async def points(_: Request) -> Response:
        return Response(b"points")

    async def upload(request: Request) -> Response:
        data = await request.body()
        held.setdefault(request.path_params["session"], {})[request.path_params["file"]] = SimpleNamespace(
            data=data
        )
        return Response(status_code=204)

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        with suppress(WebSocketDisconnect):
            while True:
                await socket.send_bytes(await socket.receive_bytes())

    return Starlette(
        routes=[
            Route("/_stcore/health", health),
            Route("/_stcore/upload_file/{session}/{file}", upload, methods=["PUT"]),
            WebSocketRoute("/_stcore/stream", stream),
            Route("/points/x", points),
            Route("/static/{name}", points),
            Route("/{rest:path}", page),
        ]
    )


def client(
    names: tuple[str, ...] = ("localhost",),
    *,
    host: str = HOST,
    held: dict[str, Any] | None = None,
    **more: Any,
) -> TestClient:
    held = {} if held is None else held
    quota = UploadQuota(lambda: held, SessionStore(clean_up_s=None))
    app = inner(held)
    app.user_middleware = [Middleware(Guard, names=names, quota=quota, **more)]
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "localhost:8501", "127.0.0.1:8501", "[::1]:8501", "192.168.1.7", "[fe80::1]"],
)
def test_own_names_and_ip_addresses_are_answered(host: str) -> None:
    assert client().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/points/x", "/static/main.js", "/_stcore/health", "/_stcore/upload_file/a/b"]
)
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8501", "2130706433.example"]
)
def test_other_names_are_refused_on_every_path(path: str, host: str) -> None:
    answer = client().get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert permissions.HOSTS_VARIABLE in answer.text
    assert client(("*",)).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["", "a@127.0.0.1", "127.0.0.1/x", "127.0.0.1:x", "[::1", "127.0.0.1?x"])
def test_invalid_hosts_are_refused(host: str) -> None:
    assert hostname(host) is None or not host
    assert client().get("/", headers={"Host": host}).status_code == 400


def test_a_request_with_two_hosts_is_refused() -> None:
    """A proxy and the server behind it might each use a different one."""
    for hosts in (("localhost", "evil.example"), ("localhost", "localhost")):
        assert client().get("/", headers=[("Host", host) for host in hosts]).status_code == 400


def websocket(to: TestClient, **headers: str) -> None:
    with to.websocket_connect("/_stcore/stream", headers={"Host": HOST, **headers}) as socket:
        socket.send_bytes(b"\x00")
        assert socket.receive_bytes() == b"\x00"


def test_dns_rebinding_opens_no_websocket() -> None:
    websocket(client(), Origin="http://127.0.0.1:8501")
    for headers in (
        {"Host": "evil.example", "Origin": "http://evil.example"},  # a name that resolves to this server
        {"Host": "127.0.0.1:8501", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:8501", "Origin": "http://127.0.0.1:9999"},
        {"Host": "127.0.0.1:8501", "Origin": "null"},
    ):
        with pytest.raises(WebSocketDisconnect) as refused:
            websocket(client(), **headers)
        assert refused.value.code == guard.VIOLATION


def test_owner_can_add_names_for_a_reverse_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(permissions.HOSTS_VARIABLE, "maps.example.org, other.example.org")
    monkeypatch.setattr(guard.socket, "gethostname", lambda: "Box.lan")
    names = guard.server_names()
    for host in ("maps.example.org", "other.example.org:443", "box", "box.lan", "box.local", "localhost"):
        assert client(names).get("/", headers={"Host": host, "Origin": f"https://{host}"}).status_code == 200
    assert client(names).get("/", headers={"Host": "example.org"}).status_code == 421


def test_a_foreign_origin_causes_no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda url, timeout: asked.append(url))
    monkeypatch.setattr(net_util, "get_internal_ip", net_util.get_internal_ip)
    monkeypatch.setattr(net_util, "get_external_ip", net_util.get_external_ip)
    before = config.get_option("server.allowedHosts")
    try:
        guard.keep_streamlit_offline()
        from streamlit.web.server.server_util import is_url_from_allowed_origins

        assert not is_url_from_allowed_origins("http://evil.example")
        assert asked == []
    finally:
        config.set_option("server.allowedHosts", before)


@pytest.fixture
def locked() -> TestClient:
    return client(login=Login(PASSWORD))


@pytest.mark.parametrize(
    "path", ["/", "/Mask_Lab", "/points/x", "/static/main.js", "/_stcore/upload_file/a/b", "/login"]
)
def test_nothing_is_served_without_the_password(locked: TestClient, path: str) -> None:
    for method in ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD"):
        answer = locked.request(method, path)
        assert answer.status_code == 401, method
        assert "the app" not in answer.text and "points" not in answer.text
    with pytest.raises(WebSocketDisconnect):
        websocket(locked)
    assert locked.get("/_stcore/health").text == "ok"  # for monitoring
    assert locked.put("/_stcore/health").status_code == 401


def test_login_opens_everything_and_returns_to_the_link(locked: TestClient) -> None:
    form = locked.get("/Mask_Lab?gsd=10&x=%3Cb%3E", headers={"Accept": "text/html"})
    assert form.status_code == 401 and "<b>" not in form.text
    to = re.search(r'name="next" value="([^"]*)"', form.text)
    assert to and to[1] == "/Mask_Lab?gsd=10&amp;x=%3Cb%3E"
    response = locked.post("/login", data={"password": PASSWORD, "next": "/Mask_Lab?gsd=10"})
    assert (response.status_code, response.headers["location"]) == (303, "/Mask_Lab?gsd=10")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
    assert PASSWORD not in cookie
    for path in ("/", "/points/x", "/static/main.js"):
        assert locked.get(path).status_code == 200
    websocket(locked, Cookie=f"{login.COOKIE}={response.cookies[login.COOKIE]}")


def test_cookies_are_secure_behind_https() -> None:
    to = client(login=Login(PASSWORD))
    response = to.post("/login", data={"password": PASSWORD}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in response.headers["set-cookie"]


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\r\nX: y",
        "/" + "x" * 3000,
    ],
)
def test_login_never_redirects_to_another_site(locked: TestClient, to: str) -> None:
    assert locked.post("/login", data={"password": PASSWORD, "next": to}).headers["location"] == "/"


@pytest.mark.parametrize(
    "forged", ["", ".", "99999999999.", "99999999999.abc", "99999999999.é", "-1.x", "9" * 400 + ".x", "1e9.x"]
)
def test_forged_cookies_are_refused(forged: str) -> None:
    assert not Login(PASSWORD).holds({login.COOKIE: forged})


def test_a_login_expires_and_ends_with_the_server() -> None:
    now = [1_000_000.0]
    one = Login(PASSWORD, lambda: now[0])
    cookie = {
        login.COOKIE: client(login=one).post("/login", data={"password": PASSWORD}).cookies[login.COOKIE]
    }
    assert one.holds(cookie)
    assert not Login(PASSWORD, lambda: now[0]).holds(cookie)
    later = str(int(cookie[login.COOKIE].split(".")[0]) + 1)
    assert not one.holds({login.COOKIE: f"{later}.{cookie[login.COOKIE].split('.')[1]}"})
    now[0] += login.LASTS_S
    assert not one.holds(cookie)


def test_wrong_passwords_are_limited(locked: TestClient) -> None:
    for _ in range(login.MAX_WRONG):
        assert locked.post("/login", data={"password": "guess"}).status_code == 401
    blocked = locked.post("/login", data={"password": PASSWORD})
    assert blocked.status_code == 429 and 0 < int(blocked.headers["retry-after"]) <= login.WINDOW_S


def test_wrong_passwords_are_counted_over_all_addresses_and_expire() -> None:
    now = [0.0]
    attempts = login.Attempts(lambda: now[0])
    for n in range(login.MAX_WRONG_IN_ALL):
        assert attempts.wait_s(f"10.0.0.{n}") == 0
        attempts.wrong(f"10.0.0.{n}")
    assert attempts.wait_s("10.9.9.9") == login.WINDOW_S
    now[0] = login.WINDOW_S
    assert attempts.wait_s("10.9.9.9") == 0


def test_memory_of_wrong_passwords_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "MAX_ADDRESSES", 10)
    now = [0.0]
    attempts = login.Attempts(lambda: now[0])
    for n in range(1000):
        now[0] += login.WINDOW_S / 5
        attempts.wrong(str(n))
    assert len(attempts._wrong) <= 10 and len(attempts._all) <= login.MAX_WRONG_IN_ALL


def test_a_body_longer_than_the_form_is_not_read(locked: TestClient) -> None:
    assert locked.post("/login", content=b"password=" + b"x" * 10**6).status_code == 401


def cleared(to: TestClient) -> bool:
    """Whether a request to clear the caches is accepted."""
    with to.websocket_connect("/_stcore/stream", headers={"Host": HOST}) as socket:
        for message in (BackMsg(clear_cache=True), BackMsg(stop_script=True)):
            socket.send_bytes(message.SerializeToString())
        first = BackMsg()
        first.ParseFromString(socket.receive_bytes())
        return first.WhichOneof("type") == "clear_cache"


def test_visitors_cannot_clear_the_shared_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(permissions.ALLOW_VARIABLE, "")
    assert not cleared(client())
    monkeypatch.setenv(permissions.ALLOW_VARIABLE, "clear-cache")
    assert cleared(client())


@pytest.mark.parametrize(
    ("address", "variables", "others"),
    [
        ("127.0.0.1", {}, False),
        ("localhost", {}, False),
        ("::1", {}, False),
        ("unix:///run/x", {}, False),
        ("0.0.0.0", {}, True),
        ("::", {}, True),
        (None, {}, True),
        ("192.168.1.7", {}, True),
        ("maps.example.org", {}, True),
        ("127.0.0.1", {permissions.HOSTS_VARIABLE: "maps.example.org"}, True),
        ("127.0.0.1", {permissions.PASSWORD_VARIABLE: "x"}, True),
    ],
)
def test_training_needs_permission_on_a_server_for_others(
    monkeypatch: pytest.MonkeyPatch, address: str | None, variables: dict[str, str], others: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(permissions.config, "get_option", lambda name: address)
    assert permissions.serves_others() is others
    assert permissions.may("train") is not others
    if others:
        with pytest.raises(ExplorerError, match="EARTH_MAE_ALLOW=train"):
            permissions.require("train")
    monkeypatch.setenv(permissions.ALLOW_VARIABLE, "clear-cache, train")
    permissions.require("train")
    monkeypatch.setenv(permissions.ALLOW_VARIABLE, "clear-cache")
    assert not permissions.may("train")


def test_a_page_sets_the_owner_cookie_once() -> None:
    to = client()
    first = to.get("/")
    key = first.cookies[guard.OWNER_COOKIE]
    assert re.fullmatch(r"[\w-]{22}", key)
    assert "HttpOnly" in first.headers["set-cookie"] and "SameSite=Lax" in first.headers["set-cookie"]
    assert "set-cookie" not in to.get("/").headers
    assert "set-cookie" not in client().get("/points/x").headers
    assert client().get("/").cookies[guard.OWNER_COOKIE] != key


def put(to: TestClient, session: str, file: str, size: int) -> int:
    return to.put(UPLOAD.format(session, file), content=bytes(size)).status_code


def test_upload_size_is_limited_per_session_and_in_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_quota, "MAX_BYTES", 1000)
    monkeypatch.setattr(upload_quota, "MAX_BYTES_IN_ALL", 1500)
    held: dict[str, dict[str, Any]] = {}
    to = client(held=held)
    assert put(to, "alice", "1", 600) == 204
    assert put(to, "alice", "2", 600) == 413
    assert put(to, "alice", "1", 900) == 204  # replaces the first
    assert put(to, "bob", "1", 400) == 204
    assert put(to, "carol", "1", 400) == 413
    assert {name: sum(len(file.data) for file in files.values()) for name, files in held.items()} == {
        "alice": 900,
        "bob": 400,
    }
    held["alice"].clear()
    assert put(to, "carol", "1", 400) == 204


def test_number_of_uploads_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_quota, "MAX_FILES", 2)
    to = client()
    assert [put(to, "alice", str(n), 0) for n in range(3)] == [204, 204, 413]


def test_uploads_in_progress_count_and_need_a_length() -> None:
    quota = UploadQuota(dict, SessionStore(clean_up_s=None))
    first, second = object(), object()
    assert not quota.reserve(first, "alice", "1", upload_quota.MAX_BYTES - 10)
    assert "allowed per visitor" in quota.reserve(second, "alice", "2", 11)
    quota.release(first)
    assert not quota.reserve(second, "alice", "2", 11)
    answer = client().put(UPLOAD.format("alice", "1"), content=iter([b"no length"]))
    assert answer.status_code == 411


def test_files_of_a_closed_session_are_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = {name: {"1": SimpleNamespace(data=b"x")} for name in ("alice", "bob")}
    monkeypatch.setattr(upload_quota, "_remove", held.pop)
    connected = {"alice", "bob"}
    sessions = SessionStore(lambda one: one in connected, grace_s=0.0, clean_up_s=None)
    UploadQuota(lambda: held, sessions)
    sessions.clean_up()
    assert set(held) == {"alice", "bob"}
    connected.remove("alice")
    sessions.clean_up()
    assert set(held) == {"bob"}
