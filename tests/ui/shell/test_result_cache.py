"""Results cached in memory: computed once, retried after a failure, bounded in bytes."""

import gc
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from ui.shell.result_cache import ResultCache, SizeLedger, size_of


def test_a_failed_computation_is_retried() -> None:
    cache = ResultCache(2)

    def fail() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            cache.get_or_compute("a", fail)
    assert not cache._locks
    assert [cache.get_or_compute("a", lambda: 1), cache.get_or_compute("a", lambda: 2)] == [1, 1]


def test_a_caller_can_stop_waiting_for_the_result_of_another(monkeypatch):
    monkeypatch.setattr("ui.shell.result_cache.CHECK_EVERY_S", 0.01)
    cache, computing, go = ResultCache(2), threading.Event(), threading.Event()

    def slow() -> int:
        computing.set()
        assert go.wait(5)
        return 1

    def stop() -> None:
        raise InterruptedError

    first = threading.Thread(target=cache.get_or_compute, args=("a", slow))
    first.start()
    assert computing.wait(5)
    with pytest.raises(InterruptedError):
        cache.get_or_compute("a", slow, while_waiting=stop)
    go.set()
    first.join(5)
    assert cache.get("a") == 1
    assert not cache._locks


def test_all_caches_together_stay_within_the_limit():
    ledger = SizeLedger(10_000_000)
    one, other = ResultCache(16, ledger), ResultCache(16, ledger)
    for n in range(8):
        one.put(n, np.zeros(1_000_000, np.uint8))
    other.put("large", np.zeros(9_500_000, np.uint8))
    assert ledger.total_bytes <= ledger.limit_bytes
    assert [one.get(n) is not None for n in range(8)] == [False] * 8
    assert other.get("large") is not None
    other.put("larger than all", np.zeros(20_000_000, np.uint8))
    assert other.get("larger than all") is not None, "the newest result is always cache"
    one.put("small", b"1")
    assert other.get("larger than all") is None
    assert ledger.total_bytes < 100


def test_least_recently_used_result_is_evicted_first():
    ledger = SizeLedger(3_500_000)
    one, other = ResultCache(16, ledger), ResultCache(16, ledger)
    for n, cache in enumerate((one, other, one)):
        cache.put(n, np.zeros(1_000_000, np.uint8))
    assert one.get(0) is not None
    other.put(3, np.zeros(1_000_000, np.uint8))
    assert other.get(1) is None
    assert one.get(0) is not None
    one.drop(0)
    assert ledger.total_bytes < 2_100_000


def test_size_counts_what_a_result_keeps_alive(tmp_path):
    @dataclass
    class Result:
        pixels: np.ndarray
        more: tuple

    whole = np.zeros((1000, 1000), np.float32)
    assert size_of(whole) == whole.nbytes
    assert whole.nbytes <= size_of(Result(whole[:1], (whole, "text"))) < whole.nbytes + 1000, (
        "a view counts as its whole array, once"
    )
    assert size_of([b"1" * 100_000, {"a": "b" * 1000}]) > 101_000
    assert size_of(list(range(100_000))) > 2_000_000
    np.save(tmp_path / "x.npy", whole)
    assert size_of(np.load(tmp_path / "x.npy", mmap_mode="r")) < 1000


def test_size_of_a_plan_counts_its_windows():
    from core.engine.embedding.grids import Grid
    from core.engine.embedding.plan import EmbeddingPlan

    boxes = np.zeros((100_000, 4))
    grid = Grid(None, "k", None, (0, 1, 2), boxes, 0, None, None)
    assert size_of(EmbeddingPlan((grid,), 0, ())) >= boxes.nbytes


def test_a_deleted_cache_frees_its_bytes():
    ledger = SizeLedger(10_000_000)
    cache = ResultCache(4, ledger)
    cache.put(1, np.zeros(1_000_000, np.uint8))
    assert ledger.total_bytes > 900_000
    del cache
    gc.collect()
    assert ledger.total_bytes == 0
