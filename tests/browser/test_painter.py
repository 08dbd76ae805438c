"""Painting by hand in a real browser: what is seen, what reaches Python, how fast."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
from earth_mae_components import decode_bitmap, encode_bitmap
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import patient, steady_box, wait_until_rest

pytestmark = pytest.mark.browser
FRAME_MS = 1000 / 60


@pytest.fixture
def canvas(local_page: Page, serve: Callable[..., str]) -> Locator:
    local_page.set_viewport_size({"width": 1200, "height": 1300})
    local_page.goto(serve("painter.py"))
    found = local_page.locator(".painter canvas")
    found.wait_for()
    ready(local_page)
    return found


def ready(page: Page) -> None:
    expect(page.locator(".painter .share")).to_contain_text("of 196")
    page.locator(".painter img").evaluate("image => image.decode()")
    wait_until_rest(page)
    steady_box(page.locator(".painter canvas"))


def centre(canvas: Locator, row: int, col: int, rows: int = 14, cols: int = 14) -> tuple[float, float]:
    box = canvas.bounding_box()  # at rest since `ready`
    assert box
    return box["x"] + (col + 0.5) / cols * box["width"], box["y"] + (row + 0.5) / rows * box["height"]


def drag(page: Page, canvas: Locator, *cells: tuple[int, int], steps: int = 6) -> None:
    page.mouse.move(*centre(canvas, *cells[0]))
    page.mouse.down()
    for cell in cells[1:]:
        page.mouse.move(*centre(canvas, *cell), steps=steps)
    page.mouse.up()


def received(page: Page, hidden: int) -> NDArray[np.bool_]:
    """The mask as Python has it, once it counts `hidden` patches."""
    code = page.locator("code")
    expect(code).to_contain_text(f"hidden={hidden} ")
    return decode_bitmap(re.search(r"bits=(\S+)", code.inner_text())[1], 14, 14)  # type: ignore[index]


def test_a_drag_reaches_python(local_page: Page, canvas: Locator) -> None:
    drag(local_page, canvas, (2, 3), (2, 9))
    mask = received(local_page, 7)
    assert mask[2, 3:10].all()


def test_python_answers_within_300_ms(local_page: Page, canvas: Locator) -> None:
    """Or within 1.5 times what a plain button takes right afterwards on the same page. One of up to 13 tries
    has to: other programs on the machine then fail it only if they disturb them all."""
    for n in range(1, 14):
        local_page.mouse.move(*centre(canvas, n, n))
        local_page.mouse.down()
        stroke = _until(local_page, f"hidden={n} ", local_page.mouse.up)
        text = local_page.locator("code").inner_text()
        runs = int(re.search(r"runs=(\d+)", text)[1])  # type: ignore[index]
        press = local_page.get_by_role("button", name="nothing").click
        button = _until(local_page, f"runs={runs + 1} ", press)
        print(f"to Python's text on the page: stroke {stroke:.0f} ms, plain button {button:.0f} ms")
        if stroke < max(300, 1.5 * button):
            return
    pytest.fail("no stroke was answered in time")


def _until(page: Page, text: str, act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    page.wait_for_function(f"document.querySelector('code').innerText.includes('{text}')", polling=10)
    return 1000 * (time.perf_counter() - start)


def test_painting_answers_within_a_frame(local_page: Page, canvas: Locator) -> None:
    drag(local_page, canvas, (0, 0), (13, 13), (0, 13), steps=30)
    took = {
        name: local_page.evaluate(
            f"performance.getEntriesByName('mask-painter:{name}').map((entry) => entry.duration)"
        )
        for name in ("draw", "answer")
    }
    for name, values in took.items():
        print(
            f"mask-painter:{name} {len(values)} pointer events, median {statistics.median(values):.1f} ms, "
            f"95 % {np.percentile(values, 95):.1f} ms"
        )
    assert len(took["draw"]) >= 20  # a busy browser merges pointer events
    assert (
        statistics.median(took["draw"]) < FRAME_MS
    )  # from the input ("answer") includes the wait for a software-rendered frame


def test_tools_and_keys(local_page: Page, canvas: Locator) -> None:
    keys = local_page.keyboard
    drag(local_page, canvas, (0, 0))
    keys.press("r")
    drag(local_page, canvas, (4, 4), (6, 8))
    mask = received(local_page, 16)
    assert mask[4:7, 4:9].all() and mask[0, 0]
    keys.press("e")
    keys.press("]")
    keys.press("]")
    drag(local_page, canvas, (5, 6))
    mask = received(local_page, 7)
    assert not mask[4:7, 5:8].any()
    keys.press("i")
    received(local_page, 189)
    keys.press("Control+z")
    keys.press("Control+z")
    assert received(local_page, 16)[4:7, 4:9].all()
    keys.press("Control+Shift+z")
    received(local_page, 7)
    keys.press("Delete")
    received(local_page, 0)
    local_page.get_by_role("button", name="Hide all patches").click()
    received(local_page, 196)


@pytest.mark.thorough
def test_the_lasso_takes_what_it_encloses(local_page: Page, canvas: Locator) -> None:
    canvas.focus()
    local_page.keyboard.press("l")
    drag(local_page, canvas, (2, 2), (2, 8), (8, 8), (8, 2))
    mask = received(local_page, int(_lasso_square().sum()))
    assert mask[3:8, 3:8].all() and not mask[9:].any() and not mask[:2].any()


def _lasso_square() -> NDArray[np.bool_]:
    """The cells whose centre the square from (2, 2) to (8, 8) holds: the even-odd rule takes its top and left
    edge."""
    mask = np.zeros((14, 14), dtype=bool)
    mask[2:8, 2:8] = True
    return mask


def test_painting_works_by_keyboard_alone(local_page: Page, canvas: Locator) -> None:
    canvas.focus()
    for key in ("ArrowUp", "ArrowLeft", "Space", "ArrowLeft", "Space"):
        local_page.keyboard.press(key)
    mask = received(local_page, 2)
    assert np.argwhere(mask).tolist() == [[6, 5], [6, 6]]
    assert "hidden" in local_page.locator(".painter [aria-live]").inner_text()


@pytest.mark.thorough
def test_r_means_rectangle_here_and_does_not_rerun_the_app(local_page: Page, canvas: Locator) -> None:
    before = local_page.locator("code").inner_text()
    canvas.focus()
    local_page.keyboard.press("r")
    local_page.wait_for_timeout(700)
    assert local_page.locator("code").inner_text() == before


@pytest.mark.thorough
def test_pick_reports_the_patch_and_changes_nothing(local_page: Page, canvas: Locator) -> None:
    canvas.focus()
    local_page.keyboard.press("p")
    drag(local_page, canvas, (3, 11))
    expect(local_page.locator("code")).to_contain_text("hidden=0 pick=(3, 11)")


def shown(page: Page, hidden: int) -> None:
    expect(page.locator(".painter .share")).to_contain_text(f"{hidden} of 196")


@pytest.mark.thorough
def test_pythons_answer_to_a_picked_patch_is_shown_at_once_and_undone_in_one_step(
    local_page: Page, canvas: Locator
) -> None:
    local_page.get_by_text("a picked patch hides its row").click()
    drag(local_page, canvas, (1, 1), (1, 4))
    received(local_page, 4)
    canvas.focus()
    for row, hidden in ((5, 18), (9, 32), (11, 46)):
        local_page.keyboard.press("p")
        drag(local_page, canvas, (row, 7))
        received(local_page, hidden)
        shown(local_page, hidden)
    for hidden in (32, 18, 4):
        local_page.keyboard.press("Control+z")
        shown(local_page, hidden)
        received(local_page, hidden)


@pytest.mark.thorough
def test_a_stroke_painted_while_python_answers_a_pick_loses_neither(
    local_page: Page, canvas: Locator
) -> None:
    local_page.get_by_text("a picked patch hides its row").click()
    drag(local_page, canvas, (1, 1))
    received(local_page, 1)
    local_page.get_by_role("button", name="slow").click()
    canvas.focus()
    local_page.keyboard.press("p")
    drag(local_page, canvas, (5, 7))
    local_page.keyboard.press("b")
    drag(local_page, canvas, (8, 0), (8, 2))
    assert received(local_page, 18)[5].all()
    shown(local_page, 18)


@pytest.mark.thorough
def test_a_stroke_in_progress_continues_on_top_of_pythons_answer(local_page: Page, canvas: Locator) -> None:
    """Usually it answers during the stroke; on a busy machine before, which must look the same."""
    local_page.get_by_text("a picked patch hides its row").click()
    local_page.get_by_role("button", name="slow").click()
    canvas.focus()
    local_page.keyboard.press("p")
    drag(local_page, canvas, (5, 7))
    local_page.keyboard.press("b")
    local_page.mouse.move(*centre(canvas, 8, 0))
    local_page.mouse.down()
    received(local_page, 14)
    shown(local_page, 15)
    local_page.mouse.move(*centre(canvas, 8, 2), steps=4)
    local_page.mouse.up()
    assert received(local_page, 17)[8, :3].all()
    canvas.focus()
    local_page.keyboard.press("Control+z")
    received(local_page, 14)


@pytest.mark.thorough
def test_a_mask_from_python_can_be_undone(local_page: Page, canvas: Locator) -> None:
    drag(local_page, canvas, (1, 1), (1, 4))
    own = received(local_page, 4)
    local_page.get_by_role("button", name="chequered").click()
    received(local_page, 98)
    expect(local_page.locator(".painter .share")).to_contain_text("98 of 196")
    canvas.focus()
    local_page.keyboard.press("Control+z")
    assert np.array_equal(received(local_page, 4), own)


def test_nothing_painted_while_python_works_is_lost(local_page: Page, canvas: Locator) -> None:
    drag(local_page, canvas, (0, 0))
    received(local_page, 1)
    local_page.get_by_role("button", name="slow").click()
    for col in range(1, 8):
        drag(local_page, canvas, (0, col))
    assert received(local_page, 8)[0, :8].all()
    expect(local_page.locator(".painter .share")).to_contain_text("8 of 196")


@pytest.mark.thorough
def test_painting_works_by_touch(
    browser_type_launch_args: object, browser: object, serve: Callable[..., str]
) -> None:
    context = browser.new_context(
        has_touch=True, viewport={"width": 400, "height": 1300}, device_scale_factor=3
    )  # type: ignore[attr-defined]
    page = patient(context.new_page())
    page.goto(serve("painter.py"))
    canvas = page.locator(".painter canvas")
    ready(page)
    page.touchscreen.tap(*centre(canvas, 5, 6))
    assert received(page, 1)[5, 6]
    context.close()


MOUNT = """
async ([source, data]) => {
  const { default: mount } = await import(source);
  const host = document.createElement("div");
  host.style.width = "420px";
  document.body.replaceChildren(host);
  window.sent = [];
  const setStateValue = (name, value) => window.sent.push(value);
  window.answer = (changed) =>
    mount({ data: { ...data, ...changed }, parentElement: host, setStateValue, setTriggerValue() {} });
  window.answer({});
  const image = host.querySelector("img");
  await new Promise((done) => { image.complete ? done() : (image.onload = done); });
}
"""
# One stroke: choose the tool by its key, then press, move and release at the centres of cells. Gives, for
# each stroke, whether the pressed patch already looked different when its own pointer event returned: drawn
# in the same frame, before anything else runs.
STROKES = """
([rows, cols, strokes, looking]) => strokes.map(([key, cells]) => {
  const canvas = document.querySelector("canvas");
  const box = canvas.getBoundingClientRect();
  const context = canvas.getContext("2d");
  const look = ([row, col]) => looking &&
    context.getImageData(
      (col + .5) / cols * canvas.width + 4, (row + .5) / rows * canvas.height + 3, 1, 1).data[3];
  canvas.setPointerCapture = () => {};
  canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const tell = (kind, [row, col]) => canvas.dispatchEvent(new PointerEvent(kind, {
    bubbles: true, pointerId: 1, button: 0,
    clientX: box.left + (col + .5) / cols * box.width, clientY: box.top + (row + .5) / rows * box.height }));
  const before = look(cells[0]);
  tell("pointerdown", cells[0]);
  const after = look(cells[0]);
  for (const cell of cells.slice(1)) tell("pointermove", cell);
  tell("pointerup", cells.at(-1));
  return before !== after;
})
"""
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6"
    "kgAAAABJRU5ErkJggg=="
)
Stroke = tuple[str, list[list[int]]]


def blank(rows: int, cols: int) -> dict[str, object]:
    """What Python passes to a painter that shows every patch of a grid."""
    return {
        "image": PIXEL,
        "rows": rows,
        "cols": cols,
        "mask": encode_bitmap(np.zeros((rows, cols), dtype=bool)),
        "known": 0,
        "label": "",
        "maxWidth": 420,
        "disabled": False,
    }


# One thing done to a mounted painter: a key, a pointer event at the centre of a cell of a 14 x 14 grid, or an
# answer of Python.
DO = """
([kind, value]) => {
  const canvas = document.querySelector("canvas");
  canvas.setPointerCapture = () => {};
  if (kind === "answer") return void window.answer(value);
  if (kind === "key")
    return void canvas.dispatchEvent(new KeyboardEvent("keydown", { ...value, bubbles: true }));
  const box = canvas.getBoundingClientRect();
  const [row, col] = value;
  canvas.dispatchEvent(new PointerEvent(kind, {
    bubbles: true, pointerId: 1, button: 0,
    clientX: box.left + (col + .5) / 14 * box.width, clientY: box.top + (row + .5) / 14 * box.height }));
}
"""


@pytest.mark.parametrize("answered", ["before the stroke", "during the stroke"])
@pytest.mark.thorough
def test_the_count_includes_the_stroke_under_way_whenever_python_answers(
    page: Page, component_url: str, answered: str
) -> None:
    """Python hides the row of a picked patch, and answers before or after the pointer goes down."""
    page.goto(component_url)
    page.evaluate(MOUNT, [f"{component_url}/mask_painter.js", blank(14, 14)])

    def do(kind: str, value: object) -> None:
        page.evaluate(DO, [kind, value])

    def sent() -> NDArray[np.bool_]:
        return decode_bitmap(page.evaluate("window.sent.at(-1).bits"), 14, 14)

    row = np.zeros((14, 14), dtype=bool)
    row[5] = True
    answer = {"mask": encode_bitmap(row), "known": 1}
    do("key", {"key": "p"})
    do("pointerdown", [5, 7])
    do("pointerup", [5, 7])
    do("key", {"key": "b"})
    if answered == "before the stroke":
        do("answer", answer)
    do("pointerdown", [8, 0])
    if answered == "during the stroke":
        do("answer", answer)
    share = page.locator(".painter .share")
    assert share.inner_text() == "15 of 196 patches hidden (8 %)"
    do("pointermove", [8, 2])
    assert share.inner_text() == "17 of 196 patches hidden (9 %)"
    do("pointerup", [8, 2])
    assert sent()[8, :3].all() and sent()[5].all() and sent().sum() == 17
    do("key", {"key": "z", "ctrlKey": True})
    assert np.array_equal(sent(), row)


def test_200_random_paintings_are_bit_for_bit(page: Page, component_url: str) -> None:
    """Brush, eraser and rectangle at random, against the same rules in numpy, through the built file."""
    rng = np.random.default_rng(7)
    page.goto(component_url)
    for trial in range(200):
        rows, cols = [(14, 14), (28, 28), (9, 16)][trial % 3]
        empty = np.zeros((rows, cols), dtype=bool)
        looking = trial < 20  # reading pixels back is slow where the graphics card is software
        page.evaluate(MOUNT, [f"{component_url}/mask_painter.js", blank(rows, cols)])
        expected = empty.copy()
        planned = [_stroke(expected, rng) for _ in range(4)]
        seen_at_once = page.evaluate(STROKES, [rows, cols, [stroke for stroke, _ in planned], looking])
        assert seen_at_once == [changes and looking for _, changes in planned], (
            f"painting {trial}: drawn at once"
        )
        bits = page.evaluate("window.sent.at(-1)?.bits ?? ''") or encode_bitmap(empty)
        assert np.array_equal(decode_bitmap(bits, rows, cols), expected), f"painting {trial}"


def _stroke(expected: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Stroke, bool]:
    """One random stroke, applied to `expected`; and whether its first event alone changes the pressed
    patch."""
    rows, cols = expected.shape
    (r0, c0), (r1, c1) = rng.integers(0, [rows, cols], (2, 2)).tolist()
    tool = rng.choice(["brush", "rectangle", "eraser"])
    was = bool(expected[r0, c0])
    hide = tool == "rectangle" or (tool == "brush" and not was)
    if tool == "rectangle":
        expected[min(r0, r1) : max(r0, r1) + 1, min(c0, c1) : max(c0, c1) + 1] = True
        return ("r", [[r0, c0], [r1, c1]]), False
    expected[r0, min(c0, c1) : max(c0, c1) + 1] = (
        hide  # along a row, then along a column: no rounding to argue about
    )
    expected[min(r0, r1) : max(r0, r1) + 1, c1] = hide
    return (str(tool[0]), [[r0, c0], [r0, c1], [r1, c1]]), was != hide
