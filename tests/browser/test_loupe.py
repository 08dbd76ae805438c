"""The toolbar of the Mask Lab's pictures: large ones above the fold, loupe, wipe, layout and shortcuts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import patient, steady_box, wait_until_rest
from tests.conftest import ROOT

pytestmark = pytest.mark.browser


def box_of(found: Locator) -> dict[str, float]:
    return {name: float(value) for name, value in steady_box(found).items()}


def test_pictures_are_large_and_a_loupe_and_a_wipe_follow_the_pointer(
    local_page: Page, serve: Callable[..., str]
) -> None:
    page = patient(local_page)
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(f"{serve(ROOT / 'serve.py')}/Mask_Lab")
    bar = page.get_by_role("toolbar", name="Pictures")
    bar.wait_for()
    wait_until_rest(page)
    combined = page.locator('[data-panel="combined"] img').first
    box, beside = box_of(combined), box_of(page.locator('[data-panel="masked"] img').first)
    assert box["width"] > 350 and box["y"] + box["height"] < 700, "large, and above the fold"
    assert beside["y"] == box["y"] and beside["width"] == pytest.approx(box["width"], abs=1)

    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    lenses = page.locator("[data-lens]")
    expect(lenses).to_have_count(7)  # all pictures in view; not the error maps, which are below the fold
    for number in range(2):  # the same place in both large pictures, as a share of their size
        around, lens = (beside, box)[number], box_of(lenses.nth(number))
        assert (lens["x"] + lens["width"] / 2 - around["x"]) / around["width"] == pytest.approx(
            0.25, abs=0.01
        )
    size = lenses.first.evaluate("lens => parseFloat(lens.style.backgroundSize)")
    page.keyboard.press("+")
    assert lenses.first.evaluate("lens => parseFloat(lens.style.backgroundSize)") == pytest.approx(size * 1.5)

    page.keyboard.press("w")
    expect(lenses).to_have_count(0)
    wipe = page.locator('[data-panel="combined"] [data-wipe]')
    original = page.locator('[data-panel="original"] img').first
    assert wipe.get_attribute("src") == original.get_attribute("src")
    assert "75%" in (wipe.get_attribute("style") or "")

    page.mouse.move(5, 5)
    expect(wipe).to_have_count(0)
    page.keyboard.press("d")
    sizes = {round(box_of(image)["width"]) for image in page.locator("[data-panel] img").all()[:7]}
    assert len(sizes) == 1, "all of equal size"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Draw another mask")
    page.get_by_role("button", name="Close", exact=True).click()

    page.reload()
    bar.wait_for()
    expect(bar.get_by_role("button", name="Pictures of equal size")).to_have_attribute("aria-pressed", "true")
