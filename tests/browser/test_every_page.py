"""Every page after somebody has used it: axe-core finds nothing, the console says nothing, and nothing was
asked of another host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import in_variants, settled
from tests.conftest import ROOT

pytestmark = pytest.mark.browser


def next_picture(page: Page) -> None:
    page.get_by_role("button", name="Next picture").click()


def export(page: Page) -> None:
    page.get_by_role("tab", name="Export").click()


def curves(page: Page) -> None:
    page.get_by_role("tab", name="Curves").click()


def place(page: Page) -> None:
    page.get_by_role("button", name="Show me one").click()
    expect(page.get_by_text("Most similar first")).to_be_visible()
    expect(page.get_by_role("heading", name="Reconstruction")).to_be_visible()


def look_alikes(page: Page) -> None:
    page.get_by_role("textbox", name="Town, country, coordinates").fill("Kyoto")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Most similar to")).to_be_visible()


def own_imagery(page: Page) -> None:
    page.get_by_text("Upload", exact=True).first.click()
    expect(page.locator("input[type=file]").first).to_be_attached()


def duplicates(page: Page) -> None:
    page.get_by_text("Duplicates across the split").click()


def preset(page: Page) -> None:
    page.get_by_role("button", name="laptop").or_(page.get_by_role("radio", name="laptop")).first.click()
    expect(page.get_by_text("About an hour on one core")).to_be_visible()


def all_lessons(page: Page) -> None:
    page.get_by_role("link").filter(has_text="All lessons").first.click()


USES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "Home": ("", next_picture),
    "Mask Lab": ("Mask_Lab", export),
    "Scale Lab": ("Scale_Lab?sel=scales;count:3", curves),
    "Globe": ("Globe", place),
    "Globe, search": ("Globe?tab=Find", look_alikes),
    "My imagery": ("Globe?tab=My+imagery", own_imagery),
    "Evaluate": ("Evaluate", duplicates),
    "Train": ("Train", preset),
    "Learn": ("Learn?lesson=patches", all_lessons),
}


@pytest.fixture
def used(local_page: Page, with_table: str) -> Callable[[str], Page]:
    """Open a page and use it once."""

    def open_and_use(name: str) -> Page:
        path, use = USES[name]
        local_page.set_viewport_size({"width": 1400, "height": 900})
        local_page.goto(f"{with_table}/{path}")
        expect(local_page.locator(".page-drawn")).to_be_attached()
        settled(local_page)
        use(local_page)
        settled(local_page)
        return local_page

    return open_and_use


def test_all_pages_are_here() -> None:
    titles = {path.stem[2:].replace("_", " ") for path in (ROOT / "pages").glob("*.py")}
    assert titles <= set(USES)


@pytest.mark.parametrize("name", USES)
def test_the_console_says_nothing(local_page: Page, used: Callable[[str], Page], name: str) -> None:
    errors: list[str] = []
    local_page.on(
        "console",
        lambda line: errors.append(f"{line.text} {line.location['url']}") if line.type == "error" else None,
    )
    used(name)
    assert errors == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.thorough if name == "Globe" else pytest.mark.slow)
        for name in USES
    ],
)
def test_axe_finds_no_violation(used: Callable[[str], Page], name: str) -> None:
    assert in_variants(used(name)) == {}
