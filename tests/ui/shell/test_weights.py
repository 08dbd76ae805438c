"""Uploaded weights: whose they are, where they lie, and that they go with their session."""

import io
import os
import re
from pathlib import Path

import pytest
import torch
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from core.engine.loaded import model_cache
from core.errors import ExplorerError
from tests.models.checkpoints.test_hostile import HOSTILE, scale_mae
from ui.shell import cached, uploads, weights
from ui.shell.weights import Store, WeightsUploadError, located

ALICE, BOB = generate_xsrf_token_string(b"a" * 16), generate_xsrf_token_string(b"b" * 16)
MOST = 10 * 2**20
ONLY_AS_PATHS = {
    "a folder",
    "a pipe",
    "no file",
    "links in a circle",
    "17 GiB of nothing",
    "too many tensors",
    "a header of 17 MB",
}


@pytest.fixture
def there():
    return {"alice", "bob"}


@pytest.fixture
def store(there, monkeypatch):
    own = Store(lambda session_id: session_id in there, grace_s=0.0, sweep_s=None)
    monkeypatch.setattr(weights, "store", own)
    yield own
    for key in list(own._held):
        own.remove(key)


@pytest.fixture(scope="module")
def good():
    out = io.BytesIO()
    torch.save(scale_mae(), out)
    return out.getvalue()


def lay_in(store, who="alice", data=b"weights", name="mine.pth", most=MOST, cookie=None):
    return store.take_in(who, io.BytesIO(data), name, most, cookie)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("../../x", "x.pth"), ("..", "weights.pth"), ("", "weights.pth"), ("/etc/passwd", "passwd.pth"), ("C:\\weights\\mae.PT", "mae.pt"),
        ("scalemae-vitlarge-800.pth", "scalemae-vitlarge-800.pth"), ("a\0b\n.safetensors", "ab.safetensors"), ("x" * 5000 + ".bin", "x" * 60 + ".pth"),
        ("upload-x+gsd.pth", "upload-x-gsd.pth"), ("<img src=x>.sh", "img-src-x.pth"),
    ],
)  # fmt: skip
def test_it_lies_under_a_name_and_key_of_our_own(store, said, kept):
    key = lay_in(store, name=said)
    path = store.get(key).path
    assert path.name == kept
    assert path.parent.name == key and re.fullmatch(r"upload-[A-Za-z0-9_-]{22}", key)
    assert path.parent.stat().st_mode & 0o077 == 0
    assert path.resolve().is_relative_to(Path(store._folder.name).resolve())


def test_nobody_else_sees_it(store):
    key = lay_in(store)
    assert store.names("alice") == (key,)
    assert store.names("bob") == ()


def test_it_goes_with_its_session_from_disk_memory_and_results(store, there, good):
    key = lay_in(store, data=good)
    kept = lay_in(store, who="bob", data=good)
    path, other = store.get(key).path, store.get(kept).path
    cached.model(key)
    cached.model(kept)
    cached._made().put((key, "tile"), "a picture")
    cached._studies().put((((f"{key}+gsd", "tile"), 16)), "a spread")
    store.sweep()
    assert path.exists()
    there.remove("alice")
    store.sweep()
    assert not path.parent.exists()
    assert [one.path for one in model_cache().models() if one.path in (path.resolve(), other.resolve())] == [
        other.resolve()
    ]
    assert cached._made().get((key, "tile")) is None
    assert cached._studies().get(((f"{key}+gsd", "tile"), 16)) is None
    with pytest.raises(WeightsUploadError, match="upload the file again"):
        cached.model(key)
    cached.model(kept)


def test_a_lost_connection_has_a_while(there):
    store = Store(lambda session_id: session_id in there, grace_s=60, sweep_s=None)
    key = lay_in(store)
    there.clear()
    store.sweep()
    assert store.get(key).path.exists()
    store.remove(key)


def test_a_reloaded_tab_finds_it_and_another_browser_does_not(store, there):
    key, nameless = lay_in(store, cookie=ALICE), lay_in(store)
    assert not store.adopt(key, "alice again", ALICE)  # while the first tab is open it is that tab's alone
    there.remove("alice")
    assert not store.adopt(key, "mallory", BOB)
    assert not store.adopt(key, "mallory", None)
    assert not store.adopt(nameless, "mallory", None)
    assert not store.adopt("upload-nothing", "alice again", ALICE)
    assert store.adopt(key, "alice again", ALICE)
    assert store.names("alice again") == (key,) and key not in store.names("alice")


