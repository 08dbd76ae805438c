"""Child processes that open untrusted files: their memory, start and replacement."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.errors import ExplorerError
from core.untrusted import Limits, call, process
from core.untrusted.held import HeldProcess
from tests.conftest import ROOT
from tests.untrusted import in_child


@pytest.fixture(autouse=True)
def one_child(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pool of one child, so that the same one always answers."""
    pool = process._Pool(1)
    monkeypatch.setattr(process, "_pool", pool)
    yield
    pool.close()


def run(function: Callable[..., Any], *arguments: Any, **limits: float) -> Any:
    within = Limits(**limits)  # pyright: ignore[reportArgumentType]
    return call(function, *arguments, name="field.tif", error=ExplorerError, limits=within)


def test_memory_is_limited_where_the_kernel_has_no_limit() -> None:
    with pytest.raises(ExplorerError, match="more than 100 MB of memory"):
        run(in_child.keep_without_limit, 250 * 2**20, 20.0, memory_mb=100)


def test_a_child_that_grew_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "KEPT_MB", 120)
    first = run(os.getpid)
    assert run(os.getpid) == first
    run(in_child.keep, 150 * 2**20)
    assert run(os.getpid) != first


def test_a_child_that_nobody_needs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "UNUSED_S", 0.2)
    for _ in range(2):  # the second child is cleaned up like the first
        child = psutil.Process(run(os.getpid))
        assert psutil.wait_procs([child], timeout=10)[0]


def test_a_child_that_was_killed_while_idle_is_replaced() -> None:
    first = run(os.getpid)
    os.kill(first, signal.SIGKILL)
    while psutil.Process(first).status() != psutil.STATUS_ZOMBIE:  # ended, but its exit is not read yet
        time.sleep(0.01)
    assert run(os.getpid) != first


@pytest.mark.thorough
def test_a_child_outlives_the_time_limit_of_its_last_answer() -> None:
    first = run(os.getpid)
    run(abs, 1, wall_s=1.0)
    time.sleep(4)
    assert run(os.getpid) == first


def test_ctrl_c_in_the_terminal_does_not_end_a_child() -> None:
    first = run(os.getpid)
    os.kill(first, signal.SIGINT)
    time.sleep(0.3)
    assert run(os.getpid) == first


def test_what_a_library_prints_does_not_mix_with_the_answer() -> None:
    assert run(os.write, 1, b"\xff" * 4096) == 4096
    assert run(pow, 2, 3) == 8


def test_a_busy_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WAIT_S", 0.2)
    run(abs, 1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, time.sleep, 2.0)
        time.sleep(0.5)
        with pytest.raises(ExplorerError, match="busy opening other files: try again in a minute"):
            run(abs, 1)
        slow.result()
    assert run(abs, -1) == 1


def test_a_process_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        for attempt in (
            lambda: run(abs, 1),
            lambda: HeldProcess("net.onnx", ExplorerError, Limits()).call(abs, 1),
        ):
            with pytest.raises(ExplorerError, match=r"no process could be started \(Resource temporarily"):
                attempt()
    assert run(abs, -1) == 1, "its slot is free again"


def test_a_refusal_without_end_is_cut() -> None:
    with pytest.raises(ExplorerError) as refusal:
        run(in_child.refuse, "a" * 1_000_000)
    assert len(str(refusal.value)) == 2000


def test_a_child_uses_one_thread_and_gives_way_to_the_server() -> None:
    assert [run(os.getenv, name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")] == ["1", "1"]
    assert run(os.nice, 0) == min(19, os.nice(0) + 5)


def test_a_child_imports_nothing_from_the_folder_it_starts_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "signal", "core"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert run(pow, 2, 2) == 4


def test_a_forked_process_starts_children_of_its_own() -> None:
    program = (
        "import os; from core.errors import ExplorerError; from core.untrusted import call\n"
        "ask = lambda: call(os.getpid, name='x', error=ExplorerError)\n"
        "first = ask(); forked = os.fork()\n"
        "if not forked: os._exit(0 if ask() != first else 3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0\n"
        "assert ask() == first"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_a_held_process_answers_one_thread_at_a_time() -> None:
    held, running = HeldProcess("net.onnx", ExplorerError, Limits()), threading.Barrier(4)

    def ask(number: int) -> int:
        running.wait()
        return held.call(pow, number, 2)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [0, 1, 4, 9]
    held.close()


OPENS_AND_ENDS = """
import threading, time
from core.errors import ExplorerError
from core.untrusted import call
def open_for_long():
    try:
        call(time.sleep, 50, name="field.tif", error=ExplorerError)
    except ExplorerError as refusal:
        print(refusal)
threading.Thread(target=open_for_long).start()
time.sleep(2)
"""


def test_a_server_that_shuts_down_waits_for_no_file() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OPENS_AND_ENDS], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert "this server is shutting down" in ended.stdout
