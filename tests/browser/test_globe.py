"""The linked globe in a real browser: one selection on both sides, decided there, checked by Python."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from earth_mae_components import contains
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, Playwright, expect

from tests.browser.conftest import patient, steady_box, until, wait_until_rest

pytestmark = pytest.mark.browser


def opened(page: Page, address: str) -> Locator:
    """The scene, once its first picture with points is drawn."""
    page.set_viewport_size({"width": 1300, "height": 950})
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('linked-globe:highlight').length > 0")
    wait_until_rest(page)
    return page.locator(".scene")


@pytest.fixture
def scene(local_page: Page, serve: Callable[..., str]) -> Locator:
    return opened(local_page, serve("globe_server.py"))


def state_with(page: Page, **expected: Any) -> dict[str, Any]:
    """What Python says, once it says what is wanted."""
    test = " && ".join(
        f"told[{json.dumps(name)}] === {json.dumps(value)}" for name, value in expected.items()
    )
    page.wait_for_function(
        "() => { const told = JSON.parse(document.querySelector('code').innerText); "
        f"return {test or 'true'}; }}"
    )
    return json.loads(page.locator("code").inner_text())


def at(scene: Locator, x: float, y: float) -> tuple[float, float]:
    box = steady_box(scene)
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def lasso(page: Page, scene: Locator, x: float, y: float, radius: float) -> None:
    """A round lasso about a place given in fractions of the scene, in pixels of radius."""
    page.get_by_role("button", name="Lasso").click()
    cx, cy = at(scene, x, y)
    page.mouse.move(cx + radius, cy)
    page.mouse.down()
    for step in range(1, 13):
        page.mouse.move(cx + radius * math.cos(step / 2), cy + radius * math.sin(step / 2))
    page.mouse.up()


def colourful(scene: Locator) -> int:
    """How many pixels of the projection's side are of a strong colour: points or cells, but those a selection
    leaves out."""
    picture = np.asarray(Image.open(io.BytesIO(scene.screenshot())).convert("RGB")).astype(int)
    right = picture[60:, picture.shape[1] // 2 + 4 :]
    return int((right.max(axis=2) - right.min(axis=2) > 70).sum())


@pytest.mark.parametrize(
    ("side", "x"), [("globe", 0.25), pytest.param("plane", 0.9, marks=pytest.mark.thorough)]
)
def test_a_lasso_counts_what_python_counts(local_page: Page, scene: Locator, side: str, x: float) -> None:
    lasso(local_page, scene, x, 0.5, 100)
    state = state_with(local_page, kind="lasso", side=side)
    assert state["count"] == state["own"] > 20
    assert state["ids_agree"]
    expect(local_page.locator(".counted")).to_have_text(f"{state['count']:,} of 3,000 selected")
    measures = {
        name: round(
            local_page.evaluate(f"performance.getEntriesByName('linked-globe:{name}').at(-1).duration"), 1
        )
        for name in ("select", "highlight")
    }
    print(
        f"{side}, {state['vertices']} corners: membership and colours {measures['select']} ms, drawn on both "
        f"sides {measures['highlight']} ms"
    )
    assert measures["select"] < 100  # what the processor does; the frame itself is drawn in software here


def test_a_box_and_its_undo(local_page: Page, scene: Locator) -> None:
    local_page.get_by_role("button", name="Box").click()
    local_page.mouse.move(*at(scene, 0.55, 0.05))
    local_page.mouse.down()
    local_page.mouse.move(*at(scene, 0.75, 0.95), steps=4)
    local_page.mouse.up()
    first = state_with(local_page, kind="box", side="plane")
    assert first["vertices"] == 4
    assert first["count"] == first["own"] > 0
    lasso(local_page, scene, 0.9, 0.5, 40)
    state_with(local_page, kind="lasso")
    local_page.get_by_role("button", name="Undo").click()
    assert state_with(local_page, kind="box")["count"] == first["count"]
    local_page.get_by_role("button", name="Clear selection").click()
    assert state_with(local_page, kind="none")["count"] == 0


@pytest.mark.thorough
def test_cells_in_place_of_points_are_coloured_and_selected_as_they_are(
    local_page: Page, scene: Locator
) -> None:
    wrong: list[str] = []
    local_page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    draw = local_page.get_by_role("button", name="Points, cells")
    draw.click(), draw.click()
    expect(draw).to_contain_text("Cells")
    seen = [0]

    def is_drawn() -> bool:
        seen.append(colourful(scene))
        return seen[-1] == seen[-2] > 0

    until(is_drawn)
    whole = seen[-1]
    lasso(local_page, scene, 0.9, 0.5, 60)
    state = state_with(local_page, kind="lasso", side="plane")
    assert state["count"] == state["own"] > 20
    until(lambda: 0 < colourful(scene) < whole)
    assert wrong == []


@pytest.mark.thorough
def test_colours_fill_the_map_and_blend_into_the_picture_of_the_earth(
    local_page: Page, serve: Callable[..., str]
) -> None:
    scene = opened(local_page, serve("globe_server.py") + "/?surface=1&at=0,0")

    def sides() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        picture = np.asarray(Image.open(io.BytesIO(scene.screenshot())).convert("RGB"))
        middle, centre = picture.shape[0] // 2, picture.shape[1] // 4
        rows = slice(middle - 60, middle + 60)
        return picture[rows, centre - 70 : centre - 10], picture[rows, centre + 10 : centre + 70]

    blend = local_page.get_by_label("Opacity of the colours")

    def is_filled() -> bool:
        """One colour without gaps on each side, but for lines of the graticule."""
        west, east = sides()
        return contrast(west, east) > 40 and all(
            (np.abs(side.astype(int) - np.median(side, axis=(0, 1))).max(axis=2) < 12).mean() > 0.9
            for side in (west, east)
        )

    blend.fill("100")
    until(is_filled)
    west, _ = sides()
    blend.fill("0")
    until(lambda: contrast(sides()[0], west) > 40)


def contrast(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The largest difference between the median colours of two pictures."""
    return float(np.abs(np.median(one, axis=(0, 1)) - np.median(other, axis=(0, 1))).max())


