"""Tests that need a browser or data packs skip without them; in CI a skipped browser test fails the run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WITH_TESTS = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
"""The environment in which the copied conftest.py finds the fixtures that it names."""


@pytest.mark.parametrize(("judged", "code"), [("0", 0), ("1", 1)])
def test_a_missing_browser_is_seen_and_fails_where_it_must(tmp_path: Path, judged: str, code: int) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_one.py").write_text(
        "import pytest\n@pytest.mark.browser\ndef test_page(): ...\ndef test_other(): ...\n"
    )
    env = {**WITH_TESTS, "PATH": str(tmp_path), "HOME": str(tmp_path), "EARTH_MAE_CI": judged}
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
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == code, done.stdout
    assert "1 browser tests were skipped" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_tests_that_use_the_data_packs_are_marked_and_skip_without_them(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_one.py").write_text("def test_packs(shared_data): ...\ndef test_other(): ...\n")
    packs = tmp_path / "packs"
    packs.mkdir()

    def run(*options: str) -> str:
        markers = ["-o", "markers=packs\nbrowser", "-p", "no:cacheprovider", "-rs", "--strict-markers"]
        command = [sys.executable, "-m", "pytest", *markers, *options, str(folder)]
        env = {**WITH_TESTS, "EARTH_MAE_DATA": str(packs), "EARTH_MAE_CI": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=300
        ).stdout

    without = run()
    assert "1 passed, 1 skipped" in without
    assert re.search(r"SKIPPED \[1\] .*no data packs on this machine", without)
    (packs / "scenes.zip").touch()
    assert "1 passed, 1 deselected" in run("-m", "packs")
