"""Limits on strangers' files are constants: raising one takes a change here too, and a reason."""

from __future__ import annotations

from types import ModuleType

import pytest

from core.untrusted import Limits, messages, pickles, process, tensors, text, worker

MOST = {
    (pickles, "MAX_INSTRUCTIONS"): 3_000_000,
    (pickles, "MAX_KEY"): 2**53,
    (tensors, "MAX_HEADER_BYTES"): 16 * 2**20,
    (tensors, "MAX_TENSORS"): 20_000,
    (tensors, "MAX_ARGUMENTS"): 5_000,
    (tensors, "MAX_DEPTH"): 8,
    (tensors, "MAX_TEXT"): 4_096,
    (messages, "MAX_TEXT_BYTES"): 64 * 2**20,
    (messages, "MAX_BUFFERS"): 64,
    (text, "MAX_BYTES"): 128 * 2**10,
    (text, "MAX_DEPTH"): 16,
    (text, "MAX_VALUES"): 20_000,
    (process, "MOST_AT_ONCE"): 3,
    (process, "WAIT_S"): 60,
    (process, "KEPT_MB"): 400,
    (worker, "_GRACE_S"): 2,
}


@pytest.mark.parametrize(("module", "name"), MOST)
def test_a_limit_is_not_above_what_was_measured_to_be_safe(module: ModuleType, name: str) -> None:
    assert 0 < getattr(module, name) <= MOST[module, name]


@pytest.mark.parametrize("limits", [Limits(), tensors._LIMITS, text._LIMITS])
def test_a_call_is_limited_in_time_memory_and_answer(limits: Limits) -> None:
    assert limits.cpu_s <= 10 and limits.wall_s <= 60
    assert limits.memory_mb <= 1536 and limits.answer_mb <= 1024
