"""The form that downloads a labelled set: only where the internet is on, with size, licence and progress."""

import threading

import pytest
from streamlit.testing.v1 import AppTest

from core.evaluation.data.fetching import FetchSetError
from core.evaluation.data.releases import DATASET_RELEASES
from core.net.download import DownloadProgress
from ui.evaluate import downloads


def script():
    from ui.evaluate.downloads import download_form

    download_form()


@pytest.fixture(autouse=True)
def online_without_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("EARTH_MAE_ONLINE", "1")
    monkeypatch.setenv("EARTH_MAE_ALLOW", "train")
    monkeypatch.setattr(downloads, "data_folders", lambda: (tmp_path,))
    monkeypatch.setattr(downloads, "_current", [])


def page():
    return AppTest.from_function(script, default_timeout=60).run()


def pressed(app, label):
    next(button for button in app.button if button.label == label).click()
    return app.run()


def test_nothing_is_offered_offline_or_to_visitors(monkeypatch):
    assert page().selectbox
    monkeypatch.setenv("EARTH_MAE_ALLOW", "")
    assert not page().selectbox
    monkeypatch.setenv("EARTH_MAE_ALLOW", "train")
    monkeypatch.delenv("EARTH_MAE_ONLINE")
    assert not page().selectbox


def test_size_licence_and_page_are_said_before_the_download(tmp_path):
    app = page()
    assert "WHU-RS19" in app.selectbox[0].options and "AID" not in app.selectbox[0].options
    said = app.caption[0].value
    release = DATASET_RELEASES["eurosat"]
    for text in (release.size, "MIT", "address not verified", "zenodo.org"):
        assert text in said
    (tmp_path / "EuroSAT_RGB.zip").write_bytes(b"")
    assert "EuroSAT RGB" not in page().selectbox[0].options


def test_a_download_shows_its_progress_and_its_end(monkeypatch):
    going, finish = threading.Event(), threading.Event()

    def fetch(release, *, progress):
        progress(DownloadProgress(30_000_000, 90_000_000, 1e6))
        going.set()
        assert finish.wait(60)

    monkeypatch.setattr(downloads, "fetch_set", fetch)
    app = pressed(page(), "Download")
    assert going.wait(60)
    app.run()
    assert not app.selectbox and "Stop the download" in [button.label for button in app.button]
    finish.set()
    downloads._current[0].thread.join(60)
    app.run()
    assert "EuroSAT RGB is here" in app.success[0].value


def test_a_download_stops_on_request(monkeypatch):
    stopping = threading.Event()

    def fetch(release, *, progress):
        assert stopping.wait(60)
        progress(DownloadProgress(1, 2, 1.0))
        raise AssertionError("it went on")

    monkeypatch.setattr(downloads, "fetch_set", fetch)
    app = pressed(pressed(page(), "Download"), "Stop the download")
    stopping.set()
    downloads._current[0].thread.join(60)
    app.run()
    assert "continues from there" in app.error[0].value and app.selectbox


def test_a_failed_download_is_one_sentence(monkeypatch):
    def fetch(release, *, progress):
        raise FetchSetError("EuroSAT_RGB.zip is *not* the published file.")

    monkeypatch.setattr(downloads, "fetch_set", fetch)
    app = pressed(page(), "Download")
    downloads._current[0].thread.join(60)
    app.run()
    assert "not" in app.error[0].value and "*not*" not in app.error[0].value.replace("\\*", "")
