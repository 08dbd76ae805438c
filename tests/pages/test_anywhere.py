"""The panel "Anywhere" of the Globe page, against a STAC API and COG server on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.atlas import open_table
from core.atlas.store.append import append_rows
from core.engine.embedding.places import default_recipe, embed_place
from core.geo import TileRef, TileSpec, known_sources
from core.geo.catalogue import DATA_VARIABLE
from core.net.online import SWITCH
from tests.globe_tables import write_world
from ui.shell import cached, jobs

Open = Callable[..., AppTest]
SUMMER = (date(2024, 5, 1), date(2024, 8, 31))


@pytest.fixture(scope="module")
def known_places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of eight windows of a real scene, embedded with the default model."""
    folder = tmp_path_factory.mktemp("made") / "places"
    source, like = known_sources().source("samples"), {**default_recipe(), "image_size": 64}
    for n in range(8):
        tile = source.read(TileSpec(TileRef("samples", "landsat7"), window=(60 * n, 50 * n, 64, 64)))
        made = embed_place(like, tile, source.header("landsat7"), source.entry("landsat7"))
        append_rows(folder, made.row, made.info)
    return folder


@pytest.fixture
def panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open, known_places: Path
) -> Callable[[], AppTest]:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr("ui.globe.tables.WORLD", tmp_path / "nothing shipped")
    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    shutil.copytree(known_places, tmp_path / "Eight places")
    cached.result_cache.clear()
    return lambda: open_page("pages/3_Globe.py", tab="Anywhere")


def text_of(app: AppTest) -> str:
    assert not app.exception, app.exception
    kinds = (app.caption, app.info, app.warning, app.error, app.markdown)
    text = "\n".join(element.value for kind in kinds for element in kind)
    return text.replace("\u2060", "")  # the joiner that keeps escaped text from becoming a link


def named(widgets: Any, label: str) -> Any:
    return next(widget for widget in widgets if widget.label == label)


def ask(app: AppTest, place: str = "-112.7, 40.8", days: tuple[date, date] = SUMMER) -> AppTest:
    named(app.text_input, "Longitude, latitude").set_value(place)
    named(app.date_input, "Taken between").set_value(days)
    app.run()
    return named(app.button, "Search scenes").click().run()


def test_panel_explains_how_to_switch_on_online_access(
    panel: Callable[[], AppTest], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SWITCH)
    app = panel()
    assert "nothing leaves this machine" in text_of(app)
    assert any(f"{SWITCH}=1 make app" in code.value for code in app.code)
    assert not any(button.label == "Search scenes" for button in app.button)
    assert not server.service.sent and not server.service.questions


def test_a_place_is_found_read_reconstructed_compared_and_saved(
    panel: Callable[[], AppTest], server: Any, tmp_path: Path
) -> None:
    app = panel()
    assert named(app.button, "Search scenes").disabled
    assert not server.service.questions  # no request before the user searches
    app = ask(app)
    text = text_of(app)
    assert "11 Jun 2024" in text and "1.5 % cloud" in text and "1 Jul 2024" in text
    assert "Reconstruction" in text
    assert "of this file's 3.84 MB have been read" in text
    assert "Most similar places in “Eight places”" in text
    assert sum(one.bytes for one in server.service.sent if "/cog/" in one.path) < 0.1 * len(
        server.service.files["visual.tif"]
    )
    (folder,) = (tmp_path / "jobs").glob("*/places/*")
    table = open_table(folder)
    assert len(table) == 1
    assert table.lonlat[0] == pytest.approx((-112.7, 40.8), abs=1e-3)
    assert "My places (" in text

    named(app.button, "Show").click().run()
    assert "hazy, 1 Jul 2024" in text_of(app)
    asked = len(server.service.questions)
    app.run()
    assert len(server.service.questions) == asked  # everything is cached
    assert len(open_table(folder)) == 1  # the same window of the same file


def test_a_table_of_other_weights_is_not_compared_but_the_place_is_saved(
    panel: Callable[[], AppTest], server: Any, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "Eight places")
    write_world(tmp_path / "world", 60)
    text = text_of(ask(panel()))
    assert "only be compared with the same weights" in text
    assert "Most similar places" not in text
    assert len(list((tmp_path / "jobs").glob("*/places/*"))) == 1


def test_errors_are_shown_as_sentences(
    panel: Callable[[], AppTest], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = ask(panel(), place="0, 0")
    assert any("widen the dates, allow more cloud" in error.value for error in app.error)
    app = ask(app, place="somewhere")
    assert any("is not a place. Enter longitude" in error.value for error in app.error)
    monkeypatch.setenv("EARTH_MAE_STAC", f"{server.base}/html")
    app = ask(app, place="-112.71, 40.81")
    assert any("web page" in error.value for error in app.error)
    monkeypatch.setenv("EARTH_MAE_STAC", f"{server.base}/v1")
    monkeypatch.setattr(server.service, "raster", "signed/visual.tif?sig=old")
    app = ask(app, place="-112.72, 40.82")
    assert any("expired or needs a signature" in error.value for error in app.error)
    text_of(app)


def test_a_link_opens_an_online_tile_only_with_online_access(
    server: Any, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = {"tile": f"online/{server.base}/cog/visual.tif", "at": "-112.7,40.8", "gsd": "30"}
    app = open_page("pages/1_Mask_Lab.py", **link)
    assert not app.error and "30 m/px" in text_of(app)
    server.service.forget()
    cached.result_cache.clear()
    monkeypatch.delenv(SWITCH)
    cached.catalogue.clear()
    app = open_page("pages/1_Mask_Lab.py", **{**link, "gsd": "31"})
    assert any("online access is off" in error.value for error in app.error)
    assert not server.service.sent
