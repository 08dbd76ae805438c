"""The HTTP routes: a payload is open to its session's browser only, and deleted with the session."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from core.errors import ExplorerError
from ui.shell import routes
from ui.shell.routes import COOKIE, Payloads
from ui.shell.session_store import SessionStore

ALICE, BOB = generate_xsrf_token_string(b"a" * 16), generate_xsrf_token_string(b"b" * 16)


class Pictures:
    """A payload that a weak reference can follow."""

    def __init__(self) -> None:
        self.held = bytes(1_000_000)

    def __call__(self, row: int) -> bytes:
        return self.held[:row]


@pytest.fixture
def connected() -> set[str]:
    """The sessions whose tab is open."""
    return {"alice", "bob"}


@pytest.fixture
def store(connected: set[str]) -> SessionStore:
    return SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=None)


@pytest.fixture
def payloads(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> Payloads:
    """Payloads of this test, which the routes answer with."""
    payloads = Payloads(store)
    monkeypatch.setattr(routes, "payloads", payloads)
    monkeypatch.setattr(routes, "_serving", False)
    return payloads


async def get(path: str, cookie: str | None = ALICE, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What the server answers: status, headers, body."""
    sent: list[dict[str, Any]] = []
    sent_headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if cookie is not None:
        sent_headers.append((b"cookie", f"{COOKIE}={cookie}".encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": sent_headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await Starlette(routes=list(routes.routes()))(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body


def request(path: str, cookie: str | None = ALICE, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Do so in a thread of its own: a browser test may have left an event loop in this one."""
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, get(path, cookie, **headers)).result()


def test_owner_receives_a_payload_that_no_cache_may_store(payloads: Payloads) -> None:
    key = payloads.put("alice", "points", b"1234", cookie=ALICE)
    status, headers, body = request(f"/points/{key}")
    assert (status, body) == (200, b"1234")
    assert headers["cache-control"] == "private, no-store"
    assert headers["content-encoding"] == "identity"


def test_users_cannot_read_each_others_payloads(payloads: Payloads) -> None:
    pictures = {"alice": lambda row: b"alice's", "bob": lambda row: b"bob's"}
    tiles = {"alice": lambda z, x, y: b"alice's", "bob": lambda z, x, y: b"bob's"}
    for name, cookie, other in (("alice", ALICE, BOB), ("bob", BOB, ALICE)):
        held = {
            "/points/{}": payloads.put(name, "points", f"{name}'s".encode(), cookie=cookie),
            "/colours/{}": payloads.put(name, "colours", f"{name}'s".encode(), cookie=cookie),
            "/pictures/{}/3.jpg": payloads.put(name, "pictures", pictures[name], cookie=cookie),
            "/tiles/{}/1/0/1.png": payloads.put(name, "tiles", tiles[name], cookie=cookie),
        }
        for path, key in held.items():
            assert request(path.format(key), cookie)[::2] == (200, f"{name}'s".encode())
            for foreign in (other, None, "nonsense"):
                assert request(path.format(key), foreign)[::2] == (404, routes.NOT_FOUND.encode())
    assert len(payloads) == 8


def test_a_newly_masked_cookie_is_still_the_same_browser(payloads: Payloads) -> None:
    key = payloads.put("alice", "points", b"1", cookie=ALICE)
    assert request(f"/points/{key}", generate_xsrf_token_string(b"a" * 16))[0] == 200


def test_requests_from_another_site_are_refused(payloads: Payloads) -> None:
    key = payloads.put("alice", "points", b"1", cookie=ALICE)
    assert request(f"/points/{key}", sec_fetch_site="cross-site")[0] == 404
    assert request(f"/points/{key}", sec_fetch_site="same-site")[0] == 404
    assert request(f"/points/{key}", sec_fetch_site="same-origin")[0] == 200


def test_an_id_is_valid_for_its_kind_only(payloads: Payloads) -> None:
    key = payloads.put("alice", "points", b"1", cookie=ALICE)
    for path in (
        f"/colours/{key}",
        f"/pictures/{key}/0.jpg",
        f"/tiles/{key}/0/0/0.png",
        f"/points/{key[:-1]}",
        "/points/",
        "/points/0",
    ):
        assert request(path)[0] == 404


def test_ids_are_long_and_unique(payloads: Payloads) -> None:
    keys = {payloads.put("alice", "points", str(n).encode()) for n in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"[\w-]{22}", key) for key in keys)


def test_no_route_takes_a_path(payloads: Payloads) -> None:
    for route in routes.routes():
        kinds = {name: type(convertor).__name__ for name, convertor in route.param_convertors.items()}
        assert kinds.pop("id") == "StringConvertor"  # no slash
        assert set(kinds.values()) <= {"StringConvertor"}  # read as numbers of at most nine digits
    for path in (
        "/points/../../etc/passwd",
        "/pictures/x/../../../etc/passwd",
        "/tiles/x/0/0/..%2f..%2fetc.png",
        "/points//etc/passwd",
    ):
        assert request(path)[0] == 404


def test_payloads_of_a_closed_session_are_refused_at_once_and_freed(
    payloads: Payloads, store: SessionStore, connected: set[str]
) -> None:
    payload = Pictures()
    gone = weakref.ref(payload)
    key = payloads.put("alice", "pictures", payload, cookie=ALICE)
    kept = payloads.put("bob", "points", b"1", cookie=BOB)
    del payload
    assert request(f"/pictures/{key}/5.jpg")[2] == bytes(5)
    connected.remove("alice")
    assert request(f"/pictures/{key}/5.jpg")[0] == 404
    store.clean_up()
    gc.collect()
    assert gone() is None
    assert len(payloads) == 1
    assert request(f"/points/{kept}", BOB)[0] == 200


def test_equal_content_keeps_its_id(payloads: Payloads) -> None:
    key = payloads.put("alice", "colours", b"1", name="globe")
    assert payloads.put("alice", "colours", b"1", name="globe") == key
    assert payloads.put("bob", "colours", b"1", name="globe") != key
    data = bytes(range(200))
    first = payloads.put("alice", "points", data)
    assert payloads.put("alice", "points", bytes(bytearray(data))) == first
    assert len(payloads) == 3


def test_what_a_name_held_before_can_still_be_fetched(payloads: Payloads) -> None:
    """The browser may ask for a layer that two reruns have replaced."""
    keys = [payloads.put("alice", "colours", bytes([n]), name="globe") for n in range(4)]
    assert [payloads.get("colours", key, None) is None for key in keys] == [True, False, False, False]
    again = payloads.put("alice", "colours", bytes([1]), name="globe")
    payloads.put("alice", "colours", b"another", name="globe")
    assert again == keys[1]
    assert payloads.get("colours", again, None) is not None
    assert len(payloads) == routes.KEPT


def test_number_of_payloads_of_a_session_is_limited(payloads: Payloads) -> None:
    keys = [payloads.put("alice", "points", str(n).encode()) for n in range(routes.MAX_PAYLOADS + 6)]
    assert len(payloads) == routes.MAX_PAYLOADS
    assert payloads.get("points", keys[0], None) is None
    assert payloads.get("points", keys[-1], None) is not None


def test_missing_rows_and_unreadable_pictures_are_404(payloads: Payloads) -> None:
    class Unreadable(ExplorerError):
        pass

    def picture(row: int) -> bytes:
        if row > 9:
            raise IndexError(row)
        raise Unreadable("The picture is damaged: choose another.")

    key = payloads.put("alice", "pictures", picture, cookie=ALICE)
    assert request(f"/pictures/{key}/10.jpg")[::2] == (404, routes.NOT_FOUND.encode())
    assert request(f"/pictures/{key}/9.jpg")[::2] == (404, b"The picture is damaged: choose another.")
    assert request(f"/pictures/{key}/{10**30}.jpg")[0] == 404
    nothing = payloads.put("alice", "tiles", lambda z, x, y: None, cookie=ALICE)
    assert request(f"/tiles/{nothing}/0/0/0.png")[0] == 404


def test_app_knows_whether_it_has_the_routes(payloads: Payloads) -> None:
    assert not routes.has_routes()
    routes.routes()
    assert routes.has_routes()


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 10, "-1", "1.5", "x", "%00", "١"])
def test_invalid_numbers_are_404(payloads: Payloads, number: str) -> None:
    pictures = payloads.put("alice", "pictures", lambda row: b"picture", cookie=ALICE)
    tiles = payloads.put("alice", "tiles", lambda z, x, y: b"tile", cookie=ALICE)
    for path in (
        f"/pictures/{pictures}/{number}.jpg",
        f"/tiles/{tiles}/{number}/0/0.png",
        f"/tiles/{tiles}/0/0/{number}.png",
    ):
        assert request(path)[::2] == (404, routes.NOT_FOUND.encode())
    assert request(f"/pictures/{pictures}/12.jpg")[0] == 200


def test_the_session_that_asks_is_known_in_scripts_and_requests(payloads: Payloads) -> None:
    key = payloads.put(
        "alice", "pictures", lambda row: (routes.asking_session() or "nobody").encode(), cookie=ALICE
    )
    assert request(f"/pictures/{key}/1.jpg")[2] == b"alice"
    assert routes.asking_session() is None

    def script() -> None:
        import streamlit as st

        from ui.shell.routes import asking_session

        st.text(asking_session())

    assert AppTest.from_function(script).run().text[0].value


def test_slow_pictures_of_one_session_keep_no_other_waiting(payloads: Payloads) -> None:
    busy, most = threading.Lock(), [0, 0]

    def slow(row: int) -> bytes:
        with busy:
            most[0] += 1
            most[1] = max(most)
        time.sleep(0.1)
        with busy:
            most[0] -= 1
        return b"slow"

    key, other = (
        payloads.put("alice", "pictures", slow, cookie=ALICE),
        payloads.put("bob", "points", b"quick", cookie=BOB),
    )
    finished: list[str] = []

    async def one(path: str, cookie: str) -> None:
        await get(path, cookie)
        finished.append(path[1:7])

    async def crowd() -> None:
        slow_ones = [asyncio.create_task(one(f"/pictures/{key}/{n}.jpg", ALICE)) for n in range(60)]
        await asyncio.sleep(0.05)
        await one(f"/points/{other}", BOB)
        await asyncio.gather(*slow_ones)

    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(asyncio.run, crowd()).result()
    assert finished[0] == "points"
    assert most[1] == routes.MAX_AT_ONCE
