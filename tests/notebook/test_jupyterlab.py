"""The widgets in a real JupyterLab: paint and Python sees the mask; lasso gives rows; rows are highlighted.

Runs where `jupyter-lab` is on the PATH or named in EARTH_MAE_JUPYTERLAB. It may belong to another
environment, because the kernel is this one.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anywidget
import nbformat
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import chromium

ROOT = Path(__file__).parents[2]
LAB = os.environ.get("EARTH_MAE_JUPYTERLAB") or shutil.which("jupyter-lab")
CELLS = (
    "import numpy as np\n"
    "from core import CompareView, GlobeView, MaskPainter, MaskSpec, reconstruct\n"
    "from core.atlas import EmbeddingTable, make_rows\n"
    "from core.models import create\n"
    "from tests.engine.conftest import plain_tile\n"
    "tile = plain_tile(64)\n"
    "painter = MaskPainter(tile, grid=4)\n"
    "painter",
    "print('hidden', np.flatnonzero(painter.mask.hidden).tolist())",
    "places = {'centre_lon': np.linspace(-40, 60, 60), 'centre_lat': np.linspace(-50, 60, 60)}\n"
    "vectors = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)\n"
    "view = GlobeView(EmbeddingTable.from_rows(make_rows(vectors, places)))\n"
    "view",
    "print('selected', len(view.selected), view.data['selection']['kind'], view.data['knownSelection'])",
    "view.selected = [10, 20]\nprint('set', view.selected)",
    "network = create('scale_mae', img_size=64, patch_size=16, embed_dim=32, depth=1, num_heads=2,\n"
    "    decoder_embed_dim=32, decoder_depth=1, decoder_num_heads=2, fcn_dim=16, fcn_layers=1,\n"
    "    band_config=(4, 8))\n"
    "CompareView(reconstruct(network, tile, painter.mask))",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        LAB is None, reason="no jupyter-lab: pip install jupyterlab in an environment of its own"
    ),
    pytest.mark.skipif(chromium() is None, reason="no Chromium"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a JupyterLab with one notebook, and the notebook's file."""
    home = tmp_path_factory.mktemp("lab")
    kernel = home / "share" / "kernels" / "here"
    kernel.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "here",
        "language": "python",
        "env": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    }
    (kernel / "kernel.json").write_text(json.dumps(spec))
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in CELLS],
        metadata={"kernelspec": {"name": "here", "display_name": "here", "language": "python"}},
    )
    work = home / "work"
    work.mkdir()
    nbformat.write(notebook, work / "widgets.ipynb")
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)  # every cell is in the page, also those far below
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = Path(os.path.realpath(str(anywidget.__file__))).parents[4] / "share" / "jupyter"
    environment = {
        **os.environ,
        "JUPYTER_PATH": os.pathsep.join(map(str, (home / "share", shared))),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [
        str(LAB), "--no-browser", f"--port={port}", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=",
        f"--ServerApp.root_dir={work}", "--allow-root", "--LabApp.news_url=None",
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail((home / "log").read_text()[-2000:])
        yield address, work / "widgets.ipynb"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def page(lab: tuple[str, Path]) -> Iterator[Page]:
    """The notebook, open in JupyterLab."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(90_000)
        expect.set_options(timeout=90_000)
        page.goto(f"{lab[0]}/lab/tree/widgets.ipynb")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        page.get_by_text("here | Idle").wait_for()  # before that, JupyterLab drops what is run
        yield page
        browser.close()


def run_cell(page: Page, number: int) -> Any:
    """Run a cell, wait until the kernel has finished it, and return it."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputArea-prompt")).to_have_text(f"[{_runs(page)}]:", timeout=90_000)
    return cell


def _runs(page: Page) -> int:
    page.cells_run = getattr(page, "cells_run", 0) + 1  # type: ignore[attr-defined]
    return page.cells_run  # type: ignore[attr-defined]


def drag(page: Page, points: list[tuple[float, float]]) -> None:
    """Press at the first point, move through the others, and release."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def test_painted_cells_arrive_in_python(page: Page) -> None:
    cell = run_cell(page, 0)
    canvas = cell.locator("canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box is not None
    step = box["width"] / 4
    drag(page, [(box["x"] + step * (n + 0.5), box["y"] + step * 1.5) for n in range(3)])
    expect(cell.get_by_text("3 of 16 patches hidden (19 %)")).to_be_visible()
    printed = run_cell(page, 1).locator(".jp-OutputArea-output")
    expect(printed).to_have_text("hidden [4, 5, 6]")


def test_keys_of_the_painter_are_not_taken_by_jupyter(page: Page) -> None:
    count = page.locator(".jp-Notebook .jp-CodeCell").count()
    canvas = page.locator(".jp-Notebook .jp-CodeCell").first.locator("canvas")
    canvas.focus()
    for key in ("e", "b", "l"):
        page.keyboard.press(key)
    assert page.locator(".jp-Notebook .jp-CodeCell").count() == count
    canvas.press("i")
    expect(page.get_by_text("13 of 16 patches hidden")).to_be_visible()
    canvas.press("Control+z")
    expect(page.get_by_text("3 of 16 patches hidden")).to_be_visible()
    canvas.press("b")


def test_a_lasso_gives_rows_and_rows_are_highlighted(page: Page) -> None:
    cell = run_cell(page, 2)
    expect(cell.get_by_text("60 points", exact=True)).to_be_visible()
    scene = cell.locator(".scene")
    scene.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    cell.get_by_role("button", name="Lasso", exact=True).click()
    box = scene.bounding_box()
    assert box is not None
    left, top, right, bottom = (
        box["x"] + 0.12 * box["width"], box["y"] + 0.15 * box["height"],
        box["x"] + 0.38 * box["width"], box["y"] + 0.85 * box["height"],
    )  # fmt: skip
    drag(page, [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    counted = cell.locator(".counted")
    expect(counted).to_contain_text("of 60 selected")
    selected = int(counted.inner_text().split()[0])
    assert selected > 0
    printed = run_cell(page, 3).locator(".jp-OutputArea-output")
    expect(printed).to_have_text(f"selected {selected} lasso 1")

    cell.scroll_into_view_if_needed()
    before = scene.screenshot()
    expect(run_cell(page, 4).locator(".jp-OutputArea-output")).to_have_text("set (10, 20)")
    expect(counted).to_have_text("60 points")
    page.wait_for_timeout(1500)
    assert scene.screenshot() != before, "the rows set from Python must be seen"


def test_pictures_can_be_compared_and_stay_in_the_saved_file(page: Page, lab: tuple[str, Path]) -> None:
    cell = run_cell(page, 5)
    expect(cell.get_by_text("Reconstruction", exact=True)).to_be_visible()
    if folder := os.environ.get("EARTH_MAE_PICTURES"):
        for number in (0, 2, 5):
            shown = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
            shown.scroll_into_view_if_needed()
            page.wait_for_timeout(1000)
            shown.screenshot(path=f"{folder}/lab-{number}.png")
    page.keyboard.press("Control+s")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        saved = nbformat.read(lab[1], 4)
        pictures = [out.data for one in saved.cells for out in one.outputs if "data" in out]
        if len(pictures) == 3:
            break
        time.sleep(0.5)
    assert len(pictures) == 3
    assert all("image/png" in data for data in pictures)
