"""One's own imagery, as somebody uses it: upload, plan, start, reload, cancel, resume, explore, and the map
of what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import patient
from tests.globe_tables import write_world
from tests.waves import waves, write_raster

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
]  # a server, a browser and two processes that import torch: minutes on a busy machine


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    data = tmp_path_factory.mktemp("data")
    write_world(data / "world of tests")
    os.environ["EARTH_MAE_JOBS"] = str(tmp_path_factory.mktemp("jobs"))
    try:
        return serve("panels_server.py", data=data)
    finally:
        del os.environ["EARTH_MAE_JOBS"]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "my field.tif", waves(1600, 1600), "EPSG:32633", 5e6)


def test_from_upload_to_map(local_page: Page, address: str, scene: Path) -> None:
    page = local_page
    page.set_viewport_size({"width": 1400, "height": 1600})
    page.goto(f"{address}/?tab=My+imagery")
    page.get_by_text("Upload", exact=True).first.click()
    page.locator("input[type=file]").set_input_files(scene)
    expect(
        page.get_by_text("625", exact=True)
    ).to_be_visible()  # 25 x 25 tiles of 64 px, said before anything starts
    page.get_by_role("button", name="Start embedding").click()
    expect(page.get_by_text("Your tables")).to_be_visible()

    assert "jobs=" not in page.url  # a copied link gives nobody else the key
    page.goto(
        f"{address}/?tab=My+imagery"
    )  # as a reload does: a new session that knows nothing but the browser's cookie
    cancel, explore = (
        page.get_by_role("button", name="Cancel"),
        page.get_by_role("button", name="Explore", exact=True),
    )
    expect(cancel.or_(explore).first).to_be_visible()
    if cancel.is_visible():
        cancel.click()
        resume = page.get_by_role("button", name="Resume")
        expect(resume.or_(explore).first).to_be_visible()
        if resume.is_visible():
            resume.click()
    explore.click()
    expect(page.get_by_text("open: my field, 625 rows")).to_be_visible()

    with page.expect_response(lambda answer: "/tiles/" in answer.url) as tile:
        page.get_by_role("tab", name="Map", exact=True).click()
    assert tile.value.status == 200
    assert tile.value.body().startswith(b"\x89PNG")
    inside = page.frame_locator("iframe").first
    expect(inside.get_by_text("Embedding (three components)")).to_be_visible()
    stolen = patient(page.context.browser.new_page())  # another browser: no cookie, and the id is of no use
    assert stolen.goto(tile.value.url).status == 404
    stolen.close()


def test_another_user_sees_none_of_it(local_page: Page, address: str) -> None:
    local_page.goto(f"{address}/?tab=My+imagery&jobs={'A' * 22}")
    expect(local_page.get_by_role("button", name="Start embedding")).to_be_visible()
    assert local_page.get_by_text("Your tables").count() == 0


def test_enter_selects_one_of_the_models_that_match(local_page: Page, address: str) -> None:
    """`MAE Tiny` is part of several names; Enter must add that one model, not all matches."""
    local_page.goto(f"{address}/?tab=My+imagery")
    models = local_page.get_by_test_id("stMultiSelect").filter(has_text="Models")
    tags = models.locator(".react-aria-ComboBox [data-tag]")
    expect(tags).to_have_count(1)
    models.locator("input").click()
    local_page.keyboard.type("MAE Tiny")
    local_page.keyboard.press("Enter")
    expect(tags).to_have_count(2)
    local_page.wait_for_timeout(1000)
    assert tags.nth(1).get_attribute("aria-label") == "MAE Tiny"
    expect(tags).to_have_count(2)
