"""What a visitor notices on every page: first picture, layout shift, an interaction, and frames of the globe.

    python benchmarks/pages.py [--width 1400] [--height 900] [--visits 3] [--wait-s 180] [--anyway]

Each page is opened in a browser without a cache ("new") and then again in the same browser ("warm"). Per
page: seconds to the first contentful paint, to the largest one and to the end of the page's first run; the
cumulative layout shift, while loading and after use, as browsers define it (the worst burst of at most five
seconds, without what follows an input within half a second); and one click, to the next paint and to the
end of the run that it causes (browsers report paints from 16 ms on; 0 is less). Then frame times while the
globe turns by drag, zooms by wheel and flies to a place: the intervals between animation frames, which wait
for the drawing. Headless Chromium draws in software (SwiftShader), so a graphics card is faster. Figures are
medians over the visits; frame times are p50, p95 and the longest. Exits with 1 if a layout shift reaches
0.05. The benchmark refuses to start if the load average is above 0.3, unless --anyway is given. The last
line printed is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from _app import chromium, serving
from _quiet import load_or_leave

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

MOST_SHIFT = 0.05
USES = {
    "Home": ("", 'role=button[name="Next picture"]'),
    "Mask Lab": ("Mask_Lab", 'role=tab[name="Compare"]'),
    "Scale Lab": ("Scale_Lab", 'role=tab[name="Curves"]'),
    "Globe": ("Globe", 'role=button[name="Show me one"]'),
    "Evaluate": ("Evaluate", 'text="Duplicates across the split"'),
    "Train": ("Train", 'text="laptop"'),
    "Learn": ("Learn", 'text="1. A picture is a grid of patches"'),
}
"""Page: its path, and what is clicked on it."""
OBSERVE = """
window.seen = { shifts: [], paint: 0, largest: 0, clicks: [], frames: [] };
const watch = (type, take, more = {}) =>
  new PerformanceObserver(list => list.getEntries().forEach(take)).observe({ type, buffered: true, ...more });
watch('layout-shift', e => e.hadRecentInput || seen.shifts.push([e.startTime, e.value]));
watch('paint', e => { if (e.name === 'first-contentful-paint') seen.paint = e.startTime; });
watch('largest-contentful-paint', e => { seen.largest = e.startTime; });
watch('event', e => { if (e.name === 'click') seen.clicks.push(e.duration); }, { durationThreshold: 16 });
window.countFrames = () => {
  seen.frames = [];
  let last = performance.now();
  const step = now => { seen.frames.push(now - last); last = now; seen.next = requestAnimationFrame(step); };
  seen.next = requestAnimationFrame(step);
};
"""
RESTS = """document.querySelector('.page-drawn') &&
document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning' &&
!document.querySelector('[data-testid=stSkeleton]')"""
SPOTS = ((0.3, 0.5), (0.2, 0.45), (0.3, 0.6), (0.25, 0.5))
"""Where the mouse drags the globe to, as shares of the maps' width and height."""


def layout_shift(shifts: list[tuple[float, float]]) -> float:
    """Return the cumulative layout shift of (ms, value) entries: the worst burst.

    A burst lasts at most five seconds, and its shifts are less than a second apart
    (https://web.dev/articles/cls).
    """
    worst = total = 0.0
    began = last = -np.inf
    for at, value in shifts:
        if at - last >= 1000 or at - began >= 5000:
            began, total = at, 0.0
        last, total = at, total + value
        worst = max(worst, total)
    return worst


def rest(page: Page) -> None:
    """Wait until no run of the page is requested or in progress."""
    page.wait_for_timeout(100)
    page.wait_for_function(RESTS, polling=20)


