"""The widgets in a real marimo notebook: what is drawn arrives in Python, and cells that read it run again.

Runs where `marimo` is on the PATH or named in EARTH_MAE_MARIMO. It may belong to another environment of the
same Python version, because it imports this one's packages.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect, sync_playwright

from tests.conftest import ROOT, chromium

MARIMO = os.environ.get("EARTH_MAE_MARIMO") or shutil.which("marimo")
SLOW_MS = 120_000
NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    import numpy as np
    from core import CompareView, GlobeView, MaskPainter, reconstruct
    from core.atlas import EmbeddingTable, make_rows
    from core.models import create
    from tests.engine.conftest import plain_tile

    tile = plain_tile(64)
    painter = mo.ui.anywidget(MaskPainter(tile, grid=4))
    painter
    return CompareView, EmbeddingTable, GlobeView, create, make_rows, mo, np, painter, reconstruct, tile


@app.cell
def _(mo, np, painter):
    painter.value
    mo.md(f"hidden {np.flatnonzero(painter.widget.mask.hidden).tolist()}")
    return


@app.cell
def _(EmbeddingTable, GlobeView, make_rows, mo, np):
    places = {"centre_lon": np.linspace(-40, 60, 60), "centre_lat": np.linspace(-50, 60, 60)}
    vectors = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    view = mo.ui.anywidget(GlobeView(EmbeddingTable.from_rows(make_rows(vectors, places))))
    view
    return (view,)


@app.cell
def _(mo, view):
    view.value
    mo.md(f"rows {len(view.widget.selected)}")
    return


@app.cell
def _(mo):
    highlight = mo.ui.button(label="Highlight two rows", value=0, on_click=lambda count: count + 1)
    highlight
    return (highlight,)


@app.cell
def _(highlight, view):
    if highlight.value:
        view.widget.selected = [10, 20]
    return


@app.cell
def _(CompareView, create, mo, painter, reconstruct, tile):
    network = create(
        "scale_mae", img_size=64, patch_size=16, embed_dim=32, depth=1, num_heads=2, decoder_embed_dim=32,
        decoder_depth=1, decoder_num_heads=2, fcn_dim=16, fcn_layers=1, band_config=(4, 8),
    )
    mo.ui.anywidget(CompareView(reconstruct(network, tile, painter.widget.mask)))
    return


if __name__ == "__main__":
    app.run()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MARIMO is None, reason="no marimo: pip install marimo in an environment of its own"),
    pytest.mark.skipif(chromium() is None, reason="no Chromium"),
]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    packages = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    command = [
        str(MARIMO), "-q", "run", "notebook.py", "--headless", "--no-token", "-p", str(port),
        "--host", "127.0.0.1",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail((tmp_path / "log").read_text()[-2000:])
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """The notebook as an app, after all of its cells have run."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(SLOW_MS)
        expect.set_options(timeout=SLOW_MS)
        page.goto(address)
        yield page
        browser.close()


def box_of(target: Locator) -> FloatRect:
    """Return where an element is, after scrolling to it."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box
    return box


def vivid(scene: Locator) -> int:
    """Return the number of pixels with a strong colour in the projection, the right half of a globe."""
    pixels = np.asarray(Image.open(io.BytesIO(scene.screenshot())).convert("RGB")).astype(int)
    return int((np.ptp(pixels[:, pixels.shape[1] // 2 :], axis=2) > 48).sum())


def test_widgets_answer_in_both_directions(page: Page) -> None:
    expect(page.get_by_text("hidden []")).to_be_visible()
    canvas = page.locator("canvas").first
    box = box_of(canvas)
    page.mouse.click(box["x"] + box["width"] / 8, box["y"] + box["height"] / 8)
    expect(page.get_by_text("hidden [0]")).to_be_visible()
    canvas.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.get_by_text("hidden [0, 4]")).to_be_visible()

    scene, counted = page.locator(".scene"), page.locator(".counted")
    expect(counted).to_have_text("60 points")
    page.get_by_role("toolbar", name="Map tools").get_by_role("button", name="Lasso", exact=True).click()
    box = box_of(scene)
    page.wait_for_timeout(1500)
    left, right = box["x"] + 0.12 * box["width"], box["x"] + 0.38 * box["width"]
    top, bottom = box["y"] + 0.15 * box["height"], box["y"] + 0.85 * box["height"]
    page.mouse.move(left, top)
    page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(*corner, steps=4)
    page.mouse.up()
    expect(counted).to_contain_text("of 60 selected")
    selected = int(counted.inner_text().split()[0])
    assert selected > 0
    expect(page.get_by_text(f"rows {selected}", exact=True)).to_be_visible()

    colourful = vivid(scene)
    page.get_by_role("button", name="Highlight two rows").click()
    expect(counted).to_have_text("60 points")
    page.wait_for_timeout(1500)
    assert vivid(scene) < colourful / 3, "all other rows must fade"

    expect(page.get_by_text("Reconstruction", exact=True)).to_be_visible()
    if folder := os.environ.get("EARTH_MAE_PICTURES"):
        page.screenshot(path=f"{folder}/marimo.png", full_page=True)