def test_there_is_an_end_to_size_number_and_room(store, monkeypatch):
    with pytest.raises(WeightsUploadError, match="larger than the 1 MB"):
        lay_in(store, data=bytes(2**20 + 1), most=2**20)
    assert [file.name for file in store._opened().iterdir()] == [weights.LOCK]
    for _ in range(weights.MOST_EACH):
        lay_in(store)
    with pytest.raises(WeightsUploadError, match="remove one"):
        lay_in(store)
    monkeypatch.setattr(weights, "MOST_BYTES", 30)
    with pytest.raises(WeightsUploadError, match=r"larger than the .* available"):
        lay_in(store, who="bob", data=bytes(10))


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - ONLY_AS_PATHS))
def test_a_hostile_upload_is_refused_and_leaves_no_network(store, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, sentence = HOSTILE[name]
    make(tmp_path / "made.pth")
    before = model_cache().models()
    key = lay_in(store, data=(tmp_path / "made.pth").read_bytes(), name="../../weights.pth", most=2**30)
    with pytest.raises(ExplorerError, match=sentence):
        cached.card_of(key)
    assert not (tmp_path / "ran").exists()
    assert model_cache().models() == before


def test_a_name_is_a_file_only_where_it_was_given(tmp_path, store):
    known = {"enc.pth": tmp_path / "enc.pth"}
    assert located("enc.pth", known) == tmp_path / "enc.pth"
    assert located("enc.pth+gsd", known) == tmp_path / "enc.pth+gsd"
    for name in ("../enc.pth", "enc.pth+other", "/etc/passwd", "scale_mae_tiny", str(tmp_path / "enc.pth")):
        assert located(name, known) == name
    key = lay_in(store)
    assert located(f"{key}+static", {}) == store.get(key).path.with_name("mine.pth+static")


def test_a_jobs_copy_outlives_the_session_and_goes_with_the_job(store, tmp_path, monkeypatch):
    from core.engine.embedding.spec import EmbeddingSpec
    from ui.shell import jobs

    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    monkeypatch.setattr(jobs, "keep", lambda: None)
    owner, key = jobs.new_owner(), lay_in(store)
    with uploads.weights_for_a_job(owner) as copy:
        kept = copy(store.get(key).path)
    store.remove(key)
    job = jobs.start(owner, "field", EmbeddingSpec((str(tmp_path / "field.tif"),), "", str(kept), tile_px=32))
    assert kept.read_bytes() == b"weights"
    assert uploads.file_of(kept.parent.name) is None  # and is no picture that a key could open
    jobs.cancel(job)
    jobs.remove(job)
    assert not kept.exists()


def test_weights_copied_for_a_job_that_is_refused_are_deleted(store, tmp_path, monkeypatch):
    from ui.shell import jobs

    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    owner, key = jobs.new_owner(), lay_in(store)
    with pytest.raises(jobs.JobError), uploads.weights_for_a_job(owner) as copy:
        assert copy(store.get(key).path).is_file()
        raise jobs.JobError("Too many jobs wait.")
    assert not list((tmp_path / "jobs").rglob("*.pth"))


def test_weights_are_not_copied_beyond_the_room_of_their_owner(store, tmp_path, monkeypatch):
    from ui.shell import jobs

    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    monkeypatch.setattr(jobs, "MOST_BYTES_EACH", 3)
    key = lay_in(store)
    with (
        pytest.raises(jobs.JobError, match="delete a table"),
        uploads.weights_for_a_job(jobs.new_owner()) as copy,
    ):
        copy(store.get(key).path)
    assert not list((tmp_path / "jobs").rglob("*.pth"))


def test_the_folder_of_a_server_that_was_killed_is_deleted_at_the_next_start(store, tmp_path, monkeypatch):
    monkeypatch.setattr(weights.tempfile, "tempdir", str(tmp_path))
    alive = store.get(lay_in(store)).path
    left, new, link = (tmp_path / f"{weights.PREFIX}{name}" for name in ("left", "new", "link"))
    victim = tmp_path / "victim"
    for folder in (left, new, victim):
        (folder / "upload-x").mkdir(parents=True)
        (folder / "upload-x" / "mine.pth").write_bytes(b"weights")
    link.symlink_to(victim, target_is_directory=True)
    for folder in (left, alive.parents[1]):
        os.utime(folder, (1000, 1000))
    weights.remove_leftovers()
    assert not left.exists()
    assert alive.is_file()  # its server is at work
    assert new.exists()  # its server may be about to lock it
    assert victim.exists()
