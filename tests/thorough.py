"""Which cases of a test `make test` runs, and which only `-m thorough` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def a_few(cases: Iterable[Any], keep: int = 4) -> list[Any]:
    """All cases for `parametrize`; all but `keep` of them, spread evenly, are marked thorough.

    A case that is a tuple has one value for each argument.
    """
    listed = list(cases)
    step = -(-len(listed) // keep)
    return [case if place % step == 0 else rest(case) for place, case in enumerate(listed)]


def rest(case: Any) -> Any:
    """The same case, marked thorough."""
    if isinstance(case, tuple) and hasattr(case, "marks"):  # from pytest.param
        return pytest.param(*case.values, marks=(*case.marks, pytest.mark.thorough), id=case.id)
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.thorough)
