"""How fast the Mask Lab answers: event to encoded pictures on the server, slider to picture in a browser, start to first picture.

    python benchmarks/mask_lab.py [--moves 40] [--large] [--anyway]

The figures are p50 and p95. On a machine that is busy (load average above 0.3) it refuses unless told --anyway.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _quiet import load_or_leave

import ui  # noqa: F401  (sets how torch's threads wait, as the app does)

ROOT = Path(__file__).parents[1]
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


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
    """The script of the page, from the event to low, high and combined encoded; and what follows in the fragment."""
    from core.engine.inputs import read_ground
    from core.engine.loaded import load
    from core.engine.reconstruct import reconstruct
    from core.geo import TileRef, TileSpec, known_sources
    from core.judge import judge
    from core.masking import MaskSpec
    from core.viz.pictures import panels
    from core.viz.sheet import sheet

    model = load(name)
    tile = read_ground(known_sources().read, TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224)), model.card.input_px)
    report(f"{name}: mask to six pictures encoded", times(moves, lambda n: sheet(panels(reconstruct(model, tile, MaskSpec(seed=n))))), bar_ms)
    made = reconstruct(model, tile, MaskSpec())
    report(f"{name}: scores of the model and three fills", times(min(moves, 10), lambda _: judge(made)), 1500)


def of_the_page(moves: int) -> None:
    """A slider's event through the whole page, until the pictures are handed over (AppTest: no browser, no network)."""
    from streamlit.testing.v1 import AppTest

    from core.viz import sheet as sheets

    handed: list[float] = []
    real = sheets.sheet

    def seen(panels: object, **options: object) -> str:
        html = real(panels, **options)  # pyright: ignore
        if any(panel.name == "pasted" for panel in panels):  # pyright: ignore
            handed.append(time.perf_counter())
        return html

    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    app.switch_page("pages/1_Mask_Lab.py").run()
    sheets.sheet = seen
    taken: list[float] = []
    for n in range(moves):
        start = time.perf_counter()
        next(one for one in app.slider if one.label == "Share hidden").set_value(20 + n).run()
        taken.append(handed[-1] - start)
    sheets.sheet = real
    report("page: slider event to low, high, combined encoded", taken[2:], 250)


@contextmanager
def serving() -> Iterator[tuple[str, float]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "serve.py", *options], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", start
    finally:
        process.terminate()
        process.wait(20)


def in_the_browser(moves: int) -> None:
    """Start of the server to the first computed picture, and a key on the slider to the changed picture, in headless Chromium."""
    import shutil

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with serving() as (address, started):
            page = browser.new_page(viewport={"width": 1400, "height": 1200})
            page.goto(address)
            page.wait_for_selector('[data-panel="combined"] img', timeout=180_000)
            first = time.perf_counter() - started
            print(f"{'server start to the first computed picture on Home':58} {first:.1f} s   bar 10 s: {'kept' if first <= 10 else 'MISSED'}")
            page.goto(f"{address}/Mask_Lab")
            image = page.wait_for_selector('[data-panel="combined"] img', timeout=180_000)
            slider = page.get_by_role("slider", name="Share hidden")
            slider.focus()
            changed = "before => document.querySelector('[data-panel=\"combined\"] img')?.src !== before"
            taken: list[float] = []
            for _ in range(moves):
                page.wait_for_timeout(1500)  # the fragment and the section below end before the next move
                assert image
                before = page.locator('[data-panel="combined"] img').first.get_attribute("src")
                start = time.perf_counter()
                slider.press("ArrowLeft")
                page.wait_for_function(changed, arg=before, timeout=60_000, polling=10)
                taken.append(time.perf_counter() - start)
            report("browser: slider key to changed picture", taken[1:], 700)
        browser.close()


def many_masks() -> None:
    from core.engine.inputs import read_ground
    from core.engine.loaded import load
    from core.geo import TileRef, TileSpec, known_sources
    from core.masking import MaskSpec
    from core.models import default_reconstructor
    from core.policy import Policy
    from core.studies import monte_carlo

    model = load(default_reconstructor())
    tile = read_ground(known_sources().read, TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224)), model.card.input_px)
    taken = times(4, lambda n: list(monte_carlo(model, tile, MaskSpec(seed=16 * n), Policy(model.card.default_policy), count=16)), warm=1)
    report(f"{model.card.name}: 16 masks, mean and deviation", taken, 3000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--large", action="store_true", help="measure ViT-L too (1.3 GB)")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    from core.models import default_reconstructor

    in_the_browser(max(10, args.moves // 2))
    on_the_server(default_reconstructor(), args.moves, 250)
    of_the_page(args.moves)
    many_masks()
    if args.large:
        on_the_server("scale_mae_large", 3, None)
    print(f"load average {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
