"""The Scale Lab in a real browser: rows, sections, a link that restores, nothing off-host, at two widths."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import steady_box, wait_until_rest

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]


def errors_shown(page: Page, count: int) -> None:
    expect(page.locator("[data-panel$='-error']")).to_have_count(count)


@pytest.mark.parametrize("width", [1400, pytest.param(400, marks=pytest.mark.thorough)])
def test_rows_and_patches_from_a_link(local_page: Page, serve, width: int):
    local_page.set_viewport_size({"width": width, "height": 900})
    local_page.goto(
        f"{serve(ROOT / 'serve.py')}/Scale_Lab?model=scale_mae_tiny&sel=scales;count:3;row:2;col:3"
    )
    errors_shown(local_page, 3)
    expect(local_page.get_by_text("own scale")).to_be_visible()
    local_page.get_by_role("tab", name="Patches").click()
    expect(local_page.locator("[data-panel='alike-0'] img")).to_be_visible()
    expect(local_page.get_by_label("Row", exact=True)).to_have_value("2")
    expect(local_page.locator("[data-panel='attention-1']")).to_be_attached()
    assert local_page.evaluate("document.documentElement.scrollWidth") <= width
    way = local_page.get_by_role("link", name="To the controls")
    expect(way).to_be_visible(visible=width < 641)
    if width < 641:
        way.click()
        expect(local_page.get_by_text("Keep constant")).to_be_in_viewport()


def test_a_click_on_a_patch_moves_everything_and_the_link(local_page: Page, serve):
    local_page.set_viewport_size({"width": 1400, "height": 900})
    local_page.goto(
        f"{serve(ROOT / 'serve.py')}/Scale_Lab?model=scale_mae_tiny&sel=scales;count:2&tab=Patches"
    )
    plot = local_page.locator(".js-plotly-plot .nsewdrag").first
    expect(plot).to_be_attached()
    plot.scroll_into_view_if_needed()
    wait_until_rest(local_page)
    box = steady_box(plot)
    side = box["height"] / 14
    left = box["x"] + (box["width"] - box["height"]) / 2
    local_page.mouse.click(left + 10.5 * side, box["y"] + 8.5 * side)
    expect(local_page.get_by_label("Row", exact=True)).to_have_value("8")
    expect(local_page.get_by_label("Column", exact=True)).to_have_value("10")
    local_page.wait_for_function("decodeURIComponent(location.search).includes('row:8')")