@pytest.mark.thorough
def test_full_screen_and_back(local_page: Page, scene: Locator) -> None:
    local_page.get_by_role("button", name="Full screen").click()
    local_page.wait_for_function("document.fullscreenElement !== null")
    box = steady_box(scene)
    assert box["height"] > 0.8 * local_page.evaluate("innerHeight")
    lasso(local_page, scene, 0.25, 0.5, 60)
    state_with(local_page, kind="lasso", side="globe")
    local_page.get_by_role("button", name="Full screen").click()
    local_page.wait_for_function("document.fullscreenElement === null")


@pytest.mark.thorough
def test_a_lasso_around_nothing(local_page: Page, scene: Locator) -> None:
    lasso(local_page, scene, 0.53, 0.06, 15)
    assert state_with(local_page, kind="lasso")["count"] == 0
    expect(local_page.locator(".counted")).to_have_text("0 of 3,000 selected")


@pytest.mark.thorough
def test_python_selects_across_the_antimeridian(local_page: Page, scene: Locator) -> None:
    local_page.get_by_role("button", name="select Fiji").click()
    own = state_with(local_page, kind="box")["own"]
    assert own > 300
    expect(local_page.locator(".counted")).to_have_text(f"{own:,} of 3,000 selected")


@pytest.mark.thorough
def test_a_lasso_drawn_across_the_antimeridian(local_page: Page, serve: Callable[..., str]) -> None:
    scene = opened(local_page, serve("globe_server.py") + "/?at=180,-17")
    lasso(local_page, scene, 0.25, 0.5, 150)
    state = state_with(local_page, kind="lasso", side="globe")
    assert state["count"] == state["own"] > 300
    longitudes = [lon for lon, _ in state["polygon"]]
    assert max(longitudes) - min(longitudes) < 120
    assert max(longitudes) > 180 or min(longitudes) < -180


