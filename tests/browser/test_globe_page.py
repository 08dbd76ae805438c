"""The Globe page as somebody uses it: 3,000 places, a real browser, two users, and not one request that
leaves this host."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest
from earth_mae_components import contains, decode_polygon
from playwright.sync_api import Browser, Locator, Page, Playwright, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from core.atlas import EmbeddingTable, open_table
from core.engine.embedding.folder import LOG, PLAN
from core.engine.embedding.spec import EmbeddingSpec
from tests.browser.conftest import SLOW_MS, patient, steady_box, until, wait_until_rest
from tests.conftest import ROOT
from tests.globe_tables import write_field, write_other, write_world
from ui.shell import jobs
from ui.shell.routes import OWNER_COOKIE

pytestmark = pytest.mark.browser
MOST_SOCKET_BYTES = 100_000
WIDTH = "image => image.decode().then(() => image.naturalWidth)"


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_other(folder / "as another sees it", write_world(folder / "world of tests"), 0.05)
    write_field(folder / "a field", 170.0, -44.0)
    return folder


@pytest.fixture(scope="session")
def table(tables: Path) -> EmbeddingTable:
    return open_table(tables / "world of tests")


@pytest.fixture(scope="session")
def jobs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server of these tests keeps its jobs."""
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture
def address(
    serve: Callable[..., str], tables: Path, jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("EARTH_MAE_JOBS", str(jobs_folder))
    return f"{serve(ROOT / 'serve.py', data=tables)}/Globe?table=world+of+tests"


def opened(page: Page, address: str) -> Locator:
    """The scene, once its points are drawn."""
    page.set_viewport_size({"width": 1400, "height": 1300})
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('linked-globe:highlight').length > 0")
    wait_until_rest(page)
    return page.locator(".scene")


@pytest.fixture
def scene(local_page: Page, address: str) -> Locator:
    return opened(local_page, address)


def address_of(page: Page) -> dict[str, str]:
    """What the address bar says."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def click(page: Page, scene: Locator, x: float, y: float) -> None:
    box = steady_box(scene)
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def click_until(page: Page, scene: Locator, x: float, y: float, url: str) -> None:
    """Click until the address says so: while the camera is still under way, a click can miss the points."""
    expect(scene).to_be_visible()
    end = time.monotonic() + SLOW_MS / 1000
    while not re.search(url, page.url):
        assert time.monotonic() < end, page.url
        click(page, scene, x, y)
        with suppress(PlaywrightTimeoutError):
            page.wait_for_url(re.compile(url), timeout=5000)


def wait_for_camera(page: Page, condition: str) -> None:
    """Wait until the globe's camera in the address fulfils a condition on `lon`, `lat` and `zoom`."""
    page.wait_for_function(
        f"""() => {{
            const [view, ...numbers] = (new URLSearchParams(location.search).get('cam') ?? '').split(',');
            const [lon, lat, zoom] = numbers.map(Number);
            return view === 'g' && {condition};
        }}"""
    )


def lasso(page: Page, scene: Locator, x: float, y: float, radius: float, nth: int = 0) -> None:
    page.get_by_role("button", name="Lasso").nth(nth).click()
    box = steady_box(scene)
    cx, cy = box["x"] + x * box["width"], box["y"] + y * box["height"]
    page.mouse.move(cx + radius, cy)
    page.mouse.down()
    for step in range(1, 13):
        page.mouse.move(cx + radius * math.cos(step / 2), cy + radius * math.sin(step / 2))
    page.mouse.up()


def test_an_opened_table_fits_the_view(local_page: Page, address: str) -> None:
    scene = opened(local_page, f"{address}&cam=g,20,0,2")
    local_page.get_by_test_id("stSelectbox").filter(has_text="Table").locator("input").click()
    local_page.get_by_role("option", name="a field").click()
    expect(local_page.locator(".counted")).to_have_text("200 points")
    click_until(local_page, scene, 0.25, 0.5, "place=place")
    for _ in range(6):
        local_page.keyboard.press("ArrowRight")
    wait_for_camera(local_page, "Math.abs(lon - 170) > 0.1")
    local_page.get_by_role("button", name="Show everything").click()
    wait_for_camera(
        local_page, "Math.abs(lon - 170) < 0.05 && Math.abs(lat + 44) < 0.05 && zoom > 8 && zoom <= 11.5"
    )


@pytest.mark.thorough
def test_results_are_visible_beside_the_maps(local_page: Page, address: str) -> None:
    scene = opened(local_page, f"{address}&place=place000000")
    local_page.set_viewport_size({"width": 1400, "height": 900})
    strip = local_page.locator(".st-key-strip-near")
    expect(strip).to_be_in_viewport()
    left, right = steady_box(scene), steady_box(strip)
    assert right["x"] > left["x"] + left["width"] and right["y"] < left["y"] + left["height"]
    local_page.mouse.move(right["x"] + 20, right["y"] + 20)
    local_page.mouse.wheel(0, 600)
    expect(local_page.get_by_role("heading", name="Reconstruction")).to_be_in_viewport()
    expect(scene).to_be_in_viewport(ratio=0.9)  # the maps stay while the panel scrolls
    local_page.set_viewport_size({"width": 1100, "height": 900})
    left, right = steady_box(scene), steady_box(strip)
    assert right["y"] > left["y"] + left["height"] and left["width"] > 700


@pytest.mark.thorough
def test_explore_opens_the_table_and_scrolls_to_the_maps(
    local_page: Page, address: str, jobs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = local_page
    scene = opened(page, f"{address}&tab=My+imagery")
    owner = next(one["value"] for one in page.context.cookies() if one["name"] == OWNER_COOKIE)
    finished_job(jobs_folder, owner, "my field", monkeypatch)
    page.reload()
    page.set_viewport_size({"width": 1100, "height": 500})  # too narrow for the panel beside the maps
    explore = page.get_by_role("button", name="Explore", exact=True)
    explore.scroll_into_view_if_needed()
    wait_until_rest(page)
    explore.evaluate("button => button.scrollIntoView({ block: 'center' })")
    expect(scene).not_to_be_in_viewport()
    explore.click()
    expect(page.locator(".counted")).to_have_text("150 points")
    expect(scene).to_be_in_viewport(ratio=0.3)
    assert address_of(page)["table"] == "my field"


def finished_job(folder: Path, owner: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a finished job of this owner on disk."""
    monkeypatch.setattr(jobs, "JOBS", folder)
    job = jobs.start(owner, title, EmbeddingSpec((f"{title}.tif",), "", "mae_tiny"))
    (job.folder / jobs.WAITING).unlink()
    write_field(job.table, 20.0, 50.0, 150)
    (job.table / PLAN).write_text('{"windows": 150}')
    (job.table / LOG).write_text('{"time": 1, "event": "end", "done": 150}\n')
    assert job.state == "finished"


def test_a_click_on_the_pacific_shows_its_tile_neighbours_and_reconstruction(
    local_page: Page, address: str
) -> None:
    scene = opened(local_page, f"{address}&cam=g,-120,-45,2.5")
    click(local_page, scene, 0.25, 0.5)
    expect(local_page.get_by_text("45.00° S, 120.00° W")).to_be_visible()
    assert address_of(local_page)["place"] == "place000000"
    strip = local_page.locator('[class*="st-key-strip-near"] button img')
    expect(strip).to_have_count(12)
    local_page.wait_for_function(
        """() => [...document.querySelectorAll('[class*="st-key-strip-near"] button img')]
            .every(i => i.complete && i.naturalWidth === 128)""",
    )
    local_page.locator('[data-panel="combined"] img').wait_for()
    strip.first.click()
    expect(local_page).not_to_have_url(re.compile("place=place000000"))


@pytest.mark.thorough
def test_hovering_shows_the_tile_itself(local_page: Page, address: str) -> None:
    scene = opened(local_page, f"{address}&cam=g,-120,-45,2.5")
    box = steady_box(scene)
    local_page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    picture = local_page.locator(".tip img")
    picture.wait_for()
    assert picture.evaluate(WIDTH) == 128
    assert re.fullmatch(r"/pictures/[\w-]{22}/\d+\.jpg", picture.get_attribute("src") or "")


@pytest.mark.thorough
def test_near_enough_points_become_their_tiles_and_a_tile_can_be_clicked(
    local_page: Page, address: str
) -> None:
    scene = opened(local_page, f"{address}&cam=g,-120,-45,4.5")
    tile = local_page.locator(".near img").first
    tile.wait_for()
    assert tile.evaluate(WIDTH) == 128
    assert tile.evaluate("image => +getComputedStyle(image.parentNode).zIndex") > 0, (
        "else the canvas covers it"
    )
    box = steady_box(scene)
    local_page.mouse.click(
        box["x"] + 0.25 * box["width"] + 22, box["y"] + 0.5 * box["height"] - 22
    )  # a corner: no point lies there
    expect(local_page).to_have_url(re.compile("place=place000000"))


def through_the_socket(page: Page) -> list[int]:
    """The bytes of every frame from now on; the page is loaded anew, for listeners must be there before the
    socket opens."""
    moved: list[int] = []
    page.on(
        "websocket",
        lambda socket: [
            socket.on(kind, lambda frame: moved.append(len(frame))) for kind in ("framereceived", "framesent")
        ],
    )
    page.reload()
    page.wait_for_function("performance.getEntriesByName('linked-globe:highlight').length > 0")
    wait_until_rest(page)
    page.wait_for_timeout(2000)
    moved.clear()
    return moved


def test_a_lasso_is_one_selection_for_browser_python_and_address(
    local_page: Page, scene: Locator, table: EmbeddingTable
) -> None:
    moved = through_the_socket(local_page)
    lasso(local_page, scene, 0.25, 0.5, 90)
    expect(local_page).to_have_url(re.compile("area=gl"))
    local_page.wait_for_timeout(1500)
    polygon = decode_polygon(address_of(local_page)["area"][2:])
    own = int(contains(polygon, *table.lonlat.T, wraps=True).sum())
    assert own > 20
    expect(local_page.locator(".counted")).to_have_text(f"{own:,} of 3,000 selected")
    print(f"lasso of {own} places: {sum(moved):,} bytes through the socket")
    assert 0 < sum(moved) <= MOST_SOCKET_BYTES


@pytest.mark.thorough
def test_the_pictures_of_a_click_do_not_go_through_the_socket(local_page: Page, address: str) -> None:
    scene = opened(local_page, f"{address}&cam=g,-120,-45,2.5")
    moved = through_the_socket(local_page)
    click(local_page, scene, 0.25, 0.5)
    imagined = local_page.locator('[data-panel="combined"] img')
    imagined.wait_for()
    assert re.fullmatch(r"/pictures/[\w-]{22}/0\.jpg", imagined.get_attribute("src") or "")
    assert imagined.evaluate(WIDTH) >= 64
    wait_until_rest(local_page)
    local_page.wait_for_timeout(1500)
    print(f"click: {sum(moved):,} bytes through the socket")
    assert 0 < sum(moved) <= MOST_SOCKET_BYTES


@pytest.mark.thorough
def test_the_address_restores_colour_camera_and_selection(
    local_page: Page, address: str, table: EmbeddingTable
) -> None:
    from earth_mae_components import encode_polygon

    area = [(-30.0, -40.0), (60.0, -40.0), (60.0, 40.0), (-30.0, 40.0)]
    own = int(contains(np.float32(area), *table.lonlat.T, wraps=True).sum())
    opened(local_page, f"{address}&by=column:recon_loss_low&cam=f,12,3,1.5&area=gb{encode_polygon(area)}")
    expect(local_page.locator(".counted")).to_have_text(f"{own:,} of 3,000 selected")
    expect(local_page.locator(".legend summary")).to_have_text("Reconstruction loss, low frequencies")
    expect(local_page.locator(".tool .word").first).to_have_text("Flat")
    local_page.reload()
    expect(local_page.locator(".counted")).to_have_text(f"{own:,} of 3,000 selected")
    assert {name: address_of(local_page)[name] for name in ("by", "cam")} == {
        "by": "column:recon_loss_low",
        "cam": "f,12.00,3.00,1.50",
    }


@pytest.mark.thorough
def test_a_link_to_a_place_turns_the_globe_to_it(
    local_page: Page, address: str, table: EmbeddingTable
) -> None:
    opened(local_page, f"{address}&place=place000007")
    local_page.wait_for_url(re.compile("cam="))
    wait_until_rest(local_page)
    view, lon, lat, _ = address_of(local_page)["cam"].split(",")[:4]
    row = table.columns["unique_id"].to_pylist().index("place000007")
    assert view == "g"
    assert np.allclose((float(lon), float(lat)), table.lonlat[row], atol=0.5)


@pytest.mark.thorough
def test_recolouring_by_likeness_sends_a_byte_a_point_and_back_and_undo_take_it_back(
    local_page: Page, address: str
) -> None:
    opened(local_page, f"{address}&place=place000000")
    local_page.locator('[data-panel="combined"] img').wait_for()
    with local_page.expect_response(re.compile("/colours/")) as coming:
        local_page.get_by_text("Where else on Earth does it look like this?").click()
    assert coming.value.status == 200
    assert len(coming.value.body()) == 16 + 3000
    likeness, legend = "Similarity to the selected place", local_page.locator(".legend")
    expect(legend.locator("summary")).to_have_text(likeness)
    wait_until_rest(local_page)
    local_page.go_back()
    expect(legend.locator("summary")).not_to_have_text(likeness)
    wait_until_rest(local_page)
    local_page.go_forward()
    expect(legend.locator("summary")).to_have_text(likeness)
    local_page.get_by_role("button", name="Undo", exact=True).click()
    expect(legend.locator("summary")).not_to_have_text(likeness)


@pytest.mark.thorough
def test_the_twin_globe_of_another_network_has_the_same_selection_and_place(
    local_page: Page, address: str, table: EmbeddingTable
) -> None:
    def selected() -> int:
        return int(
            contains(decode_polygon(address_of(local_page)["area"][2:]), *table.lonlat.T, wraps=True).sum()
        )

    opened(local_page, f"{address}&tab=Compare&with={quote('another vector · as another sees it')}")
    counted = local_page.locator(".counted")
    expect(counted).to_have_text(["3,000 points"] * 2)
    main, twin = local_page.locator(".scene").first, local_page.locator(".scene").nth(1)
    twin.scroll_into_view_if_needed()
    lasso(local_page, twin, 0.5, 0.25, 60, nth=1)  # it is narrow, so its globe stands above its projection
    expect(local_page).to_have_url(re.compile("area=gl"))
    first = selected()
    assert first > 20
    expect(counted).to_have_text([f"{first:,} of 3,000 selected"] * 2)
    main.scroll_into_view_if_needed()
    lasso(local_page, main, 0.25, 0.5, 130)
    expect(counted.first).not_to_have_text(f"{first:,} of 3,000 selected")
    expect(counted.nth(1)).not_to_have_text(f"{first:,} of 3,000 selected")
    assert selected() > first
    expect(counted).to_have_text([f"{selected():,} of 3,000 selected"] * 2)
    twin.scroll_into_view_if_needed()
    local_page.get_by_role("button", name="Move and click").nth(1).click()
    click(local_page, twin, 0.5, 0.25)
    expect(local_page).to_have_url(re.compile("place=place"))


@pytest.mark.thorough
def test_the_mask_lab_opens_with_the_place_and_the_globe_comes_back_as_it_was(
    local_page: Page, address: str
) -> None:
    opened(local_page, f"{address}&place=place000000&mask=block-50-s3-z0&by=column:gsd_m")
    local_page.get_by_role("button", name="Open in Mask Lab").click()
    expect(local_page.get_by_role("heading", name="Mask Lab")).to_be_visible()
    expect(local_page).to_have_url(re.compile(r"tile=globe%2Fblue_marble.*at=-120%2C-45.*mask=block-50-s3"))
    local_page.get_by_test_id("stSidebar").get_by_role("link", name="Globe").click()
    expect(local_page).to_have_url(re.compile("place=place000000"))
    expect(local_page.get_by_role("button", name="Open in Mask Lab")).to_be_visible()
    wait_until_rest(local_page)
    assert {name: address_of(local_page)[name] for name in ("by", "mask")} == {
        "by": "column:gsd_m",
        "mask": "block-50-s3",
    }


@pytest.mark.thorough
def test_every_tab_opens_without_an_error(local_page: Page, address: str) -> None:
    """Off-host requests and script errors on any of them fail at the end of the test (`local_page`).

    The row of tabs stays the one it was: built anew, it would take the panels' scroll, focus and chosen files
    with it.
    """
    opened(local_page, f"{address}&place=place000000")
    wait_until_rest(local_page)
    tabs = local_page.get_by_test_id("stMain").get_by_role("tab")
    row = tabs.first.element_handle()
    for name in tabs.all_inner_texts():
        local_page.get_by_role("tab", name=name, exact=True).click()
        expect(local_page.get_by_role("tab", name=name, exact=True)).to_have_attribute(
            "aria-selected", "true"
        )
        wait_until_rest(local_page)
        expect(local_page.get_by_test_id("stException")).to_have_count(0)
        expect(local_page.get_by_test_id("stAlertContentError")).to_have_count(0)
        assert row.evaluate("tab => tab.isConnected"), f"{name} moved the row of tabs"


def test_two_users_cannot_read_each_others_points_and_a_closed_page_is_forgotten(
    local_page: Page, address: str, browser: Browser
) -> None:
    seen: list[str] = []
    local_page.on("request", lambda request: seen.append(request.url))
    lasso(local_page, opened(local_page, address), 0.25, 0.5, 90)
    expect(local_page).to_have_url(re.compile("area=gl"))
    mine = [url for url in seen if re.search(r"/(points|colours|pictures)/", url)]
    assert len(mine) >= 3
    stranger = browser.new_context()
    try:
        other = patient(stranger.new_page())
        opened(other, address)
        expect(other.locator(".counted")).to_have_text("3,000 points")  # a selection is its owner's
        for url in mine:
            assert local_page.request.get(url).status == 200
            assert other.request.get(url).status == 404
            assert other.evaluate("url => fetch(url).then(answer => answer.status)", url) == 404
    finally:
        stranger.close()
    local_page.goto("about:blank")
    for url in mine:  # the cookie is still there, but the session is closed
        until(lambda url=url: local_page.request.get(url).status == 404)


@pytest.fixture
def page_without_webgl(playwright: Playwright, browser_type_launch_args: dict[str, Any]) -> Iterator[Page]:
    args = [
        *(arg for arg in browser_type_launch_args["args"] if "swiftshader" not in arg),
        "--disable-3d-apis",
    ]
    browser = playwright.chromium.launch(**{**browser_type_launch_args, "args": args})
    yield patient(browser.new_page(viewport={"width": 1400, "height": 1300}))
    browser.close()


def test_without_webgl_pictures_are_drawn_here_and_a_click_finds_the_place(
    page_without_webgl: Page, address: str
) -> None:
    page = page_without_webgl
    page.goto(address)
    pictures = page.locator(".stills img")
    expect(pictures).to_have_count(2)
    assert [pictures.nth(n).evaluate(WIDTH) for n in (0, 1)] == [1024, 512]
    box = steady_box(pictures.first)
    page.mouse.click(box["x"] + box["width"] * (180 - 120) / 360, box["y"] + box["height"] * (90 + 45) / 180)
    expect(page.get_by_text("45.00° S, 120.00° W")).to_be_visible()
