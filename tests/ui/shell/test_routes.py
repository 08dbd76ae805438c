"""Routes that belong to one session: nobody else reads what they hold, and it goes when the session goes."""

from __future__ import annotations

import asyncio
import gc
import re
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from core.errors import ExplorerError
from ui.shell import routes
from ui.shell.routes import COOKIE, Shelf

ALICE, BOB = generate_xsrf_token_string(b"a" * 16), generate_xsrf_token_string(b"b" * 16)


class Pictures:
    """A payload that a weak reference can follow."""

    def __init__(self) -> None:
        self.held = bytes(1_000_000)

    def __call__(self, row: int) -> bytes:
        return self.held[:row]


@pytest.fixture
def there() -> set[str]:
    """The sessions whose tab is open."""
    return {"alice", "bob"}


@pytest.fixture
def shelf(there: set[str], monkeypatch: pytest.MonkeyPatch) -> Shelf:
    own = Shelf(lambda session_id: session_id in there, grace_s=0.0, sweep_s=None)
    monkeypatch.setattr(routes, "shelf", own)
    monkeypatch.setattr(routes, "_serving", False)
    return own


def ask(path: str, cookie: str | None = ALICE, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What the server answers: status, headers, body."""
    sent: list[dict[str, Any]] = []
    said = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if cookie is not None:
        said.append((b"cookie", f"{COOKIE}={cookie}".encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "headers": said, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    with ThreadPoolExecutor(
        1
    ) as elsewhere:  # a browser test of the same run may have left an event loop in this thread
        elsewhere.submit(asyncio.run, Starlette(routes=list(routes.routes()))(scope, receive, send)).result()
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body


def test_the_owner_gets_what_was_shared_and_no_cache_keeps_it(shelf: Shelf) -> None:
    key = shelf.put("alice", "points", b"1234", cookie=ALICE)
    status, headers, body = ask(f"/points/{key}")
    assert (status, body) == (200, b"1234")
    assert headers["cache-control"] == "private, no-store"
    assert headers["content-encoding"] == "identity"


def test_two_users_cannot_read_each_other(shelf: Shelf) -> None:
    pictures = {"alice": lambda row: b"alice's", "bob": lambda row: b"bob's"}
    tiles = {"alice": lambda z, x, y: b"alice's", "bob": lambda z, x, y: b"bob's"}
    for name, cookie, other in (("alice", ALICE, BOB), ("bob", BOB, ALICE)):
        held = {
            "/points/{}": shelf.put(name, "points", f"{name}'s".encode(), cookie=cookie),
            "/colours/{}": shelf.put(name, "colours", f"{name}'s".encode(), cookie=cookie),
            "/pictures/{}/3.jpg": shelf.put(name, "pictures", pictures[name], cookie=cookie),
            "/tiles/{}/1/0/1.png": shelf.put(name, "tiles", tiles[name], cookie=cookie),
        }
        for path, key in held.items():
            assert ask(path.format(key), cookie)[::2] == (200, f"{name}'s".encode())
            for foreign in (other, None, "nonsense"):
                assert ask(path.format(key), foreign)[::2] == (404, routes.GONE.encode())
    assert len(shelf) == 8


def test_the_same_cookie_written_anew_is_still_the_same_browser(shelf: Shelf) -> None:
    key = shelf.put("alice", "points", b"1", cookie=ALICE)
    assert ask(f"/points/{key}", generate_xsrf_token_string(b"a" * 16))[0] == 200


def test_another_site_gets_nothing_from_the_owners_browser(shelf: Shelf) -> None:
    key = shelf.put("alice", "points", b"1", cookie=ALICE)
    assert ask(f"/points/{key}", sec_fetch_site="cross-site")[0] == 404
    assert ask(f"/points/{key}", sec_fetch_site="same-site")[0] == 404
    assert ask(f"/points/{key}", sec_fetch_site="same-origin")[0] == 200


def test_an_id_opens_its_own_kind_only_and_guesses_open_nothing(shelf: Shelf) -> None:
    key = shelf.put("alice", "points", b"1", cookie=ALICE)
    for path in (
        f"/colours/{key}",
        f"/pictures/{key}/0.jpg",
        f"/tiles/{key}/0/0/0.png",
        f"/points/{key[:-1]}",
        "/points/",
        "/points/0",
    ):
        assert ask(path)[0] == 404


def test_ids_are_unguessable_and_differ(shelf: Shelf) -> None:
    keys = {shelf.put("alice", "points", str(n).encode()) for n in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"[\w-]{22}", key) for key in keys)


def test_no_route_takes_a_path(shelf: Shelf) -> None:
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
        assert ask(path)[0] == 404


def test_a_closed_session_is_refused_at_once_and_its_memory_freed(shelf: Shelf, there: set[str]) -> None:
    payload = Pictures()
    gone = weakref.ref(payload)
    key = shelf.put("alice", "pictures", payload, cookie=ALICE)
    kept = shelf.put("bob", "points", b"1", cookie=BOB)
    del payload
    assert ask(f"/pictures/{key}/5.jpg")[2] == bytes(5)
    there.remove("alice")
    assert ask(f"/pictures/{key}/5.jpg")[0] == 404
    shelf.sweep()
    gc.collect()
    assert gone() is None
    assert len(shelf) == 1
    assert ask(f"/points/{kept}", BOB)[0] == 200


def test_a_session_that_comes_back_in_time_finds_its_things(there: set[str]) -> None:
    shelf = Shelf(lambda session_id: session_id in there, grace_s=60.0, sweep_s=None)
    key = shelf.put("alice", "points", b"1")
    there.remove("alice")
    shelf.sweep()
    there.add("alice")
    found = shelf.get("points", key, None)
    assert found is not None and found.payload == b"1"


def test_the_sweep_runs_by_itself(there: set[str]) -> None:
    shelf = Shelf(lambda session_id: session_id in there, grace_s=0.0, sweep_s=0.01)
    shelf.put("alice", "points", b"1")
    there.clear()
    deadline = time.monotonic() + 5
    while len(shelf) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(shelf) == 0


def test_what_is_shared_again_keeps_its_id_and_a_name_holds_one_thing(shelf: Shelf) -> None:
    data = b"1"
    key = shelf.put("alice", "colours", data, name="globe")
    assert shelf.put("alice", "colours", data, name="globe") == key
    assert shelf.put("bob", "colours", data, name="globe") != key
    newer = shelf.put("alice", "colours", b"2", name="globe")
    assert newer != key
    assert shelf.get("colours", key, None) is None
    assert len(shelf) == 2


def test_a_session_holds_so_much_and_no_more(shelf: Shelf) -> None:
    keys = [shelf.put("alice", "points", str(n).encode()) for n in range(routes.MOST_OF_A_SESSION + 6)]
    assert len(shelf) == routes.MOST_OF_A_SESSION
    assert shelf.get("points", keys[0], None) is None
    assert shelf.get("points", keys[-1], None) is not None


def test_a_row_that_is_not_there_and_a_picture_that_cannot_be_read_are_404(shelf: Shelf) -> None:
    class Unreadable(ExplorerError):
        pass

    def picture(row: int) -> bytes:
        if row > 9:
            raise IndexError(row)
        raise Unreadable("The picture is damaged: choose another.")

    key = shelf.put("alice", "pictures", picture, cookie=ALICE)
    assert ask(f"/pictures/{key}/10.jpg")[::2] == (404, routes.GONE.encode())
    assert ask(f"/pictures/{key}/9.jpg")[::2] == (404, b"The picture is damaged: choose another.")
    assert ask(f"/pictures/{key}/{10**30}.jpg")[0] == 404
    nothing = shelf.put("alice", "tiles", lambda z, x, y: None, cookie=ALICE)
    assert ask(f"/tiles/{nothing}/0/0/0.png")[0] == 404


def test_the_app_knows_whether_it_has_the_routes(shelf: Shelf) -> None:
    assert not routes.served()
    routes.routes()
    assert routes.served()


def test_equal_bytes_keep_their_address_so_that_a_run_that_follows_at_once_takes_nothing_away(
    shelf: Shelf,
) -> None:
    first = shelf.put("alice", "colours", bytes(range(200)), name="twin colours")
    assert shelf.put("alice", "colours", bytes(range(200)), name="twin colours") == first
    assert shelf.put("alice", "colours", bytes(200), name="twin colours") != first
    assert shelf.get("colours", first, ALICE) is None


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 10, "-1", "1.5", "x", "%00", "١"])
def test_a_number_that_no_row_has_is_404_and_no_error(shelf: Shelf, number: str) -> None:
    pictures = shelf.put("alice", "pictures", lambda row: b"picture", cookie=ALICE)
    tiles = shelf.put("alice", "tiles", lambda z, x, y: b"tile", cookie=ALICE)
    for path in (
        f"/pictures/{pictures}/{number}.jpg",
        f"/tiles/{tiles}/{number}/0/0.png",
        f"/tiles/{tiles}/0/0/{number}.png",
    ):
        assert ask(path)[::2] == (404, routes.GONE.encode())
    assert ask(f"/pictures/{pictures}/12.jpg")[0] == 200
