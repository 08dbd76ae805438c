"""What a new user tries first, by mouse: none of it takes more than two clicks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import ROOT
from tests.waves import waves, write_raster

pytestmark = pytest.mark.browser
MOST = 2


class Hand:
    """Clicks, and counts the clicks."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def click(self, target: Locator) -> None:
        target.click()
        self.clicks += 1

    def button(self, name: str | re.Pattern[str]) -> None:
        self.click(self.page.get_by_role("button", name=name).first)


@pytest.fixture
def at(local_page: Page, serve: Callable[..., str]) -> Callable[[str], Hand]:
    """Open a page and wait until it is drawn."""

    def go(path: str) -> Hand:
        local_page.set_viewport_size({"width": 1400, "height": 900})
        local_page.goto(f"{serve(ROOT / 'serve.py')}/{path}")
        expect(local_page.locator(".page-drawn")).to_be_attached()
        local_page.wait_for_function("document.querySelector('[data-test-script-state=notRunning]')")
        return Hand(local_page)

    return go


@pytest.mark.thorough
def test_another_model_takes_two_clicks(at: Callable[[str], Hand]) -> None:
    hand = at("Mask_Lab")
    hand.click(hand.page.get_by_role("combobox", name="Model"))
    hand.click(hand.page.get_by_role("option", name="MAE Tiny", exact=True))
    expect(hand.page).to_have_url(re.compile("model=mae_tiny"))
    assert hand.clicks <= MOST


@pytest.mark.thorough
def test_what_a_model_is_good_at(at: Callable[[str], Hand]) -> None:
    hand = at("Mask_Lab")
    hand.button("About Scale-MAE Tiny")
    for word in ("Good at", "Scores", "Data", "Licence"):
        expect(hand.page.get_by_text(word, exact=True).first).to_be_visible()
    assert hand.clicks == 1


@pytest.mark.thorough
def test_own_picture(at: Callable[[str], Hand], tmp_path: Path) -> None:
    scene = write_raster(tmp_path / "my field.tif", waves(256, 256), "EPSG:32633", 5e6)
    hand = at("Mask_Lab")
    hand.button(re.compile("Own$"))
    with hand.page.expect_file_chooser() as choosing:
        hand.click(hand.page.get_by_role("dialog").get_by_test_id("stFileUploaderDropzone"))
    choosing.value.set_files(scene)
    expect(hand.page).to_have_url(re.compile("tile=upload"))
    assert hand.clicks <= MOST


@pytest.mark.thorough
def test_paint(at: Callable[[str], Hand]) -> None:
    hand = at("")
    hand.button("Show all patches")
    expect(hand.page.get_by_text("0 of 196 patches hidden (0 %)")).to_be_visible()
    hand.click(hand.page.locator(".painter canvas").first)
    expect(hand.page.get_by_text("Reconstruction from 195 visible patches")).to_be_visible()
    assert hand.clicks <= MOST


@pytest.mark.thorough
def test_another_picture_on_home(at: Callable[[str], Hand]) -> None:
    hand = at("")
    hand.button("Bahama banks")
    expect(hand.page.get_by_role("button", name="Bahama banks")).to_be_disabled()
    assert hand.clicks == 1


@pytest.mark.thorough
def test_export(at: Callable[[str], Hand]) -> None:
    hand = at("Mask_Lab")
    hand.click(hand.page.get_by_role("tab", name="Export"))
    with hand.page.expect_download() as saving:
        hand.button("Pictures (PNG)")
    assert saving.value.suggested_filename == "reconstruction.zip"
    assert hand.clicks <= MOST


def test_look_alikes_of_a_named_town(at: Callable[[str], Hand]) -> None:
    hand = at("Globe")
    hand.page.get_by_role("textbox", name="Search for a place or a class of your labels").fill("京都")
    hand.button(re.compile("^Kyoto"))
    expect(hand.page.get_by_text("One per region")).to_be_in_viewport()  # the look-alikes follow it
    expect(hand.page.get_by_text("Most similar first")).to_be_visible()
    assert hand.clicks == 1


@pytest.mark.thorough
def test_a_place_worth_seeing(at: Callable[[str], Hand]) -> None:
    hand = at("Globe")
    hand.button("Show me one")
    expect(hand.page.get_by_alt_text("The tile of row")).to_be_in_viewport()
    assert hand.clicks == 1


@pytest.mark.thorough
def test_share_card(at: Callable[[str], Hand]) -> None:
    hand = at("Globe")
    with hand.page.expect_download() as saving:
        hand.button("Share card")
    assert saving.value.suggested_filename == "globe.png"
    assert hand.clicks == 1


def test_first_lesson(at: Callable[[str], Hand]) -> None:
    hand = at("")
    hand.click(hand.page.get_by_role("link", name=re.compile("Start with lesson 1")))
    expect(hand.page.get_by_role("button", name="Commit my prediction")).to_be_visible()
    assert hand.clicks == 1
