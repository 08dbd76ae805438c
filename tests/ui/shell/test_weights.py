"""Uploaded weights: who may use them, where they are stored, and their deletion with the session."""

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
from tests.thorough import a_few
from ui.shell import cached, uploads, weights
from ui.shell.session_store import SessionStore
from ui.shell.weights import WEIGHTS, WeightsStore, WeightsUploadError, resolve

ALICE, BOB = generate_xsrf_token_string(b"a" * 16), generate_xsrf_token_string(b"b" * 16)
MAX = 10 * 2**20
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
def connected():
    """The sessions whose tab is open."""
    return {"alice", "bob"}


@pytest.fixture
def sessions(connected):
    return SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=None)


@pytest.fixture
def store(sessions, monkeypatch):
    own = WeightsStore(sessions)
    monkeypatch.setattr(weights, "store", own)
    yield own
    for key in sessions.items(WEIGHTS):
        own.remove(key)


@pytest.fixture(scope="module")
def good():
    out = io.BytesIO()
    torch.save(scale_mae(), out)
    return out.getvalue()


def upload(store, who="alice", data=b"weights", name="mine.pth", most=MAX, cookie=None):
    return store.add(who, io.BytesIO(data), name, most, cookie)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../../x", "x.pth"),
        ("..", "weights.pth"),
        ("", "weights.pth"),
        ("/etc/passwd", "passwd.pth"),
        ("C:\\weights\\mae.PT", "mae.pt"),
        ("scalemae-vitlarge-800.pth", "scalemae-vitlarge-800.pth"),
        ("a\0b\n.safetensors", "ab.safetensors"),
        ("x" * 5000 + ".bin", "x" * 60 + ".pth"),
        ("upload-x+gsd.pth", "upload-x-gsd.pth"),
        ("<img src=x>.sh", "img-src-x.pth"),
    ],
)
def test_upload_is_stored_under_a_generated_name_and_key(store, name, stored):
    key = upload(store, name=name)
    path = store.get(key).path
    assert path.name == stored
    assert path.parent.name == key and re.fullmatch(r"upload-[A-Za-z0-9_-]{22}", key)
    assert path.parent.stat().st_mode & 0o077 == 0
    assert path.resolve().is_relative_to(Path(store._folder.name).resolve())


def test_upload_is_listed_for_its_session_only(store):
    key = upload(store)
    assert store.names("alice") == (key,)
    assert store.names("bob") == ()


def test_upload_is_deleted_with_its_session_from_disk_memory_and_caches(store, sessions, connected, good):
    key = upload(store, data=good)
    kept = upload(store, who="bob", data=good)
    path, other = store.get(key).path, store.get(kept).path
    cached.model(key)
    cached.model(kept)
    cached._reconstructions().put((key, "tile"), "a picture")
    cached._studies().put((((f"{key}+gsd", "tile"), 16)), "a spread")
    sessions.clean_up()
    assert path.exists()
    connected.remove("alice")
    sessions.clean_up()
    assert not path.parent.exists()
    assert [one.path for one in model_cache().models() if one.path in (path.resolve(), other.resolve())] == [
        other.resolve()
    ]
    assert cached._reconstructions().get((key, "tile")) is None
    assert cached._studies().get(((f"{key}+gsd", "tile"), 16)) is None
    with pytest.raises(WeightsUploadError, match="upload the file again"):
        cached.model(key)
    cached.model(kept)


def test_a_reloaded_tab_finds_an_upload_and_another_browser_does_not(store, connected):
    key, nameless = upload(store, cookie=ALICE), upload(store)
    assert not store.adopt(key, "alice again", ALICE)  # the first tab is still open
    connected.remove("alice")
    assert not store.adopt(key, "mallory", BOB)
    assert not store.adopt(key, "mallory", None)
    assert not store.adopt(nameless, "mallory", None)
    assert not store.adopt("upload-nothing", "alice again", ALICE)
    assert store.adopt(key, "alice again", ALICE)
    assert store.names("alice again") == (key,) and key not in store.names("alice")


