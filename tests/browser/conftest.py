"""A real Chromium against a real Streamlit server, with a guard that no request leaves this host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright", reason="the browser tests need requirements-dev.txt")
from playwright.sync_api import FloatRect, Locator, Page, Route, expect

from tests.globe_tables import write_world

ROOT = Path(__file__).parents[2]
APPS = Path(__file__).parent / "apps"
LOOPBACK = {"127.0.0.1", "localhost", "::1", ""}
QUIET = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic",
    "--no-first-run", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip
START_S = 60
SLOW_MS = 120_000
"""What appears is promised, not how fast: on a loaded machine one run of a page outlasts Playwright's own 5
and 30 s."""
expect.set_options(timeout=SLOW_MS)
RESTS = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
"""No run of a page is requested or in progress."""
STEADY = """
element => new Promise((done) => {
  const look = (before) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    const now = [x, y, width, height].join();
    now === before ? done({ x, y, width, height }) : setTimeout(look, 100, now);
  };
  look("");
})
"""


def free_port() -> int:
    """A free loopback port above 20000."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, object], browser_path: str | None
) -> dict[str, object]:
    """Use the Chromium that was found; software WebGL everywhere."""
    found = {"executable_path": browser_path} if browser_path else {}
    return {**browser_type_launch_args, **found, "args": QUIET}


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start a Streamlit script once per session and give its address: serve("painter.py") or serve(ROOT /
    "serve.py", data=folder)."""
    running: dict[tuple[str, str, str], tuple[subprocess.Popen[bytes], str]] = {}

    def start(script: str | Path, *, theme: str = "light", data: Path | None = None) -> str:
        path = APPS / script
        key = (str(path), theme, str(data))
        if key not in running:
            port = free_port()
            log = (tmp_path_factory.mktemp("server") / "log.txt").open("wb")
            options = {
                "server.port": port, "server.address": "127.0.0.1", "server.headless": "true",
                "server.fileWatcherType": "none",
                "browser.gatherUsageStats": "false", "theme.base": theme,
            }  # fmt: skip
            command = [
                sys.executable,
                "-m",
                "streamlit",
                "run",
                str(path),
                *(f"--{k}={v}" for k, v in options.items()),
            ]
            given = {} if data is None else {"EARTH_MAE_DATA": str(data)}
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1", **given}
            )
            running[key] = (process, f"http://127.0.0.1:{port}")
            _wait_until_healthy(process, port, Path(log.name))
        return running[key][1]

    yield start
    for process, _ in running.values():
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def with_table(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The app beside a data folder with one table of 300 places."""
    data = tmp_path_factory.mktemp("data")
    write_world(data / "world of tests", 300)
    return serve(ROOT / "serve.py", data=data)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    process.terminate()
    raise RuntimeError(f"The Streamlit server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def patient(page: Page) -> Page:
    """A page that waits as long as a loaded machine needs."""
    page.set_default_timeout(SLOW_MS)
    return page


def wait_until_rest(page: Page) -> None:
    """Wait until no run of the page is requested or in progress: what is drawn stays."""
    page.wait_for_function(RESTS, polling=100)


def steady_box(element: Locator) -> FloatRect:
    """Where an element is, in CSS pixels of the window, once it has stayed there for a tenth of a second.

    Playwright moves its mouse to a coordinate without looking at what lies there. While pictures and fonts
    arrive, elements still move.
    """
    return element.evaluate(STEADY)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that Playwright has no `expect` for, such as the colours of a screenshot."""
    deadline = time.monotonic() + SLOW_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.2)


@pytest.fixture
def local_page(page: Page) -> Iterator[Page]:
    """A page on which every off-host request is refused and, like every script error, fails the test at its
    end."""
    off_host: list[str] = []
    errors: list[str] = []

    def judge(route: Route) -> None:
        url = urlsplit(route.request.url)
        if url.scheme in {"data", "blob"} or (url.hostname or "") in LOOPBACK:
            route.continue_()
        else:
            off_host.append(route.request.url)
            route.abort()

    patient(page).route("**/*", judge)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert off_host == [], f"the page asked off-host: {off_host}"
    assert errors == [], f"script errors on the page: {errors}"


@pytest.fixture(scope="session")
def component_url() -> Iterator[str]:
    """The built components on a bare loopback server, to drive one without Streamlit."""
    assets = ROOT / "ui" / "components" / "earth_mae_components" / "assets"

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map: ClassVar[dict[str, str]] = {
            **SimpleHTTPRequestHandler.extensions_map,
            ".js": "text/javascript",
        }

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(assets)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
