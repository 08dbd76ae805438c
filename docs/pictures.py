"""Retake the pictures of the README and of the pages' states in headless Chromium: `make pictures`.

    python docs/pictures.py [NAME ...]

They go into docs/pictures. Names, such as `globe_place`, retake only those.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

if TYPE_CHECKING:
    from PIL.Image import Image

ROOT = Path(__file__).parents[1]
CHROMIUM = next(
    filter(
        Path.exists, map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"))
    ),
    None,
)
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
]
WAIT_MS = 180_000
TRIPLE = ("masked", "combined", "original")
PAINTED_PX = 815
"""Where Home's picture, its reconstruction and the buttons end at 1400 px."""
GIF_PX = 830
PHONE, LAPTOP, DESKTOP = (400, 850), (1400, 900), (1920, 1080)


@dataclass(frozen=True)
class State:
    """A page after it was used, as `take_state` shows it: size in CSS pixels, colour scheme, and the use."""

    path: str
    size: tuple[int, int] = LAPTOP
    scheme: Literal["light", "dark"] = "light"
    use: Callable[[Page], object] = lambda _: None


PAGES = {"home": "", "mask_lab": "Mask_Lab", "scale_lab": "Scale_Lab", "globe": "Globe"}
"""Pages shown as they open. Other pages may show licensed imagery that is on this machine."""


def go_to_kyoto(page: Page) -> None:
    """Search for a town; the panel then shows its look-alikes."""
    page.get_by_role("textbox", name="Search for a place or a class of your labels").fill("Kyoto")
    page.get_by_role("button", name="Kyoto, Japan").first.click()
    page.get_by_text("Most similar first").wait_for(timeout=WAIT_MS)


STATES = {
    "mask_lab_desktop": State("Mask_Lab", DESKTOP, "dark"),
    "mask_lab_phone": State("Mask_Lab", PHONE),
    "scale_lab_curves": State("Scale_Lab?tab=Curves"),
    "globe_place": State("Globe", use=go_to_kyoto),
    "globe_place_desktop": State("Globe", DESKTOP, "dark", go_to_kyoto),
    "globe_phone": State("Globe", PHONE, "dark", go_to_kyoto),
    "globe_flat": State(
        "Globe", use=lambda page: page.get_by_role("button", name="Globe or flat map").click()
    ),
    "globe_imagery": State("Globe?tab=My+imagery"),
    "evaluate": State("Evaluate"),
    "evaluate_phone": State("Evaluate", PHONE, "dark"),
    "train": State("Train"),
    "learn_lesson": State("Learn?lesson=patches", scheme="dark"),
}
"""The states of pages that are shown, by the names of their pictures. All imagery in them is in the public
domain; Home is not among them, as it shows tiles whose licence asks for more than credit."""


