"""Memory that is freed between two layers stays with the process, without page faults in the next layer."""

import os
import platform
import resource
import subprocess
import sys

import numpy as np
import psutil
import pytest

from core.engine.allocator import MB, keep_freed_memory, return_freed_memory
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can be configured to keep freed memory"
)

ROUNDS = 20
PAGES = 16 * MB // resource.getpagesize()


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def take_and_free(size: int) -> None:
    np.empty(size, np.uint8).fill(1)


def test_what_a_layer_frees_is_not_faulted_in_again():
    assert keep_freed_memory()
    take_and_free(16 * MB)
    before = faults()
    for _ in range(ROUNDS):
        take_and_free(16 * MB)
    assert faults() - before < PAGES  # by default every round faults in all of its pages again


def test_what_was_kept_is_returned_when_asked():
    assert keep_freed_memory()
    pieces = [np.ones(MB, np.uint8) for _ in range(128)]
    held = pieces.pop()  # the newest piece keeps the heap from shrinking by itself
    del pieces
    before = psutil.Process().memory_info().rss
    assert return_freed_memory()
    assert before - psutil.Process().memory_info().rss > 64 * MB
    del held


HUGE_PAGES = """
import sys
import numpy as np
from core.engine.allocator import refuse_huge_pages
if sys.argv[1] == "refuse": assert refuse_huge_pages()
array = np.ones(64 * 2**20, np.uint8)
[line] = [line for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")]
print(line.split()[1])
"""


def huge_pages_kb(answer: str) -> int:
    command = [sys.executable, "-c", HUGE_PAGES, answer]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has huge pages that can be refused")
def test_huge_pages_are_refused():
    if huge_pages_kb("accept") == 0:
        pytest.skip("this machine gives NumPy no huge pages")
    assert huge_pages_kb("refuse") == 0


COUNT_HEAPS = """
import ctypes, sys, threading
from core.engine.allocator import keep_freed_memory
keep_freed_memory()
c = ctypes.CDLL(None)
c.malloc.restype = c.fopen.restype = ctypes.c_void_p
all_run = threading.Barrier(40)
threads = [threading.Thread(target=lambda: (c.malloc(1000), all_run.wait())) for _ in range(40)]
for thread in threads: thread.start()
for thread in threads: thread.join()
out = ctypes.c_void_p(c.fopen(sys.argv[1].encode(), b"w"))
c.malloc_info(0, out)
c.fclose(out)
"""


def test_threads_share_a_few_heaps(tmp_path):
    written = tmp_path / "heaps.xml"
    subprocess.run([sys.executable, "-c", COUNT_HEAPS, str(written)], cwd=ROOT, check=True, timeout=60)
    assert 1 <= written.read_text().count("<heap ") <= max(2, os.cpu_count() or 1)


def test_the_engine_asks_for_it_before_its_first_network(monkeypatch):
    from core.engine import device

    calls: list[bool] = []
    monkeypatch.setattr(device, "keep_freed_memory", lambda: calls.append(True))
    device.device.__wrapped__("cpu")
    assert calls
