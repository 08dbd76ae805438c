"""Every page as it loads: nothing moves, text can be read on a light and on a dark ground, headings are in
order, pictures have names."""

import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import steady_box, wait_until_rest

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
MEASURES = Path(__file__).parent / "measures.js"
PAGES = ("", "Mask_Lab", "Scale_Lab?sel=scales;count:3", "Globe", "Evaluate", "Train", "Learn?lesson=patches")
FIRST = "Mask_Lab"
"""The page that stands for all; the others are thorough."""
ALL = [path if path == FIRST else pytest.param(path, marks=pytest.mark.thorough) for path in PAGES]
MOST_SHIFT = 0.05


def loaded(page: Page, url: str, width: int, scheme: str) -> Page:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(path=MEASURES)
    page.goto(url)
    expect(page.locator(".page-drawn")).to_be_attached()
    wait_until_rest(page)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", polling=100)
    page.wait_for_timeout(1000)  # what arrives late moves late
    return page


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
@pytest.mark.parametrize("path", ALL)
def test_a_page_keeps_still_and_can_be_read(
    local_page: Page, with_table: str, path: str, width: int, scheme: str
) -> None:
    page = loaded(local_page, f"{with_table}/{path}", width, scheme)
    assert page.evaluate("layoutShift()") < MOST_SHIFT
    assert page.evaluate("paleTexts()") == []
    levels = page.evaluate("headingLevels()")
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels)), levels
    assert page.evaluate("unnamedImages()") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.thorough)])
def test_a_dialog_and_a_popover_can_be_read(local_page: Page, with_table: str, scheme: str) -> None:
    page = loaded(local_page, f"{with_table}/Mask_Lab", 1400, scheme)
    page.get_by_role("button", name="About Scale-MAE Tiny").click()
    expect(page.get_by_text("Good at", exact=True)).to_be_visible()
    assert page.evaluate("paleTexts()") == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("Own$")).click()
    expect(page.get_by_role("dialog").get_by_text("Only this browser can see it")).to_be_visible()
    wait_until_rest(page)
    assert page.evaluate("paleTexts()") == []


@pytest.mark.thorough  # a failed request is an error on the console of test_every_page.py too
@pytest.mark.parametrize("path", PAGES)
def test_no_request_of_a_page_fails(local_page: Page, with_table: str, path: str) -> None:
    failed: list[str] = []
    local_page.on(
        "response",
        lambda answer: failed.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )
    page = loaded(local_page, f"{with_table}/{path}", 1400, "light")
    page.get_by_test_id("stSidebar").get_by_role(
        "link", name="Evaluate" if path == "Globe" else "Globe"
    ).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Evaluate" if path == "Globe" else "Globe")
    assert urlsplit(page.url).path == ("/Evaluate" if path == "Globe" else "/Globe")
    wait_until_rest(page)
    assert failed == []


@pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (400, "light")])
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.slow
def test_the_other_widths_and_grounds(
    local_page: Page, with_table: str, path: str, width: int, scheme: str
) -> None:
    test_a_page_keeps_still_and_can_be_read(local_page, with_table, path, width, scheme)


def test_the_measures_see_what_is_wrong(local_page: Page) -> None:
    local_page.set_content(
        "<h1>One</h1><h3>Three</h3><p style='color:#fff;background:#2dd4bf'>pale</p><img src='data:,'>"
    )
    local_page.add_script_tag(path=MEASURES)
    assert local_page.evaluate("paleTexts()") == ['1.86: undefined "pale"']
    assert local_page.evaluate("headingLevels()") == [1, 3]
    assert len(local_page.evaluate("unnamedImages()")) == 1
    local_page.evaluate(
        "new Promise(done => setTimeout(() => { document.body.style.paddingTop = '300px'; setTimeout(done, "
        "300) }, 700))"
    )
    assert local_page.evaluate("layoutShift()") > MOST_SHIFT


@pytest.mark.thorough
def test_the_table_of_numbers_stays_within_the_margin(local_page: Page, with_table: str) -> None:
    page = loaded(local_page, f"{with_table}/Evaluate", 1400, "light")
    table = steady_box(page.get_by_test_id("stDataFrame").first)
    title = steady_box(page.get_by_test_id("stHeading").first)
    assert table["x"] + table["width"] <= title["x"] + title["width"] + 1 <= 1400 - 30
