from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT

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
