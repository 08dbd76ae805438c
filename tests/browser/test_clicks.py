"""What a new user tries first, by mouse: none of it takes more than two clicks."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import ROOT

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


def test_other_model(at: Callable[[str], Hand]) -> None:
    hand = at("Mask_Lab")
    hand.click(hand.page.get_by_role("combobox", name="Model"))
    hand.click(hand.page.get_by_role("option", name="MAE Tiny", exact=True))
    expect(hand.page).to_have_url(re.compile("model=mae_tiny"))
    assert hand.clicks <= MOST


def test_what_a_model_is_good_at(at: Callable[[str], Hand]) -> None:
    hand = at("Mask_Lab")
    hand.button("About Scale-MAE Tiny")
    for word in ("Good at", "Scores", "Data", "Licence"):
        expect(hand.page.get_by_text(word, exact=True).first).to_be_visible()
    assert hand.clicks == 1
