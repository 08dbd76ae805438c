"""Uploaded pictures belong to one session: copied links do not show them, other uploads do not evict them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from core.geo import GeoError, TileRef, TileSpec, Uploads
from core.session import view_from_params
from tests.test_session import DEFAULT
from ui.shell import jobs, pictures, state, uploads
from ui.shell.pictures import Pictures
from ui.shell.session_store import SessionStore

ALICE, BOB = generate_xsrf_token_string(b"a" * 16), generate_xsrf_token_string(b"b" * 16)
SIZE = 32 * 32 * 3


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), shade, np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def connected() -> set[str]:
    return {"alice", "bob"}


@pytest.fixture
def store(connected: set[str]) -> SessionStore:
    return SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=None)


@pytest.fixture
def held(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> Pictures:
    own = Pictures(store=store)
    monkeypatch.setattr(uploads, "pictures", own)
    return own


def add(held: Pictures, who: str = "alice", cookie: str | None = ALICE) -> TileRef:
    return held.add(who, png(1), "mine.png", gsd_m=1, cookie=cookie)


def test_only_the_session_or_its_browser_may_see_a_picture(held: Pictures) -> None:
    key = add(held).key
    assert held.open_to(key, "alice", None)
    assert held.open_to(key, "alice in another tab", ALICE)
    assert not held.open_to(key, "bob", BOB)
    assert not held.open_to(key, "bob", None)
    assert not held.open_to("never given out", "alice", ALICE)
    without_cookie = add(held, "carol", None).key
    assert not held.open_to(without_cookie, "bob", None)


def test_a_reloaded_tab_adopts_its_pictures(held: Pictures, store: SessionStore, connected: set[str]) -> None:
    key = add(held).key
    connected.remove("alice")
    connected.add("alice again")
    assert not held.open_to(key, "bob", BOB)
    assert held.open_to(key, "alice again", ALICE)
    store.clean_up()
    assert held.open_to(key, "alice again", None)


def test_a_picture_is_deleted_with_its_session(
    held: Pictures, store: SessionStore, connected: set[str]
) -> None:
    ref, other = add(held), add(held, "bob", BOB)
    connected.remove("alice")
    store.clean_up()
    assert not held.open_to(ref.key, "alice", ALICE)
    with pytest.raises(GeoError, match="upload the file again"):
        held.source.read(TileSpec(ref))
    assert held.open_to(other.key, "bob", None)


@pytest.mark.parametrize("who", ["bob", "alice"])
def test_a_link_to_another_users_picture_is_reported(
    held: Pictures, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = add(held)
    monkeypatch.setattr(state, "session_id", lambda: who)
    monkeypatch.setattr(state, "cookie", lambda: {"alice": ALICE, "bob": BOB}[who])
    restored = view_from_params(
        {"tile": f"upload/{ref.key}", "win": "0,0,9,9"},
        DEFAULT,
        sources={"upload"},
        closed=uploads.access_problem,
    )
    if who == "alice":
        assert restored.view.tile.ref == ref and not restored.ignored
    else:
        assert restored.view.tile == DEFAULT.tile
        assert "somebody uploaded" in restored.ignored[0]


@pytest.mark.parametrize("mine", [True, False])
def test_a_link_to_another_users_imagery_is_reported(
    mine: bool, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "JOBS", tmp_path)
    owner = jobs.new_owner()
    ref = uploads.ref_of(uploads.store_upload(owner, png(1), "field.png"))
    assert ref is not None
    monkeypatch.setattr(state, "owner", lambda: owner if mine else jobs.new_owner())
    assert bool(uploads.access_problem(ref)) is not mine
    monkeypatch.setattr(state, "owner", lambda: "")
    assert uploads.access_problem(ref)


def test_a_full_memory_refuses_new_uploads_and_evicts_nobody_elses() -> None:
    held = Uploads(limit_bytes=4 * SIZE, each_bytes=2 * SIZE)
    alice = [held.add(png(n), "a.png", gsd_m=1, owner="alice") for n in range(3)]
    assert held.keys() == tuple(ref.key for ref in alice[1:])  # her own oldest picture was evicted
    bob = [held.add(png(n), "b.png", gsd_m=1, owner="bob") for n in range(2)]
    with pytest.raises(GeoError, match="try again in a few minutes"):
        held.add(png(9), "c.png", gsd_m=1, owner="carol")
    assert held.keys() == tuple(ref.key for ref in (*alice[1:], *bob))


def test_number_of_pictures_is_limited() -> None:
    held = Uploads(each=2)
    refs = [held.add(png(n), "a.png", gsd_m=1, owner="alice") for n in range(4)]
    assert held.keys() == tuple(ref.key for ref in refs[2:])


def test_clearing_the_caches_keeps_uploads() -> None:
    from ui.shell import cached

    ref = pictures.pictures.add("alice", png(1), "mine.png", gsd_m=1)
    cached.catalogue.clear()
    assert cached.catalogue().read(TileSpec(ref)).ref == ref
    pictures.pictures.source.remove(ref.key)
