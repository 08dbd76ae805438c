"""Imagery uploaded for jobs: checked, renamed, separate per owner, found by its key only."""

import gc
import io
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.engine.embedding.spec import EmbeddingSpec
from core.geo import GeoError, TileSpec
from tests.waves import write_raster
from ui.globe.panels import plans
from ui.shell import jobs, uploads
from ui.shell.session_store import SessionStore
from ui.shell.uploads import UploadedImagery, UploadError, store_upload


@pytest.fixture(autouse=True)
def job_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")


@pytest.fixture
def raster(tmp_path):
    return write_raster(
        tmp_path / "raster.tif", np.arange(3600, dtype="uint8").reshape(3, 30, 40)
    ).read_bytes()


def test_upload_is_stored_under_a_generated_name(raster):
    owner = jobs.new_owner()
    path = store_upload(owner, raster, "../../My <b>field</b> 2024.vrt")
    assert path.suffix == ".tif"
    assert path.name.startswith("b-2024-")  # folders are removed, and markup becomes dashes
    assert path.resolve().is_relative_to(jobs.JOBS / owner)
    assert store_upload(owner, raster, "../../My <b>field</b> 2024.vrt") == path
    ref = uploads.ref_of(path)
    assert UploadedImagery().read(TileSpec(ref)).gsd == pytest.approx(10, rel=1e-3)
    assert UploadedImagery().keys() == ()


def test_a_decoded_picture_goes_with_the_session_that_opened_it(raster):
    connected = {"none"}
    store = SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=None)
    imagery, key = UploadedImagery(store), uploads.ref_of(store_upload(jobs.new_owner(), raster, "a.tif")).key
    opened = weakref.ref(imagery.opened(key))
    store.clean_up()
    assert imagery.opened(key) is opened()
    connected.clear()
    store.clean_up()
    gc.collect()
    assert opened() is None, "it would stay in memory for ever"
    assert imagery.opened(key).header.width == 40


def test_the_plan_of_an_upload_goes_with_the_session_that_made_it(raster, monkeypatch):
    connected = {"none"}
    store = SessionStore(lambda session_id: session_id in connected, grace_s=0.0, clean_up_s=None)
    monkeypatch.setattr(plans, "sessions", store)
    file = store_upload(jobs.new_owner(), raster, "a.tif")
    spec = EmbeddingSpec((str(file),), out="", model="mae_tiny")
    plan = weakref.ref(plans.plan_of(spec, 8))
    store.clean_up()
    assert plans.plan_of(spec, 8) is plan()
    connected.clear()
    store.clean_up()
    gc.collect()
    assert plan() is None, "it holds the decoded picture"


def test_the_same_file_of_two_users_has_two_keys(raster):
    one, other = (
        store_upload(jobs.new_owner(), raster, "a.tif"),
        store_upload(jobs.new_owner(), raster, "a.tif"),
    )
    assert one.parent.name != other.parent.name


@pytest.mark.parametrize("key", ["", "*", "..", "../*", "0" * 32, "g" * 32, "?" * 32])
def test_invalid_keys_open_nothing(raster, key):
    store_upload(jobs.new_owner(), raster, "a.tif")
    with pytest.raises(GeoError):
        UploadedImagery().entry(key)


@pytest.mark.parametrize(
    "data", [b"", b"<VRTDataset/>", b"PK\x03\x04 zip", b"II*\0 cut short", b"\x89PNG\r\n\x1a\n no more"]
)
def test_invalid_pictures_are_refused_and_not_stored(data):
    with pytest.raises(GeoError):
        store_upload(jobs.new_owner(), data, "a.tif")
    assert not jobs.JOBS.exists() or not list(jobs.JOBS.rglob("*.tif"))


def test_size_of_all_uploads_is_limited(monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(out, "PNG")
    with pytest.raises(UploadError, match="delete a table"):
        store_upload(jobs.new_owner(), out.getvalue(), "a.png")


def test_a_table_finds_its_upload_which_is_deleted_with_the_job(raster):
    owner = jobs.new_owner()
    path = store_upload(owner, raster, "field.tif")
    job = jobs.start(owner, "field", EmbeddingSpec((str(path),), "", "mae_tiny", tile_px=32))
    assert uploads.ref_in(job.table, path.name) == uploads.ref_of(path)
    assert uploads.ref_in(job.table, "another.tif") is None
    assert uploads.ref_in(Path("elsewhere"), path.name) is None
    jobs.cancel(job)
    jobs.remove(job)
    assert not path.exists()


def test_stated_upload_limit_is_enforced():
    class Sent(io.BytesIO):
        size = 2**20 + 1

    with pytest.raises(UploadError, match="larger than 1 MB"):
        uploads.content(Sent(b""), 1)
    assert uploads.content(Sent(b"picture"), 2) == b"picture"