def test_size_number_and_total_of_uploads_are_limited(store, monkeypatch):
    with pytest.raises(WeightsUploadError, match="larger than the 1 MB"):
        upload(store, data=bytes(2**20 + 1), most=2**20)
    assert [file.name for file in store._open_folder().iterdir()] == [weights.LOCK]
    for _ in range(weights.MAX_FILES_EACH):
        upload(store)
    with pytest.raises(WeightsUploadError, match="remove one"):
        upload(store)
    monkeypatch.setattr(weights, "MAX_BYTES", 30)
    with pytest.raises(WeightsUploadError, match=r"larger than the .* available"):
        upload(store, who="bob", data=bytes(10))


@pytest.mark.parametrize("name", a_few(sorted(set(HOSTILE) - ONLY_AS_PATHS), 5))
def test_a_hostile_upload_is_refused_and_loads_no_network(store, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, sentence = HOSTILE[name]
    make(tmp_path / "made.pth")
    before = model_cache().models()
    key = upload(store, data=(tmp_path / "made.pth").read_bytes(), name="../../weights.pth", most=2**30)
    with pytest.raises(ExplorerError, match=sentence):
        cached.card_of(key)
    assert not (tmp_path / "ran").exists()
    assert model_cache().models() == before


def test_names_resolve_to_known_files_and_uploads_only(tmp_path, store):
    known = {"enc.pth": tmp_path / "enc.pth"}
    assert resolve("enc.pth", known) == tmp_path / "enc.pth"
    assert resolve("enc.pth+gsd", known) == tmp_path / "enc.pth+gsd"
    for name in ("../enc.pth", "enc.pth+other", "/etc/passwd", "scale_mae_tiny", str(tmp_path / "enc.pth")):
        assert resolve(name, known) == name
    key = upload(store)
    assert resolve(f"{key}+static", {}) == store.get(key).path.with_name("mine.pth+static")


def test_a_jobs_copy_outlives_the_session_and_is_deleted_with_the_job(store, tmp_path, monkeypatch):
    from core.engine.embedding.spec import EmbeddingSpec
    from ui.shell import jobs

    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    owner, key = jobs.new_owner(), upload(store)
    with uploads.weights_for_a_job(owner) as copy:
        kept = copy(store.get(key).path)
    store.remove(key)
    job = jobs.start(owner, "field", EmbeddingSpec((str(tmp_path / "field.tif"),), "", str(kept), tile_px=32))
    assert kept.read_bytes() == b"weights"
    assert uploads.file_of(kept.parent.name) is None  # it is not a picture
    jobs.cancel(job)
    jobs.remove(job)
    assert not kept.exists()


def test_weights_copied_for_a_job_that_is_refused_are_deleted(store, tmp_path, monkeypatch):
    from ui.shell import jobs

    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    owner, key = jobs.new_owner(), upload(store)
    with pytest.raises(jobs.JobError), uploads.weights_for_a_job(owner) as copy:
        assert copy(store.get(key).path).is_file()
        raise jobs.JobError("Too many jobs wait.")
    assert not list((tmp_path / "jobs").rglob("*.pth"))


def test_weights_are_not_copied_beyond_the_owners_disk_quota(store, tmp_path, monkeypatch):
    from ui.shell import jobs

    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    monkeypatch.setattr(jobs, "MAX_BYTES_EACH", 3)
    key = upload(store)
    with (
        pytest.raises(jobs.JobError, match="delete a table"),
        uploads.weights_for_a_job(jobs.new_owner()) as copy,
    ):
        copy(store.get(key).path)
    assert not list((tmp_path / "jobs").rglob("*.pth"))


def test_folder_of_a_killed_server_is_deleted_at_the_next_start(store, tmp_path, monkeypatch):
    monkeypatch.setattr(weights.tempfile, "tempdir", str(tmp_path))
    alive = store.get(upload(store)).path
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
    assert alive.is_file()  # its server is running
    assert new.exists()  # its server may be starting
    assert victim.exists()
