"""Two pictures compared in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import steady_box, wait_until_rest

pytestmark = pytest.mark.browser


@pytest.fixture
def stage(local_page: Page, serve: Callable[..., str]) -> Locator:
    local_page.set_viewport_size({"width": 1000, "height": 950})
    local_page.goto(serve("compare.py"))
    found = local_page.locator(".compare .stage")
    expect(found.locator("img").first).to_have_class("enlarged")
    wait_until_rest(local_page)
    return found


def point(stage: Locator, x: float, y: float) -> tuple[float, float]:
    box = steady_box(stage)
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_the_wipe_follows_the_pointer_and_the_keys(local_page: Page, stage: Locator) -> None:
    right = stage.locator("img").nth(1)
    local_page.mouse.move(*point(stage, 0.5, 0.5))
    local_page.mouse.down()
    local_page.mouse.move(*point(stage, 0.25, 0.5), steps=5)
    local_page.mouse.up()
    assert float(right.evaluate("image => image.style.clipPath.match(/([\\d.]+)%\\)/)[1]")) == pytest.approx(
        25, abs=1
    )
    stage.focus()
    local_page.keyboard.press("End")
    assert right.evaluate("image => image.style.clipPath") == "inset(0px 0px 0px 100%)"


@pytest.mark.thorough
def test_the_probe_reads_both_pictures(local_page: Page, stage: Locator) -> None:
    local_page.mouse.move(*point(stage, 10.5 / 64, 20.5 / 64))
    probe = local_page.locator(".probe")
    expect(probe).to_contain_text("x 10, y 20")
    assert [int(value) for value in probe.locator("b").all_inner_texts()] == [
        40,
        80,
        0,
        40,
        80,
        200,
        0,
        0,
        200,
    ]


@pytest.mark.thorough
def test_flip_and_fade(local_page: Page, stage: Locator) -> None:
    right = stage.locator("img").nth(1)
    blink = local_page.get_by_role("button", name="Blink")
    expect(blink).to_be_hidden()
    stage.focus()
    local_page.keyboard.press("f")
    expect(blink).to_be_visible()
    assert right.evaluate("image => image.style.opacity") == "0"
    local_page.keyboard.press("Space")
    assert right.evaluate("image => image.style.opacity") == "1"
    local_page.keyboard.press("o")
    local_page.get_by_role("slider").fill("30")
    assert float(right.evaluate("image => image.style.opacity")) == pytest.approx(0.3)
