"""The painter in a real marimo notebook: what is painted arrives in Python, and cells that read it run again.

Runs where `marimo` is on the PATH or named in EARTH_MAE_MARIMO. It may belong to another environment of the
same Python version, because it imports this one's packages.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

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
    from core import MaskPainter
    from tests.engine.conftest import plain_tile

    painter = mo.ui.anywidget(MaskPainter(plain_tile(64), grid=4))
    painter
    return mo, np, painter


@app.cell
def _(mo, np, painter):
    painter.value
    mo.md(f"hidden {np.flatnonzero(painter.widget.mask.hidden).tolist()}")
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


def test_painted_cells_arrive_in_python(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--use-angle=swiftshader"]
        )
        page = browser.new_page()
        page.set_default_timeout(SLOW_MS)
        expect.set_options(timeout=SLOW_MS)
        page.goto(address)
        expect(page.get_by_text("hidden []")).to_be_visible()
        canvas = page.locator("canvas").first
        box = canvas.bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] / 8, box["y"] + box["height"] / 8)
        expect(page.get_by_text("hidden [0]")).to_be_visible()
        canvas.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Space")
        expect(page.get_by_text("hidden [0, 4]")).to_be_visible()
        browser.close()
