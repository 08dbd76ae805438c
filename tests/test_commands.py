"""The make targets: what each installs, in any folder, and where the app is found when its port is taken."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT

NEEDED = (
    "Makefile", "requirements.txt", "requirements.lock", "requirements-dev.txt", "requirements-dev.lock",
    "requirements-s3.lock", "ui/components/pyproject.toml",
)  # fmt: skip
TEST_TOOLS = re.compile(r"requirements-dev|pytest|playwright|\.ci/browser")
START_S = 120


def dry_run(folder: Path, *words: str) -> str:
    """Give the commands that make would run in a folder."""
    command = ["make", "--no-print-directory", "-n", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def stamps(commands: str) -> list[str]:
    """Give the stamps that these commands would leave in the environment."""
    return re.findall(r"touch (\S+)", commands)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with an awkward name that holds what make looks at, and no environment."""
    folder = tmp_path / "Erde & Käse" / "it's a clone"
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_app_needs_no_test_tools(fresh: Path) -> None:
    app, test = dry_run(fresh, "app"), dry_run(fresh, "test")
    assert "requirements.lock" in app and "streamlit run serve.py" in app
    assert TEST_TOOLS.findall(app) == []
    assert {"requirements-dev", "pytest"} <= set(TEST_TOOLS.findall(test))
    assert "requirements.lock" in test and len(stamps(test)) == 2 and stamps(app) == stamps(test)[:1]


def test_nothing_is_reinstalled_until_requirements_change(fresh: Path, tmp_path: Path) -> None:
    (fresh / ".venv").mkdir()
    for stamp in stamps(dry_run(fresh, "test")):
        (fresh / stamp).touch()
    assert "pip install" not in dry_run(fresh, "app") + dry_run(fresh, "test")
    with (fresh / "requirements-dev.txt").open("a") as file:
        file.write("# another tool\n")
    assert "pip install" not in dry_run(fresh, "app")
    assert "pip install" in dry_run(fresh, "test")
    moved = fresh.rename(tmp_path / "moved")  # ui/components is installed under its path
    assert "pip install" in dry_run(moved, "app")


@pytest.mark.parametrize(
    ("exit_codes", "expected", "runs"), [((0, 0), 0, 2), ((1, 0), 1, 2), ((0, 1), 1, 2), ((2, 0), 2, 1)]
)
def test_browser_tests_run_after_a_failure_and_not_after_an_interrupt(
    fresh: Path, exit_codes: tuple[int, int], expected: int, runs: int
) -> None:
    python = fresh / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    for stamp in stamps(dry_run(fresh, "test")):
        (fresh / stamp).touch()
    first, second = exit_codes
    python.write_text(
        f'#!/bin/sh\necho "$@" >>runs\ncase "$*" in *--ignore*) exit {first};; *) exit {second};; esac\n'
    )
    python.chmod(0o755)
    done = subprocess.run(["make", "test"], cwd=fresh, capture_output=True, text=True)
    assert (done.returncode != 0) == (expected != 0)
    assert f"Error {expected}" in done.stderr or not expected
    assert len((fresh / "runs").read_text().splitlines()) == runs


def start(*words: str) -> tuple[subprocess.Popen[str], str]:
    """Run the command of `make app` and give the process and what it prints until it serves or ends."""
    recipe = dry_run(ROOT, "app", *words).replace("\\\n", " ")
    (line,) = (line for line in recipe.splitlines() if "streamlit run" in line)
    command = [sys.executable, *shlex.split(line)[1:], "--server.headless=true"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout
    output = ""
    for line in process.stdout:
        output += line
        if "URL:" in line:
            break
    return process, output


def end(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


def test_beside_a_busy_port_the_next_free_one_serves_and_is_named() -> None:
    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket())
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            busy.bind(("127.0.0.1", 8501))
            busy.listen()
        except OSError:
            pass  # taken by another process, which serves as well
        process, output = start()
        stack.callback(end, process)
        url = re.search(r"http://127\.0\.0\.1:(\d+)", output)
        assert url, output
        assert int(url[1]) > 8501
        deadline = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"{url[0]}/_stcore/health", timeout=5) as answer:
                    assert answer.read() == b"ok"
                    return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)


@pytest.mark.thorough
def test_a_requested_port_that_is_busy_is_named() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        process, output = start(f"PORT={port}")
        try:
            assert process.wait(START_S) == 1
        finally:
            if process.poll() is None:
                end(process)
    assert f"Port {port} is not available" in output and "Traceback" not in output