@pytest.mark.thorough
def test_a_lasso_around_a_pole_takes_every_longitude(local_page: Page, serve: Callable[..., str]) -> None:
    scene = opened(local_page, serve("globe_server.py") + "/?at=0,-89.9")
    lasso(local_page, scene, 0.25, 0.5, 210)
    state = state_with(local_page, kind="lasso", side="globe")
    latitudes = np.array([lat for _, lat in state["polygon"]])
    rim = latitudes[latitudes > -90]
    assert (latitudes == -90).sum() == 2
    assert np.ptp(rim) < 12
    asked = local_page.request.get(serve("globe_server.py") + "/test/points?n=3000").body()
    own = np.frombuffer(asked[16 : 16 + 8 * 3000], "<f4").reshape(-1, 2)[:, 1]
    assert 0 < (own < rim.min()).sum() <= state["count"] <= (own < rim.max()).sum()
    assert state["count"] == state["own"]


def test_a_click_on_the_globe_names_the_point_and_its_picture_is_shown(
    local_page: Page, serve: Callable[..., str]
) -> None:
    scene = opened(local_page, serve("globe_server.py") + "/?at=-120,-45")
    local_page.mouse.move(*at(scene, 0.25, 0.5))
    tip = local_page.locator(".tip")
    expect(tip).to_contain_text("No. 0")
    expect(tip.locator("img")).to_have_attribute("src", "/test/thumb/0")
    local_page.mouse.down()
    local_page.mouse.up()
    state = state_with(local_page, kind="click", side="globe")
    assert state["ids"] == [0]
    assert state["first"][0] == pytest.approx([-120, -45], abs=1.5)


def camera_of(page: Page) -> list[Any]:
    return state_with(page)["camera"] or ["globe", 10.0, 20.0, 0.0]


def rested(page: Page, what: str) -> list[Any]:
    """The camera as Python has it, once a JavaScript condition on it holds."""
    page.wait_for_function(
        "() => { const c = JSON.parse(document.querySelector('code').innerText).camera; "
        f"return c && ({what}); }}"
    )
    return camera_of(page)


def test_arrow_keys_plus_and_minus_move_the_globe_and_nothing_else(
    local_page: Page, serve: Callable[..., str]
) -> None:
    scene = opened(local_page, serve("globe_server.py") + "/?at=-120,-45")
    local_page.mouse.click(*at(scene, 0.25, 0.5))
    local_page.keyboard.press("ArrowRight")
    rested(local_page, "c[1] > -119")
    projection = state_with(local_page)["plane"]
    for _ in range(2):
        local_page.keyboard.press("ArrowRight")
    east = rested(local_page, "c[1] > -70")  # after all three steps of 20 degrees
    assert (east[0], east[2], east[3]) == ("globe", -45, 1.6)
    local_page.keyboard.press("ArrowUp")
    north = rested(local_page, "c[2] > -44")
    assert north[1] == pytest.approx(east[1])
    local_page.keyboard.press("ArrowLeft")
    rested(local_page, f"c[1] < {east[1]} - 5")
    local_page.keyboard.press("ArrowDown")
    rested(local_page, f"c[2] < {north[2]} - 5")
    local_page.keyboard.press("+")
    local_page.keyboard.press("+")
    assert rested(local_page, "c[3] > 2.5")[3] == pytest.approx(2.6)
    local_page.keyboard.press("-")
    assert rested(local_page, "c[3] < 2.5")[3] == pytest.approx(2.1)
    local_page.mouse.move(*at(scene, 0.25, 0.4))
    local_page.mouse.wheel(0, -300)
    rested(local_page, "c[3] > 2.2")
    assert state_with(local_page)["plane"] == projection


