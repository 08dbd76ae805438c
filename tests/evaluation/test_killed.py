"""An evaluation that is killed resumes: finished results are kept, none is damaged, and all are the same."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT


def command(pack, cache, *more):
    return [
        sys.executable, "-m", "core", "evaluate", str(pack), "--protocol", "sweep", "--model",
        "colour_histogram", "mae_tiny",
        "--cache", str(cache), *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_killed_scale_series_resumes_and_gives_the_same_results(index_zip, tmp_path):
    cache, environment = tmp_path / "cache", {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(
        command(index_zip, cache),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(cache.glob("*.json")) and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    kept = {path: path.stat().st_mtime_ns for path in cache.glob("*.json")}
    assert kept, "a number was kept before the kill"
    resumed = subprocess.run(
        command(index_zip, cache, "--json"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    found = json.loads(resumed.stdout)["results"]
    assert len(found) == 4 + 4 * 2
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "kept results are not recomputed"
    fresh = subprocess.run(
        command(index_zip, cache, "--json", "--fresh"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    whole = json.loads(fresh.stdout)["results"]
    assert [r["accuracy"] for r in found] == [r["accuracy"] for r in whole]
