"""Response times of the Mask Lab, from an event to encoded pictures on the server or in a browser.

    python benchmarks/mask_lab.py [--moves 40] [--browser] [--large] [--anyway]

In the browser, moves of the slider, painting, and the start of the server are timed. Figures are p50 and p95.
The benchmark refuses to start if the load average is above 0.3, unless --anyway is given.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from _app import ROOT, chromium, serving
from _quiet import load_or_leave

import ui  # noqa: F401  (configures torch's threads as in the app)

if TYPE_CHECKING:
    from playwright.sync_api import Page


def report(what: str, seconds: list[float], bar_ms: float | None = None) -> None:
    p50, p95 = (1000 * float(np.percentile(seconds, p)) for p in (50, 95))
    bar = f"   bar {bar_ms:.0f} ms at p95: {'kept' if p95 <= bar_ms else 'MISSED'}" if bar_ms else ""
    print(f"{what:58} p50 {p50:8.1f} ms   p95 {p95:8.1f} ms   n {len(seconds)}{bar}")


def times(count: int, action: Callable[[int], object], warm: int = 2) -> list[float]:
    taken: list[float] = []
    for n in range(count + warm):
        start = time.perf_counter()
        action(n)
        taken.append(time.perf_counter() - start)
    return taken[warm:]


def on_the_server(name: str, moves: int, bar_ms: float | None) -> None:
    """Time the work of the page, from the event to the encoded pictures, and the scores that follow."""
    from core.engine.inputs import read_ground
    from core.engine.loaded import load
    from core.engine.reconstruct import reconstruct
    from core.geo import TileRef, TileSpec, known_sources
    from core.judge import judge
    from core.masking import MaskSpec
    from core.viz.pictures import panels
    from core.viz.sheet import sheet

    model = load(name)
    tile = read_ground(
        known_sources().read,
        TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224)),
        model.card.input_px,
    )
    report(
        f"{name}: mask to six pictures encoded",
        times(moves, lambda n: sheet(panels(reconstruct(model, tile, MaskSpec(seed=n))))),
        bar_ms,
    )
    result = reconstruct(model, tile, MaskSpec())
    scoring = times(min(moves, 10), lambda _: judge(result))
    report(f"{name}: scores of the model and three fills", scoring, 1500)


def page_script(moves: int) -> None:
    """Time an event of the slider through the whole page script (AppTest: no browser, no network)."""
    from streamlit.testing.v1 import AppTest

    from core.viz import sheet as sheets

    finished: list[float] = []
    real = sheets.sheet

    def recorded(panels: object, **options: object) -> str:
        html = real(panels, **options)  # pyright: ignore
        if any(panel.name == "pasted" for panel in panels):  # pyright: ignore
            finished.append(time.perf_counter())
        return html

    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    app.switch_page("pages/1_Mask_Lab.py").run()
    sheets.sheet = recorded
    taken: list[float] = []
    for n in range(moves):
        start = time.perf_counter()
        next(one for one in app.slider if one.label == "Masking ratio").set_value(20 + n).run()
        taken.append(finished[-1] - start)
    sheets.sheet = real
    report("page: slider event to low, high, combined encoded", taken[2:], 250)


def in_the_browser(page: Page, address: str, started: float, moves: int) -> None:
    """Time the start of the server to the first picture, and a slider key to the changed picture."""
    page.goto(address)
    page.wait_for_selector('[data-panel="combined"] img', timeout=180_000)
    first = time.perf_counter() - started
    print(
        f"{'server start to the first computed picture on Home':58} {first:.1f} s   "
        f"bar 10 s: {'kept' if first <= 10 else 'MISSED'}"
    )
    page.goto(f"{address}/Mask_Lab")
    page.wait_for_selector('[data-panel="combined"] img', timeout=180_000)
    slider = page.get_by_role("slider", name="Masking ratio")
    slider.focus()
    changed = "before => document.querySelector('[data-panel=\"combined\"] img')?.src !== before"
    taken: list[float] = []
    for _ in range(moves):
        page.wait_for_timeout(1500)  # lets the fragment and the section below finish
        before = page.locator('[data-panel="combined"] img').first.get_attribute("src")
        start = time.perf_counter()
        slider.press("ArrowLeft")
        page.wait_for_function(changed, arg=before, timeout=60_000, polling=10)
        taken.append(time.perf_counter() - start)
    report("browser: slider key to changed picture", taken[1:], 700)


WATCH = """() => {
  const picture = () => document.querySelector('[data-panel="combined"] img')?.src;
  const note = (name) => { if (seen.up && !seen[name]) seen[name] = performance.now(); };
  window.seen = {};
  addEventListener("pointerdown", () => { seen = { before: picture() }; }, true);
  addEventListener("pointerup", () => { seen.up = performance.now(); }, true);
  for (const name of ["pushState", "replaceState"]) {
    const real = history[name].bind(history);
    history[name] = (...args) => {
      const before = location.search;
      real(...args);
      if (location.search !== before) note("address");
    };
  }
  const look = () => { const now = picture(); if (now && now !== seen.before) note("picture"); };
  const changes = { subtree: true, childList: true, attributes: true, attributeFilter: ["src"] };
  new MutationObserver(look).observe(document.body, changes);
}"""


def painting(page: Page, address: str, strokes: int) -> None:
    """Time strokes on the tile: to the drawn cells, the new address and the new picture."""
    page.goto(f"{address}/Mask_Lab?mask=cells-14x14-{'A' * 34}")
    page.wait_for_selector('[data-panel="combined"] img', timeout=180_000)
    canvas = page.locator(".painter canvas")
    canvas.wait_for(timeout=60_000)
    page.evaluate(WATCH)
    delays: dict[str, list[float]] = {"address": [], "picture": []}
    for n in range(strokes + 2):
        page.wait_for_timeout(1500)
        box = canvas.bounding_box()
        assert box
        for act, column in ((page.mouse.down, 2), (page.mouse.up, 9)):
            page.mouse.move(
                box["x"] + (column + 0.5) / 14 * box["width"],
                box["y"] + (n % 12 + 1.5) / 14 * box["height"],
                steps=10,
            )
            act()
        page.wait_for_function("seen.address && seen.picture", timeout=60_000)
        seen = page.evaluate("seen")
        for name, taken in delays.items():
            taken.append((seen[name] - seen["up"]) / 1000)
    draw_times = page.evaluate(
        "performance.getEntriesByName('mask-painter:draw').map((entry) => entry.duration / 1000)"
    )
    report("painting: pointer event to drawn in the browser", draw_times, 1000 / 60)
    report("painting: mouse up to the address written by Python", delays["address"][2:], 300)
    report("painting: mouse up to the changed picture", delays["picture"][2:], 700)


def many_masks() -> None:
    from core.engine.inputs import read_ground
    from core.engine.loaded import load
    from core.geo import TileRef, TileSpec, known_sources
    from core.masking import MaskSpec
    from core.models import default_reconstructor
    from core.policy import Policy
    from core.studies import monte_carlo

    model = load(default_reconstructor())
    tile = read_ground(
        known_sources().read,
        TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224)),
        model.card.input_px,
    )
    taken = times(
        4,
        lambda n: list(
            monte_carlo(model, tile, MaskSpec(seed=16 * n), Policy(model.card.default_policy), count=16)
        ),
        warm=1,
    )
    report(f"{model.card.name}: 16 masks, mean and deviation", taken, 3000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--large", action="store_true", help="measure ViT-L too (1.3 GB)")
    parser.add_argument("--browser", action="store_true", help="only the measurements in a browser")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    from core.models import default_reconstructor

    with chromium() as browser, serving() as (address, started):
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        in_the_browser(page, address, started, max(10, args.moves // 2))
        painting(page, address, max(10, args.moves // 2))
    if args.browser:
        return
    on_the_server(default_reconstructor(), args.moves, 250)
    page_script(args.moves)
    many_masks()
    if args.large:
        on_the_server("scale_mae_large", 3, None)
    print(f"load average {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
