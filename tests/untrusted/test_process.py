"""Functions that read untrusted files run in a child process, whose failures are reported and never affect
the caller."""

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

import numpy as np
import psutil
import pytest

from core.errors import ExplorerError
from core.untrusted import Limits, call, process
from core.untrusted.text import parsed
from tests.untrusted import in_child

ROOT = Path(__file__).parents[2]


class RefusedError(ExplorerError):
    """The error that these tests request."""


def run(function: Callable[..., Any], *arguments: Any, **limits: float) -> Any:
    within = Limits(**limits)  # pyright: ignore
    return call(function, *arguments, name="field.tif", error=RefusedError, limits=within)


def test_plain_values_and_arrays_come_back() -> None:
    assert run(pow, 3, 4) == 81
    assert run(parsed, b'a = {"\xc3\xa9" = [1.5, "x", false]}', "x", "toml") == {
        "a": {"é": [1.5, "x", False]}
    }
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(run(np.transpose, pixels), pixels.T)


@pytest.mark.parametrize(
    ("function", "arguments", "limits", "message"),
    [
        (time.sleep, (60,), {"wall_s": 0.5}, "takes too long"),
        (pow, (3, 10**9), {"cpu_s": 0.5}, "takes too long"),
        (bytearray, (10**9,), {"memory_mb": 200}, "more than 200 MB of memory"),
        (in_child.fail_as_a_library, (), {"memory_mb": 200}, "more than 200 MB of memory"),
        (bytes, (10**7,), {"answer_mb": 1}, "is damaged or malicious"),
        (os.abort, (), {}, "more than 1,536 MB of memory to open or makes the program that reads it fail"),
        (os._exit, (0,), {}, "more than 1,536 MB of memory to open or makes the program that reads it fail"),
        (int, ("x",), {}, "'field.tif' makes the program that reads it fail"),
    ],
)
def test_exceeded_limits_and_failures_are_reported(
    function: Callable[..., Any], arguments: tuple[Any, ...], limits: dict[str, float], message: str
) -> None:
    started = time.monotonic()
    with pytest.raises(RefusedError, match=message) as refusal:
        run(function, *arguments, **limits)
    assert time.monotonic() - started < 30
    assert str(refusal.value).startswith("'field.tif'")
    assert str(refusal.value).endswith(".")
    assert run(pow, 2, 2) == 4, "the next file is opened normally"


def test_a_child_whose_libraries_may_be_incomplete_is_replaced() -> None:
    for _ in range(process.MOST_AT_ONCE):
        with pytest.raises(RefusedError, match="memory"):
            run(in_child.fail_with_half_a_module)
        assert run(parsed, b"a = 1", "x", "toml") == {"a": 1}


def test_the_message_of_a_refusal_is_kept() -> None:
    with pytest.raises(RefusedError, match="'x' is not valid TOML"):
        run(parsed, b"a = [", "x", "toml")


def test_limits_hold_when_the_caller_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel ends the child even where the watching thread cannot run."""
    monkeypatch.setattr(process._Watch, "_run", lambda self: None)
    with pytest.raises(RefusedError, match="takes too long"):
        run(time.sleep, 60, wall_s=0.2)
    with pytest.raises(RefusedError, match="takes too long"):
        run(pow, 3, 10**10, cpu_s=0.2)
    with pytest.raises(RefusedError, match="memory"):
        run(bytearray, 10**9, memory_mb=200)


def test_a_child_is_used_again_and_few_are_kept() -> None:
    with ThreadPoolExecutor(12) as pool:
        found = set(pool.map(lambda _: run(os.getpid), range(60)))
    assert 1 <= len(found) <= process.MOST_AT_ONCE
    assert os.getpid() not in found


def test_one_visitor_with_many_slow_files_does_not_keep_another_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asker = threading.local()
    monkeypatch.setattr(process._pool, "asker", lambda: getattr(asker, "name", None))

    def open_as(name: str, seconds: float) -> float:
        asker.name, started = name, time.monotonic()
        run(time.sleep, seconds)
        return time.monotonic() - started

    run(abs, 1)
    with ThreadPoolExecutor(9) as pool:
        slow = [pool.submit(open_as, "greedy", 4.0) for _ in range(6)]
        time.sleep(0.5)
        assert pool.submit(open_as, "modest", 0.0).result() < 3
        assert not any(one.done() for one in slow)
        assert max(one.result() for one in slow) > 10, "two of them at a time, not three"


def test_exceeded_limits_can_be_told_from_refusals() -> None:
    class TooMuchError(RefusedError):
        pass

    def attempt(function: Callable[..., Any], *arguments: Any, **limits: float) -> Any:
        return call(
            function,
            *arguments,
            name="x",
            error=RefusedError,
            exceeded=TooMuchError,
            limits=Limits(**limits),  # pyright: ignore
        )

    with pytest.raises(TooMuchError, match="takes too long"):
        attempt(time.sleep, 60, wall_s=0.3)
    with pytest.raises(TooMuchError, match="memory"):
        attempt(bytearray, 10**9, memory_mb=200)
    with pytest.raises(RefusedError) as refusal:
        attempt(parsed, b"a = [", "x", "toml")
    assert type(refusal.value) is RefusedError


def test_a_child_knows_neither_torch_nor_the_pages() -> None:
    assert run(parsed, b"a = 1", "x", "toml") == {"a": 1}
    start = process._START.format(root=str(ROOT), package="core.untrusted").replace(
        "serve()", "import core.untrusted.text; print(*sys.modules)", 1
    )
    names = subprocess.run(
        [sys.executable, "-P", "-c", start.replace("; serve()", "")],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.split()
    assert "core.untrusted.worker" in names
    assert not {"torch", "streamlit", "rasterio", "numpy"} & set(names)


def test_no_file_can_be_written_by_a_child(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        run(np.save, str(tmp_path / "x.npy"), np.zeros(10))
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ends_leaves_no_child_and_does_not_wait_for_one(how: signal.Signals) -> None:
    program = (
        "import sys, threading, time; sys.path.insert(0, '.'); from core.untrusted import Limits, call; from "
        "core.errors import ExplorerError\n"
        "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "def read():\n"
        "    try: call(pow, 3, 10**10, name='x', error=ExplorerError, limits=Limits(cpu_s=4, wall_s=4))\n"
        "    except ExplorerError: pass\n"
        "threading.Thread(target=read).start(); time.sleep(0.5); print('reading', flush=True); time.sleep(60)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"reading\n"
    children = psutil.Process(server.pid).children()
    assert len(children) == 1
    server.send_signal(how)
    assert server.wait(20) in (0, -how)
    gone, _ = psutil.wait_procs(children, timeout=20)
    assert len(gone) == 1
