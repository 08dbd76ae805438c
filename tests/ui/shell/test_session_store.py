"""What belongs to a browser session: found by session and browser, deleted after the session closes."""

from __future__ import annotations

import math
import threading
import time
import weakref
from functools import lru_cache

import pytest
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from ui.shell import session_store
from ui.shell.session_store import Item, SessionStore

ALICE, BOB = generate_xsrf_token_string(b"a" * 16), generate_xsrf_token_string(b"b" * 16)


@pytest.fixture
def connected() -> set[str]:
    """The sessions whose tab is open."""
    return {"alice", "bob"}


@pytest.fixture
def store(connected: set[str]) -> SessionStore:
    return SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=None)


def test_items_are_found_by_kind_key_and_session(store: SessionStore) -> None:
    store.put("picture", "1", Item("alice", "first"))
    store.put("weights", "1", Item("alice", "second"))
    store.put("picture", "2", Item("bob", "third"))
    assert {key: item.value for key, item in store.items("picture").items()} == {"1": "first", "2": "third"}
    assert list(store.items("picture", "bob")) == ["2"]
    found = store.get("weights", "1")
    assert found is not None and found.value == "second"
    assert store.get("weights", "2") is None


def test_removal_deletes_once(store: SessionStore) -> None:
    deleted: list[str] = []
    store.put("picture", "1", Item("alice", delete=lambda: deleted.append("1")))
    store.remove("picture", "1")
    store.remove("picture", "1")
    assert deleted == ["1"] and store.get("picture", "1") is None


def test_clean_up_deletes_what_belongs_to_closed_sessions(store: SessionStore, connected: set[str]) -> None:
    deleted: list[str] = []
    for name in ("alice", "bob"):
        store.put("picture", name, Item(name, delete=lambda name=name: deleted.append(name)))
    store.clean_up()
    assert deleted == []
    connected.remove("alice")
    store.clean_up()
    assert deleted == ["alice"] and list(store.items("picture")) == ["bob"]


def test_a_reconnected_session_finds_its_items(connected: set[str]) -> None:
    store = SessionStore(lambda session_id: session_id in connected, grace_s=60.0, clean_up_s=None)
    store.put("picture", "1", Item("alice"))
    connected.remove("alice")
    store.clean_up()
    connected.add("alice")
    store.clean_up()
    assert store.get("picture", "1") is not None


def test_a_reloaded_tab_of_the_same_browser_adopts_an_item(store: SessionStore, connected: set[str]) -> None:
    store.put("picture", "1", Item("alice", cookie=ALICE))
    store.put("picture", "2", Item("alice"))
    assert not store.adopt("picture", "1", "alice again", ALICE), "the first tab is still open"
    connected.remove("alice")
    connected.add("alice again")
    assert not store.adopt("picture", "1", "bob", BOB)
    assert not store.adopt("picture", "1", "bob", None)
    assert not store.adopt("picture", "2", "alice again", ALICE), "it was added without a cookie"
    assert store.adopt("picture", "1", "alice again", ALICE)
    store.clean_up()
    assert list(store.items("picture")) == ["1"]


def test_what_is_stored_elsewhere_is_cleaned_up_too(store: SessionStore, connected: set[str]) -> None:
    files = {"alice": 1, "bob": 2}
    store.clean_up_too(lambda: list(files), files.pop)
    store.clean_up()
    assert files == {"alice": 1, "bob": 2}
    connected.remove("alice")
    store.clean_up()
    assert files == {"bob": 2}


def test_the_clean_up_thread_survives_a_failed_deletion(connected: set[str]) -> None:
    def fail() -> None:
        raise OSError("no")

    store = SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=0.01)
    store.put("picture", "1", Item("alice", delete=fail))
    connected.clear()
    deadline = time.monotonic() + 5
    while store.get("picture", "1") and time.monotonic() < deadline:
        time.sleep(0.01)
    store.put("picture", "2", Item("bob"))
    while store.get("picture", "2") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.get("picture", "2") is None


class Picture:
    """Holds itself, as a source does whose opened pictures are cached."""

    def __init__(self) -> None:
        self.opened = lru_cache(self.open)

    def open(self, key: str) -> str:
        return key


def test_memory_of_closed_sessions_goes_back_to_the_system(
    connected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "IDLE_SHARE", math.inf)  # only for what was deleted
    returned: list[bool] = []
    picture = Picture()
    held = weakref.ref(picture)
    store = SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=0.01)

    def note() -> None:
        if threading.current_thread() is store._thread:  # not that of another test
            returned.append(held() is None)

    monkeypatch.setattr(session_store, "return_freed_memory", note)
    store.put("picture", "a", Item("alice", picture))
    del picture
    time.sleep(0.2)
    assert not returned
    connected.discard("alice")
    deadline = time.monotonic() + 30
    while not returned and time.monotonic() < deadline:
        time.sleep(0.01)
    assert returned == [True]


def test_memory_goes_back_once_when_a_busy_server_becomes_idle(
    connected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SessionStore(lambda one: one in connected, clean_up_s=0.01)
    spent, is_busy, returned = list[int](), True, list[bool]()

    def process_time() -> int:
        if threading.current_thread() is store._thread:  # those of other tests' stores still run
            spent.append(1)
        return len(spent) if is_busy else 0

    def note() -> None:
        if threading.current_thread() is store._thread:
            returned.append(is_busy)

    monkeypatch.setattr(session_store, "return_freed_memory", note)
    monkeypatch.setattr(session_store.time, "process_time", process_time)
    store.put("picture", "a", Item("alice"))
    deadline = time.monotonic() + 30
    while len(spent) < 6 and time.monotonic() < deadline:  # three rounds of the clean-up, each busy
        time.sleep(0.01)
    assert not returned, "while it is busy, this would delay its users"
    is_busy = False
    deadline = time.monotonic() + 30
    while not returned and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert returned == [False]
