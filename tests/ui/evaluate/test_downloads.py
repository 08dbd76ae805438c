"""The form that downloads a labelled set: only where the internet is on, with size, licence and progress."""

import pytest
from streamlit.testing.v1 import AppTest

from core import background
from core.evaluation.data.fetch_process import FetchRequest, FetchStatus
from core.evaluation.data.releases import DATASET_RELEASES, FETCHED_FOLDER
from core.net.download import DownloadProgress
from ui.evaluate import downloads
from ui.shell import ownership


def script():
    from ui.evaluate.downloads import download_form

    download_form()


@pytest.fixture(autouse=True)
def online_without_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("EARTH_MAE_ONLINE", "1")
    monkeypatch.setenv("EARTH_MAE_ALLOW", "train")
    monkeypatch.setenv("EARTH_MAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "data_folders", lambda: (tmp_path,))


@pytest.fixture
def process(monkeypatch):
    """Stands in for the process: running from its launch until it is cleared."""
    launched = []
    monkeypatch.setattr(background, "launch", lambda folder, arguments: launched.append(arguments))
    monkeypatch.setattr(background, "alive", lambda folder: bool(launched))
    return launched


def page():
    return AppTest.from_function(script, default_timeout=60).run()


def button(app, label):
    return next(button for button in app.button if button.label == label)


def end(process, **status):
    downloads.run().write(FetchStatus(**status, ended=True), now=True)
    process.clear()


def test_nothing_is_offered_offline_or_to_visitors(monkeypatch):
    assert page().selectbox
    monkeypatch.setenv("EARTH_MAE_ALLOW", "")
    assert not page().selectbox
    monkeypatch.setenv("EARTH_MAE_ALLOW", "train")
    monkeypatch.delenv("EARTH_MAE_ONLINE")
    assert not page().selectbox


def test_size_licence_and_page_are_shown_before_the_download(tmp_path):
    app = page()
    assert "WHU-RS19" in app.selectbox[0].options and "AID" not in app.selectbox[0].options
    caption = app.caption[0].value
    release = DATASET_RELEASES["eurosat"]
    for text in (release.size, "MIT", "address not verified", "zenodo.org"):
        assert text in caption
    (tmp_path / "EuroSAT_RGB.zip").write_bytes(b"")
    assert "EuroSAT RGB" not in page().selectbox[0].options


def test_a_download_shows_its_progress_and_its_end_in_every_session(process, tmp_path):
    app = button(page(), "Download").click().run()
    assert process[0][0] == "fetch"
    assert downloads.run().request == FetchRequest("eurosat", str(FETCHED_FOLDER.resolve()))
    assert "connecting" in progress_text(app)
    downloads.run().write(FetchStatus(DownloadProgress(30_000_000, 90_000_000, 1e6)), now=True)
    app = page()  # another session, or this one after a restart of the server
    assert "30 of 90 MB, about 60 s left" in progress_text(app)
    assert not app.selectbox and button(app, "Stop the download")
    downloads.run().write(FetchStatus(DownloadProgress(90, 90, 1e6)), now=True)
    assert "checking the file" in progress_text(app.run())
    (tmp_path / "EuroSAT_RGB.zip").write_bytes(b"")
    end(process)
    app.run()
    assert "EuroSAT RGB is here" in app.success[0].value and app.selectbox


def progress_text(app):
    return app.get("progress")[0].proto.text


def test_a_download_stops_on_request_and_is_offered_first_afterwards(process):
    app = page()
    app.selectbox[0].select("WHU-RS19").run()
    button(app, "Download").click().run()
    app = button(app, "Stop the download").click().run()
    assert downloads.run().stop_requested and button(app, "Stop the download").disabled
    end(process)
    app = page()
    assert "Download it again to resume" in app.info[0].value and not app.error
    assert app.selectbox[0].value == "whu_rs19"
    button(app, "Download").click().run()
    assert not downloads.run().stop_requested


def test_a_failed_download_is_reported(process):
    button(page(), "Download").click().run()
    end(process, problem="EuroSAT_RGB.zip is *not* the published file.")
    app = page()
    assert "not" in app.error[0].value and "*not*" not in app.error[0].value.replace("\\*", "")


def test_a_killed_download_is_reported(process):
    button(page(), "Download").click().run()
    process.clear()
    assert "interrupted: download the set again to resume it" in page().error[0].value


def test_a_second_browser_learns_that_a_download_is_running(process, monkeypatch):
    app = page()
    downloads.run().start(FetchRequest("eurosat", ""))
    alive = iter([False, False])  # the page was drawn before the other browser started
    monkeypatch.setattr(background, "alive", lambda folder: next(alive, True))
    app = button(app, "Download").click().run()
    assert "Another download is already running" in app.error[0].value
    assert len(process) == 1


def test_only_the_starter_stops_a_download_on_a_shared_server(process, monkeypatch):
    monkeypatch.setattr(ownership, "serves_others", lambda: True)
    monkeypatch.setattr(ownership.state, "owner", lambda: "me")
    app = button(page(), "Download").click().run()
    assert not button(app, "Stop the download").disabled
    monkeypatch.setattr(ownership.state, "owner", lambda: "somebody else")
    assert button(page(), "Stop the download").disabled


def test_an_unreadable_request_is_no_download(process):
    downloads.run().folder.mkdir(parents=True)
    (downloads.run().folder / background.REQUEST).write_text("{")
    app = page()
    assert not app.exception and not app.error and app.selectbox