@pytest.mark.thorough
def test_a_globe_wider_than_its_map_does_not_shade_the_projection(local_page: Page, scene: Locator) -> None:
    def projection() -> NDArray[np.uint8]:
        picture = np.asarray(Image.open(io.BytesIO(scene.screenshot())).convert("RGB"))
        return picture[9:-9, picture.shape[1] // 2 + 2 : -9]  # without the rounded corners

    local_page.mouse.click(*at(scene, 0.25, 0.5))
    local_page.mouse.move(0, 0)
    wait_until_rest(local_page)
    before = projection()
    for _ in range(4):
        local_page.keyboard.press("+")
    rested(local_page, "c[3] > 1.5")
    wait_until_rest(local_page)
    assert np.array_equal(projection(), before)


@pytest.mark.thorough
def test_many_keys_end_at_the_pole_and_at_the_limits_of_zoom(local_page: Page, scene: Locator) -> None:
    local_page.mouse.click(*at(scene, 0.25, 0.5))
    for key in ("ArrowUp", "ArrowRight", "-"):
        for _ in range(40):
            local_page.keyboard.press(key)
    camera = rested(local_page, "c[3] === -2")
    assert camera[2] == 85
    assert -180 <= camera[1] <= 180
    for _ in range(40):
        local_page.keyboard.press("+")
    assert rested(local_page, "c[3] === 11.5")[2] == 85


@pytest.mark.thorough
def test_keys_move_the_flat_map_and_the_projection(local_page: Page, scene: Locator) -> None:
    local_page.keyboard.press("Tab")
    local_page.get_by_role("button", name="Globe or flat").click()
    rested(local_page, "c[0] === 'flat'")
    local_page.mouse.click(*at(scene, 0.25, 0.5))
    local_page.keyboard.press("ArrowRight")
    rested(local_page, "c[1] > 20")
    local_page.mouse.click(*at(scene, 0.75, 0.5))
    local_page.keyboard.press("+")
    local_page.wait_for_function("JSON.parse(document.querySelector('code').innerText).plane?.[2] > 0")
    assert state_with(local_page)["kind"] in (None, "click", "none")


@pytest.mark.thorough
def test_cells_of_the_flat_map_stay_on_the_map(local_page: Page, serve: Callable[..., str]) -> None:
    scene = opened(local_page, serve("globe_server.py") + "/?draw=cells")
    local_page.get_by_role("button", name="Globe or flat").click()
    rested(local_page, "c[0] === 'flat'")
    local_page.locator(".legend").evaluate("legend => legend.remove()")

    def strong_pixels() -> NDArray[np.bool_]:
        picture = np.asarray(Image.open(io.BytesIO(scene.screenshot())).convert("RGB")).astype(int)
        half = picture[:, : picture.shape[1] // 2]
        return half.max(axis=2) - half.min(axis=2) > 40

    until(lambda: strong_pixels().sum() > 1000)
    strong = strong_pixels()
    across = 2 ** camera_of(local_page)[3]
    beside = np.abs(np.arange(strong.shape[1]) - strong.shape[1] / 2) > 180 * across + 3
    assert beside.sum() > 20
    assert strong[100:-100, beside].sum() == 0


@pytest.mark.thorough
def test_a_click_during_a_flight_is_not_lost(local_page: Page, scene: Locator) -> None:
    for n in range(3):
        local_page.get_by_role("button", name=("fly to Europe", "fly to Fiji")[n % 2]).click()
        local_page.wait_for_timeout(300)
        local_page.mouse.click(*at(scene, 0.2 + 0.05 * n, 0.45))
        state = state_with(local_page, kind="click", side="globe")
        local_page.wait_for_timeout(1500)
        assert state_with(local_page)["first"] == state["first"]
        local_page.get_by_role("button", name="select Fiji").click()
        state_with(local_page, kind="box")


@pytest.mark.thorough
def test_a_click_on_open_sea_names_the_place(local_page: Page, scene: Locator) -> None:
    local_page.mouse.click(*at(scene, 0.12, 0.5))
    state = state_with(local_page, kind="click", side="globe")
    assert state["ids"] == []
    assert -90 < state["first"][0][0] < 0


@pytest.mark.thorough
def test_python_receives_and_moves_the_camera(local_page: Page, scene: Locator) -> None:
    local_page.get_by_role("button", name="fly to Europe").click()
    local_page.wait_for_function("JSON.parse(document.querySelector('code').innerText).camera?.[3] === 2.5")
    assert state_with(local_page)["camera"] == ["globe", 10.0, 48.0, 2.5]
    local_page.get_by_role("button", name="Globe or flat").click()
    local_page.wait_for_function(
        "JSON.parse(document.querySelector('code').innerText).camera?.[0] === 'flat'"
    )


@pytest.mark.thorough
def test_a_button_pressed_while_the_map_still_moves_is_not_lost(
    local_page: Page, serve: Callable[..., str]
) -> None:
    """A run that the camera asks for after the button's would take its place: here every run waits long
    enough for that."""
    scene = opened(local_page, f"{serve('globe_server.py')}/?slow=2")
    local_page.mouse.move(*at(scene, 0.25, 0.5))
    local_page.mouse.wheel(0, -300)
    local_page.get_by_role("button", name="select Fiji").click()
    assert state_with(local_page, kind="box")["side"] == "globe"


@pytest.mark.thorough
def test_recolouring_sends_no_place_again(local_page: Page, scene: Locator) -> None:
    asked: list[str] = []
    local_page.on("request", lambda request: asked.append(request.url))
    local_page.get_by_text("colours of the projection").click()
    local_page.wait_for_function("performance.getEntriesByName('linked-globe:fetch').length === 2")
    routes = [url.split("/test/")[1].split("?")[0] for url in asked if "/test/" in url]
    assert routes == ["colours"]


@pytest.mark.thorough
def test_keys_meant_for_the_map_do_not_reach_the_app(local_page: Page, scene: Locator) -> None:
    local_page.get_by_role("button", name="Move and click").focus()
    local_page.keyboard.press("l")
    expect(local_page.get_by_role("button", name="Lasso")).to_have_attribute("aria-pressed", "true")
    local_page.keyboard.press("Escape")
    expect(local_page.get_by_role("button", name="Move and click")).to_have_attribute("aria-pressed", "true")


@pytest.mark.thorough
def test_missing_points_are_reported(local_page: Page, serve: Callable[..., str]) -> None:
    local_page.goto(serve("globe_server.py") + "/?missing")
    expect(local_page.locator(".scene .message")).to_contain_text("reload the page")
    local_page.wait_for_function("JSON.parse(document.querySelector('code').innerText).problem !== null")


@pytest.fixture
def page_without_webgl(playwright: Playwright, browser_type_launch_args: dict[str, Any]) -> Iterator[Page]:
    args = [
        *(arg for arg in browser_type_launch_args["args"] if "swiftshader" not in arg),
        "--disable-3d-apis",
    ]
    browser = playwright.chromium.launch(**{**browser_type_launch_args, "args": args})
    yield patient(browser.new_page())
    browser.close()


def test_missing_webgl_is_reported_to_python(page_without_webgl: Page, serve: Callable[..., str]) -> None:
    page_without_webgl.goto(serve("globe_server.py"))
    expect(page_without_webgl.locator(".scene .message")).to_contain_text("no WebGL 2")
    state_with(page_without_webgl, no_webgl=True)


MEMBERS = """
async ([source, rings, points, wraps]) => {
  const { insideMask, encodeRing, decodeRing } = await import(source);
  const pairs = new Float32Array(points);
  return rings.map((ring) => Array.from(insideMask(decodeRing(encodeRing(ring)), pairs, wraps)));
}
"""


@pytest.mark.parametrize("wraps", [False, True])
def test_browser_and_python_agree_on_every_point(page: Page, component_url: str, wraps: bool) -> None:
    """100 lassos that cross themselves, the poles' rows and the antimeridian, with points on corners and
    edges, both ways."""
    rng = np.random.default_rng(11)
    page.goto(component_url)
    points = np.float32(rng.uniform([-180, -90], [180, 90], (2000, 2)))
    rings = [np.float32(rng.uniform([-270, -95], [270, 95], (rng.integers(3, 40), 2))) for _ in range(50)]
    rings += [np.float32(np.round(rng.uniform([-200, -90], [200, 90], (12, 2)) / 5) * 5) for _ in range(50)]
    points[:400] = np.round(points[:400] / 5) * 5
    points[400:412] = rings[-1]
    answers = page.evaluate(
        MEMBERS,
        [
            f"{component_url}/linked_globe.js",
            [ring.tolist() for ring in rings],
            points.ravel().tolist(),
            wraps,
        ],
    )
    for ring, answer in zip(rings, answers, strict=True):
        assert np.array_equal(contains(ring, *points.T, wraps=wraps), np.array(answer, dtype=bool))