def visit(context: BrowserContext, address: str, name: str) -> dict[str, float]:
    """Open a page, use it once, and return the measurements."""
    path, target = USES[name]
    page = context.new_page()
    start = time.perf_counter()
    page.goto(f"{address}/{path}")
    page.wait_for_function(RESTS, polling=20)
    drawn_s = time.perf_counter() - start
    page.wait_for_timeout(1500)  # what arrives late moves late
    seen = page.evaluate("seen")
    found = {
        "first_paint_s": seen["paint"] / 1000,
        "largest_paint_s": seen["largest"] / 1000,
        "drawn_s": drawn_s,
        "shift": layout_shift(seen["shifts"]),
    }
    start = time.perf_counter()
    page.locator(target).first.click()
    rest(page)
    found["click_to_rest_s"] = time.perf_counter() - start
    page.wait_for_timeout(1500)
    seen = page.evaluate("seen")
    found["click_to_paint_ms"] = max(seen["clicks"], default=0.0)
    found["shift_after_use"] = layout_shift(seen["shifts"])
    page.close()
    return found


def frames(page: Page, act: Callable[[], None], settle_ms: int) -> dict[str, float]:
    """Return p50, p95 and the longest of the frame times in ms while something moves."""
    page.evaluate("countFrames()")
    act()
    page.wait_for_timeout(settle_ms)
    taken = page.evaluate("(cancelAnimationFrame(seen.next), seen.frames.slice(1))")
    return {
        "p50_ms": float(np.percentile(taken, 50)),
        "p95_ms": float(np.percentile(taken, 95)),
        "longest_ms": float(np.max(taken)),
        "frames": len(taken),
    }


def globe_frames(context: BrowserContext, address: str) -> dict[str, dict[str, float]]:
    """Turn the globe by drag, zoom it by wheel and let it fly, and return the frame times of each."""
    page = context.new_page()
    page.goto(f"{address}/Globe")
    page.wait_for_function("performance.getEntriesByName('linked-globe:highlight').length > 0")
    rest(page)
    box = page.locator(".scene").bounding_box()
    assert box is not None

    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag() -> None:
        page.mouse.move(*at(0.2, 0.5))
        page.mouse.down()
        for spot in SPOTS:
            page.mouse.move(*at(*spot), steps=20)
        page.mouse.up()

    def zoom() -> None:
        for _ in range(15):
            page.mouse.wheel(0, -60)
            page.wait_for_timeout(40)

    found = {"turn": frames(page, drag, 300), "zoom": frames(page, zoom, 300)}
    page.get_by_role("button", name="Show everything").click()
    page.wait_for_timeout(1500)
    found["fly"] = frames(page, page.get_by_role("button", name="Show me one").click, 4000)
    page.close()
    return found


def new_context(browser: Browser, width: int, height: int, wait_s: float) -> BrowserContext:
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(wait_s * 1000)
    context.add_init_script(OBSERVE)
    return context


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--wait-s", type=float, default=180)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    found: dict[str, dict[str, float]] = {}
    size = args.width, args.height, args.wait_s
    with serving() as (address, _), chromium() as browser:
        for name in USES:
            rounds: dict[str, list[dict[str, float]]] = {"new": [], "warm": []}
            warm_up = new_context(browser, *size)
            visit(warm_up, address, name)  # the server loads what the page needs
            warm_up.close()
            for _ in range(args.visits):
                context = new_context(browser, *size)
                for kind in rounds:
                    rounds[kind].append(visit(context, address, name))
                context.close()
            for kind, visits in rounds.items():
                figures = {what: float(np.median([one[what] for one in visits])) for what in visits[0]}
                found[f"{name}, {kind}"] = figures
                print(f"{name + ', ' + kind:16} " + "  ".join(f"{w} {v:.3f}" for w, v in figures.items()))
        context = new_context(browser, *size)
        for what, figures in globe_frames(context, address).items():
            found[f"globe frames, {what}"] = figures
            print(f"{'globe, ' + what:16} " + "  ".join(f"{w} {v:.1f}" for w, v in figures.items()))
    print(json.dumps(found))
    shifts = [v for figures in found.values() for what, v in figures.items() if what.startswith("shift")]
    return int(max(shifts) >= MOST_SHIFT)


if __name__ == "__main__":
    sys.exit(main())
