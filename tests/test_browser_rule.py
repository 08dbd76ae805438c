"""Where there is no browser, browser tests skip and are counted; where a change is judged, that count fails the run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("judged", "code"), [("0", 0), ("1", 1)])
def test_a_missing_browser_is_seen_and_fails_where_it_must(tmp_path: Path, judged: str, code: int) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_one.py").write_text(
        "import pytest\n@pytest.mark.browser\ndef test_page(): ...\ndef test_other(): ...\n"
    )
    env = {**os.environ, "PATH": str(tmp_path), "HOME": str(tmp_path), "EARTH_MAE_CI": judged}
    env.pop("PLAYWRIGHT_BROWSERS_PATH", None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "markers=browser",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stdout
    assert "1 browser tests were skipped" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout
