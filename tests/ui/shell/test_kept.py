"""Results kept in memory: made once, and what could not be made is asked for anew."""

import gc
from dataclasses import dataclass

import numpy as np
import pytest

from ui.shell.kept import Kept, SizeLedger, size_of


def test_what_could_not_be_made_is_made_by_the_next_who_asks() -> None:
    kept = Kept(2)

    def fail() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            kept.once("a", fail)
    assert not kept._making
    assert [kept.once("a", lambda: 1), kept.once("a", lambda: 2)] == [1, 1]


def test_all_shelves_together_stay_within_their_bytes():
    book = SizeLedger(10_000_000)
    one, other = Kept(16, book), Kept(16, book)
    for n in range(8):
        one.put(n, np.zeros(1_000_000, np.uint8))
    other.put("large", np.zeros(9_500_000, np.uint8))
    assert book.total_bytes <= book.limit_bytes
    assert [one.get(n) is not None for n in range(8)] == [False] * 8
    assert other.get("large") is not None
    other.put("larger than all", np.zeros(20_000_000, np.uint8))
    assert other.get("larger than all") is not None, "the newest always stays"
    one.put("small", b"1")
    assert other.get("larger than all") is None
    assert book.total_bytes < 100


def test_the_least_recently_used_of_any_shelf_goes_first():
    book = SizeLedger(3_500_000)
    one, other = Kept(16, book), Kept(16, book)
    for n, kept in enumerate((one, other, one)):
        kept.put(n, np.zeros(1_000_000, np.uint8))
    assert one.get(0) is not None
    other.put(3, np.zeros(1_000_000, np.uint8))
    assert other.get(1) is None
    assert one.get(0) is not None
    one.drop(0)
    assert book.total_bytes < 2_100_000


def test_a_result_weighs_what_it_keeps_alive(tmp_path):
    @dataclass
    class Result:
        pixels: np.ndarray
        more: tuple

    whole = np.zeros((1000, 1000), np.float32)
    assert size_of(whole) == whole.nbytes
    assert whole.nbytes <= size_of(Result(whole[:1], (whole, "text"))) < whole.nbytes + 1000, (
        "a view weighs as its array, once"
    )
    assert size_of([b"1" * 100_000, {"a": "b" * 1000}]) > 101_000
    assert size_of(list(range(100_000))) > 2_000_000
    np.save(tmp_path / "x.npy", whole)
    assert size_of(np.load(tmp_path / "x.npy", mmap_mode="r")) < 1000


def test_a_plan_weighs_its_windows():
    from core.engine.embedding.grids import Grid
    from core.engine.embedding.plan import EmbeddingPlan

    boxes = np.zeros((100_000, 4))
    grid = Grid(None, "k", None, (0, 1, 2), boxes, 0, None, None)
    assert size_of(EmbeddingPlan((grid,), 0, ())) >= boxes.nbytes


def test_a_shelf_that_is_cleared_away_frees_its_bytes():
    book = SizeLedger(10_000_000)
    kept = Kept(4, book)
    kept.put(1, np.zeros(1_000_000, np.uint8))
    assert book.total_bytes > 900_000
    del kept
    gc.collect()
    assert book.total_bytes == 0
