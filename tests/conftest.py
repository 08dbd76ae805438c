"""Shared by all tests: one thread per library, the data packs, and skipping without a browser."""

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # before NumPy or torch is imported

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# No deadline: on a busy machine every function is slow.
hypothesis.settings.register_profile("project", max_examples=50, deadline=None)
hypothesis.settings.load_profile("project")

pytest_plugins = ("tests.labelled_grid", "tests.text_encoder_pair")  # fixtures of several folders

ROOT = Path(__file__).parents[1]
CI = os.environ.get("EARTH_MAE_CI") == "1"
_skipped_in_browser: list[str] = []


def chromium() -> str | None:
    """Find a browser for Playwright: any Chromium on the PATH, else the one that Playwright installed."""
    names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    kept = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    return next((str(path) for path in sorted(kept.glob("chromium-*/chrome-*/chrome"), reverse=True)), None)


@pytest.fixture(autouse=True)
def _main_module() -> Iterator[None]:
    """Streamlit's AppTest makes its script the module __main__, which new processes would then run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def browser_path() -> str | None:
    """Path of the Chromium that browser tests drive."""
    return chromium()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data packs: $EARTH_MAE_DATA, or beside the repository.

    Tests that use it are marked `packs`, and skip where there is none.
    """
    places = [Path(os.environ["EARTH_MAE_DATA"])] if os.environ.get("EARTH_MAE_DATA") else []
    for folder in (*places, ROOT.parent / "shared" / "data"):
        if (folder / "scenes.zip").is_file():
            return folder
    pytest.skip("no data packs on this machine: name their folder in EARTH_MAE_DATA to run this test")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that use the data packs; skip browser tests where there is no browser."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.packs)
    if chromium() is None:
        reason = "no Chromium: apt-get install chromium (Debian) or .venv/bin/playwright install chromium"
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    """Count browser tests that were skipped, for whatever reason."""
    report = yield
    if report.skipped and item.get_closest_marker("browser") and not hasattr(report, "wasxfail"):
        _skipped_in_browser.append(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a browser test was skipped in CI (EARTH_MAE_CI=1, set by .ci/run)."""
    if CI and _skipped_in_browser and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many browser tests were skipped."""
    if _skipped_in_browser:
        verdict = "which fails this run (EARTH_MAE_CI=1)" if CI else "so no page was tested in a browser"
        terminalreporter.write_line(
            f"{len(_skipped_in_browser)} browser tests were skipped, {verdict}.", red=CI, yellow=not CI
        )


@pytest.fixture(scope="session")
def small_scale_mae() -> object:
    """An untrained Scale-MAE of 4 x 4 patches: enough for shapes and arithmetic."""
    from core.models import create

    sizes = {"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2}
    decoder = {
        "decoder_embed_dim": 32,
        "decoder_depth": 1,
        "decoder_num_heads": 2,
        "fcn_dim": 16,
        "fcn_layers": 1,
    }
    return create("scale_mae", **sizes, **decoder, band_config=(4, 8)).requires_grad_(False)


@pytest.fixture(scope="session")
def _stac_server() -> Iterator[Any]:
    from tests.stac_server import Server

    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(_stac_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A local STAC API and COG server with an empty log, with online access switched on for this test."""
    monkeypatch.setenv("EARTH_MAE_ONLINE", "1")
    monkeypatch.setenv("EARTH_MAE_ONLINE_LOCAL", "1")
    monkeypatch.setenv("EARTH_MAE_STAC", f"{_stac_server.base}/v1")
    _stac_server.service.forget()
    return _stac_server