@contextmanager
def serving() -> Iterator[str]:
    """Run the app on a free port and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "serve.py", *options], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def settled(page: Page) -> None:
    """Wait until the script and its fragments have run and every picture is loaded."""
    page.wait_for_selector("[data-testid=stAppViewContainer]", timeout=WAIT_MS)
    still = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
    for _ in range(3):
        page.wait_for_function(still, timeout=WAIT_MS)
        page.wait_for_function("[...document.images].every(image => image.complete)", timeout=WAIT_MS)
        page.wait_for_timeout(1500)


def before_and_after(folder: Path) -> None:
    """Draw rows of input, reconstruction and original from public-domain samples."""
    import numpy as np

    from core.engine.inputs import read_ground
    from core.engine.loaded import load
    from core.engine.reconstruct import reconstruct
    from core.geo import TileRef, TileSpec, known_sources
    from core.masking import MaskSpec
    from core.models import default_reconstructor
    from core.viz.pictures import panels, png

    model, read = load(default_reconstructor()), known_sources().read
    rows = {
        "row_landsat": (
            TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224)),
            MaskSpec("random", 0.75),
        ),
        "row_bahamas": (
            TileSpec(TileRef("samples", "bahamas_rgb"), window=(420, 330, 224, 224)),
            MaskSpec("blob", 0.5, 3),
        ),
        "row_alps": (
            TileSpec(TileRef("globe", "blue_marble"), lonlat=(9.5, 45.5), gsd_m=5000),
            MaskSpec("stripes", 0.4),
        ),
    }
    for name, (spec, mask) in rows.items():
        result = reconstruct(model, read_ground(read, spec, model.card.input_px), mask)
        shown = {panel.name: panel.pixels for panel in panels(result)}
        gap = np.full((shown["original"].shape[0], 8, 3), 255, np.uint8)
        row = np.concatenate([shown["masked"], gap, shown["combined"], gap, shown["original"]], axis=1)
        (folder / f"{name}.png").write_bytes(png(row.repeat(2, axis=0).repeat(2, axis=1)))
        print(folder / f"{name}.png", result.recipe.caption())


def scale_sweep(folder: Path) -> None:
    """One place at ever coarser ground sample distances, masked and reconstructed (public domain)."""
    import numpy as np
    from PIL import Image, ImageDraw

    from core.engine.inputs import read_ground
    from core.engine.loaded import load
    from core.engine.reconstruct import reconstruct
    from core.geo import TileRef, TileSpec, known_sources
    from core.masking import MaskSpec
    from core.models import default_reconstructor
    from core.units import metres
    from core.viz.pictures import panels

    model, read, frames = load(default_reconstructor()), known_sources().read, []
    for gsd_m in np.geomspace(1900, 16_000, 10):
        spec = TileSpec(TileRef("globe", "blue_marble"), lonlat=(31.5, 30.0), gsd_m=float(gsd_m))
        result = reconstruct(model, read_ground(read, spec, model.card.input_px), MaskSpec())
        shown = {panel.name: panel.pixels for panel in panels(result)}
        sides = [Image.fromarray(shown[name]).resize((448, 448), Image.Resampling.LANCZOS) for name in TRIPLE]
        frame = Image.new("RGB", (3 * 448 + 16, 448 + 34), "white")
        for place, side in enumerate(sides):
            frame.paste(side, (place * 456, 34))
        ImageDraw.Draw(frame).text((0, 6), f"{metres(float(gsd_m))} per pixel", "black", font_size=20)
        frames.append(frame.resize((760, 269), Image.Resampling.LANCZOS))
    save_gif(folder / "scale_sweep.gif", [*frames, *frames[-2:0:-1]], 300)


def painting(page: Page, address: str, folder: Path) -> None:
    """Home while somebody paints: hide most of the tile, stroke by stroke."""
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.goto(address)
    settled(page)
    page.get_by_role("button", name="Show all patches").click()
    canvas = page.locator("canvas").first.bounding_box()
    assert canvas
    left, top, side = canvas["x"], canvas["y"], canvas["width"]
    patch = side / 14
    page.get_by_role("button", name="Larger brush").click()
    follows(page)
    frames = [_frame(page, canvas)]
    for stroke in range(5):
        row = top + (1.5 + 2.7 * stroke) * patch
        for start in range(2):
            page.mouse.move(left + (0.5 + 6.5 * start) * patch, row)
            page.mouse.down()
            page.mouse.move(left + (6.5 + 6.5 * start) * patch, row + patch, steps=8)
            page.mouse.up()
            follows(page)
            frames.append(_frame(page, canvas))
    save_gif(folder / "painting.gif", [*frames, *[frames[-1]] * 4], 500)


def follows(page: Page) -> None:
    """Wait until the reconstruction is that of the patches that are visible now."""
    page.wait_for_timeout(300)
    words = page.get_by_text(re.compile(r"\d+ of \d+ patches hidden")).first.inner_text(timeout=WAIT_MS)
    hidden, count = (int(word) for word in re.findall(r"\d+", words)[:2])
    page.get_by_text(f"Reconstruction from {count - hidden} visible").wait_for(timeout=WAIT_MS)
    page.wait_for_timeout(300)


def _frame(page: Page, canvas: FloatRect) -> Image:
    from io import BytesIO

    from PIL import Image

    clip = {"x": canvas["x"] - 8, "y": canvas["y"] - 52, "width": 1106, "height": canvas["height"] + 84}
    shot = Image.open(BytesIO(page.screenshot(clip=clip))).convert("RGB")
    return shot.resize((GIF_PX, round(GIF_PX * shot.height / shot.width)), Image.Resampling.LANCZOS)


def save_gif(path: Path, frames: list[Image], each_ms: int) -> None:
    """Write frames as an endless GIF with one palette."""
    from PIL import Image

    first = frames[len(frames) // 2].quantize(200)
    packed = [frame.quantize(palette=first, dither=Image.Dither.NONE) for frame in frames]
    packed[0].save(path, save_all=True, append_images=packed[1:], duration=each_ms, loop=0, optimize=True)
    print(path, f"{path.stat().st_size / 1e6:.1f} MB")


def take_state(browser: Browser, address: str, name: str, folder: Path) -> None:
    """Save what a page shows in a state, as WebP: a tenth of a PNG's bytes."""
    from io import BytesIO

    from PIL import Image

    state, (width, height) = STATES[name], STATES[name].size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=state.scheme)
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{address}/{state.path}")
    settled(page)
    state.use(page)
    settled(page)
    picture = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": height}, timeout=WAIT_MS)
    Image.open(BytesIO(picture)).convert("RGB").save(folder / f"{name}.webp", quality=82, method=6)
    print(folder / f"{name}.webp")
    page.close()


def main() -> None:
    """Take one picture of each page, 1400 px wide, two animations, and the states of pages."""
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    sys.path.insert(0, str(ROOT))
    names = [*PAGES, "painting", *STATES]
    if unknown := set(sys.argv[1:]) - set(names):
        sys.exit(f"There is no picture {', '.join(sorted(unknown))}. Choose among {', '.join(names)}.")
    if not sys.argv[1:]:
        before_and_after(folder)
        scale_sweep(folder)
    with serving() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(WAIT_MS)
        for name in sys.argv[1:] or names:
            if name in STATES:
                take_state(browser, address, name, folder)
            elif name == "painting":
                painting(page, address, folder)
            else:
                page.goto(f"{address}/{PAGES[name]}")
                settled(page)
                # below PAINTED_PX, Home shows tiles whose licence asks for more than credit
                shown = {"x": 0, "y": 0, "width": 1400, "height": PAINTED_PX if name == "home" else 1000}
                page.screenshot(path=folder / f"{name}.png", clip=shown)
                print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
