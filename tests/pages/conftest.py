import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.geo.catalogue import DATA_VARIABLE
from tests.conftest import ROOT
from tests.globe_tables import write_world

WAIT_S = 120


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Open a page as a browser would, with parameters in its address."""

    def run(path: str | None = None, **params: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=WAIT_S)
        if path:
            app.switch_page(path)
        for name, value in params.items():
            app.query_params[name] = value
        return app.run()

    return run


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("tables") / "world", 300)


@pytest.fixture
def data(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with one table, and no bundled table."""
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr("ui.globe.tables.WORLD", tmp_path / "no bundled table")
    shutil.copytree(world, tmp_path / "world")
    return tmp_path
