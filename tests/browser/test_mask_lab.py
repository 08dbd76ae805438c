"""The Mask Lab as somebody uses it: a real browser, real tiles, and not one request that leaves this host."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from core.models import create
from tests.browser.conftest import patient, steady_box, wait_until_rest
from tests.conftest import ROOT

pytestmark = pytest.mark.browser


def picture(page: Page, name: str = "combined") -> str:
    """The picture in a panel, once it is there."""
    image = page.locator(f'[data-panel="{name}"] img').first
    image.wait_for()
    return image.get_attribute("src") or ""


def changed(page: Page, before: str, name: str = "combined") -> str:
    page.wait_for_function(
        '([name, before]) => { const i = document.querySelector(`[data-panel="${name}"] img`); return i && '
        "i.src !== before }",
        arg=[name, before],
    )
    return picture(page, name)


def address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


@pytest.fixture
def lab(local_page: Page, serve: Callable[..., str]) -> Page:
    local_page.set_viewport_size({"width": 1400, "height": 1600})
    local_page.goto(f"{serve(ROOT / 'serve.py')}/Mask_Lab")
    picture(local_page)
    return local_page


def test_home_follows_the_brush_and_its_cards_are_links(local_page: Page, serve: Callable[..., str]) -> None:
    local_page.set_viewport_size({"width": 1400, "height": 1300})
    local_page.goto(serve(ROOT / "serve.py"))
    before = picture(local_page)
    local_page.get_by_role("button", name="New mask").click()
    before = changed(local_page, before)
    wait_until_rest(local_page)
    canvas = steady_box(local_page.locator("canvas").first)
    local_page.mouse.move(canvas["x"] + 50, canvas["y"] + 50)
    local_page.mouse.down()
    local_page.mouse.move(canvas["x"] + 400, canvas["y"] + 300, steps=10)
    local_page.mouse.up()
    before = changed(local_page, before)
    local_page.get_by_role("button", name="Greenland").click()
    changed(local_page, before)
    card = local_page.locator(".st-key-doors").get_by_text("Hide patches of a satellite tile")
    card.click(force=True)  # the link's area covers the card's text
    expect(local_page.get_by_role("heading", name="Mask Lab")).to_be_visible()
    picture(local_page, "pasted")


def test_a_move_of_the_slider_changes_picture_and_address_and_back_forward_and_reload_restore_both(
    lab: Page,
) -> None:
    before = picture(lab)
    handle = lab.get_by_role("slider", name="Masking ratio")
    handle.focus()
    handle.press("ArrowLeft")
    after = changed(lab, before)
    expect(lab).to_have_url(re.compile("mask=random-74-s0"))
    lab.go_back()
    assert changed(lab, after) == before
    expect(handle).to_have_value("75")
    lab.go_forward()
    assert changed(lab, before) == after
    lab.reload()
    assert picture(lab) == after


@pytest.mark.thorough
def test_scores_follow_the_pictures(lab: Page) -> None:
    expect(lab.get_by_test_id("stDataFrame").first).to_be_visible()
    expect(lab.get_by_text("patches hidden").first).to_be_visible()


def test_painting_reaches_the_network_and_the_link(lab: Page) -> None:
    before = picture(lab, "masked")
    lab.goto(lab.url.replace("random-75-s0", "cells-14x14-" + "A" * 34))
    canvas = lab.locator(".painter canvas")
    canvas.wait_for()
    clear = changed(lab, before, "masked")
    wait_until_rest(lab)
    box = steady_box(canvas)
    x, y = (box["x"] + box["width"] * 2.5 / 14, box["y"] + box["height"] * 4.5 / 14)
    lab.mouse.move(x, y)
    lab.mouse.down()
    lab.mouse.move(box["x"] + box["width"] * 6.5 / 14, y, steps=6)
    lab.mouse.up()
    changed(lab, clear, "masked")
    from core.masking import mask_from_text

    expect(lab).not_to_have_url(re.compile("A" * 34))
    assert mask_from_text(address(lab)["mask"]).cells == tuple(4 * 14 + col for col in range(2, 7))


def test_an_upload_is_reconstructed_and_its_name_stays_out_of_paths(lab: Page, tmp_path: Path) -> None:
    ground = np.kron(np.random.default_rng(0).integers(40, 200, (16, 16, 3)), np.ones((16, 16, 1))).astype(
        np.uint8
    )
    buffer = io.BytesIO()
    Image.fromarray(ground).save(buffer, "PNG")
    before = picture(lab, "original")
    lab.get_by_role("button", name="Salt ponds, Utah").click()
    lab.get_by_role("tab", name="Upload").click()
    lab.locator("input[type=file]").set_input_files(
        {"name": "../../x.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    lab.get_by_label("Metres per pixel (not stated in PNG and JPEG)").fill("0.5")
    lab.get_by_label("Metres per pixel (not stated in PNG and JPEG)").press("Enter")
    lab.get_by_role("button", name="Show this picture").click()
    changed(lab, before, "original")
    assert address(lab)["tile"].startswith("upload/") and ".." not in address(lab)["tile"]


@pytest.mark.thorough
def test_a_file_that_is_not_a_picture_is_refused(lab: Page) -> None:
    lab.get_by_role("button", name="Salt ponds, Utah").click()
    lab.get_by_role("tab", name="Upload").click()
    lab.locator("input[type=file]").set_input_files(
        {"name": "trap.tif", "mimeType": "image/tiff", "buffer": b"<VRTDataset></VRTDataset>"}
    )
    lab.get_by_role("button", name="Show this picture").click()
    expect(lab.get_by_text("virtual raster")).to_be_visible()


def test_pictures_come_down_as_a_zip_that_holds_the_recipe(lab: Page) -> None:
    lab.get_by_role("tab", name="Export").click()
    with lab.expect_download() as coming:
        lab.get_by_role("button", name="Pictures (PNG)").click()
    with zipfile.ZipFile(coming.value.path()) as archive:
        assert json.loads(archive.read("recipe.json"))["recipe"]["mask"] == "random-75-s0"
        assert Image.open(archive.open("combined.png")).size == (224, 224)


@pytest.mark.thorough
def test_wipe_compares_truth_and_prediction(lab: Page) -> None:
    lab.get_by_role("tab", name="Compare").click()
    expect(lab.get_by_text("Point at a pixel")).to_be_visible()
    stage = lab.locator(".compare .stage")
    stage.scroll_into_view_if_needed()
    wait_until_rest(lab)
    box = steady_box(stage)
    middle = box["y"] + box["height"] / 2
    lab.mouse.move(box["x"] + box["width"] / 2, middle)
    lab.mouse.down()
    lab.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    lab.mouse.up()
    shown = stage.locator("img").nth(1).evaluate("image => image.style.clipPath.match(/([\\d.]+)%\\)/)[1]")
    assert float(shown) == pytest.approx(25, abs=2)
    lab.get_by_role("button", name="Pin this result").click()
    expect(lab.get_by_text("Pinned: ")).to_be_visible()


@pytest.mark.thorough
def test_many_masks_grow_as_they_come(lab: Page) -> None:
    lab.get_by_role("tab", name="Uncertainty (Monte Carlo)").click()
    lab.get_by_role("button", name="Draw the masks").click()
    expect(lab.locator('[data-panel="spread-mean"]')).to_contain_text("16 of 16")


@pytest.mark.thorough
def test_own_weights_survive_a_reload_and_stay_private(lab: Page, browser: Browser) -> None:
    buffer = io.BytesIO()
    torch.manual_seed(0)
    torch.save(
        create(
            "mae",
            img_size=64,
            embed_dim=64,
            depth=1,
            num_heads=2,
            decoder_embed_dim=32,
            decoder_depth=1,
            decoder_num_heads=2,
        ).state_dict(),
        buffer,
    )
    before = picture(lab)
    lab.get_by_role("button", name="Upload weights").click()
    field, load = lab.locator("input[type=file]").first, lab.get_by_role("button", name="Load", exact=True)
    field.set_input_files(
        {"name": "holiday.pth", "mimeType": "application/octet-stream", "buffer": b"no weights at all"}
    )
    load.click()
    expect(lab.get_by_text("holiday.pth is neither")).to_be_visible()
    field.set_input_files(
        {"name": "../../mine.pth", "mimeType": "application/octet-stream", "buffer": buffer.getvalue()}
    )
    load.click()
    after = changed(lab, before)
    expect(load).to_be_hidden()
    expect(lab.get_by_text("About this file")).to_be_visible()
    expect(lab).to_have_url(re.compile("model=upload-"))
    lab.reload()
    assert picture(lab) == after
    other = patient(browser.new_context().new_page())
    other.goto(lab.url)
    expect(other.get_by_text("uploaded in another session")).to_be_visible()
    other.context.close()
