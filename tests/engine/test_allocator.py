"""Memory that is freed between two layers stays with the process, without page faults in the next layer."""

import platform
import resource

import numpy as np
import psutil
import pytest

from core.engine.allocator import MB, keep_freed_memory, return_freed_memory

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


def test_the_engine_asks_for_it_before_its_first_network(monkeypatch):
    from core.engine import device

    calls: list[bool] = []
    monkeypatch.setattr(device, "keep_freed_memory", lambda: calls.append(True))
    device.device.__wrapped__("cpu")
    assert calls
