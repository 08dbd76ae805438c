"""Masks as text in a link."""

from __future__ import annotations

import numpy as np
import pytest
from earth_mae_components import decode_bitmap, encode_bitmap

from core.errors import ExplorerError


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (14, 14), (28, 28), (3, 5), (7, 128)])
def test_masks_round_trip(rows: int, cols: int) -> None:
    rng = np.random.default_rng(rows * 1000 + cols)
    for share in (0.0, 0.25, 0.75, 1.0):
        mask = rng.random((rows, cols)) < share
        assert np.array_equal(decode_bitmap(encode_bitmap(mask), rows, cols), mask)


def test_the_first_patch_is_the_highest_bit() -> None:
    mask = np.zeros((2, 5), dtype=bool)
    mask[0, 0] = mask[1, 4] = True
    assert encode_bitmap(mask) == "gEA"  # 1000 0000 01(00 0000)


def test_text_needs_no_escaping_in_a_link() -> None:
    texts = "".join(encode_bitmap(np.random.default_rng(seed).random((14, 14)) < 0.5) for seed in range(50))
    assert set(texts) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("text", ["", "AA", "gEAA", "g EA", "gEA=", "gE", "ééé", "//8", "gH8", "a" * 10_000])
def test_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(ExplorerError, match="paint"):
        decode_bitmap(text, 2, 5)
