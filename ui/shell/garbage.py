"""What Python's garbage collector need not look through again and again."""

from __future__ import annotations

import gc


def freeze_imports() -> None:
    """Exempt what is in memory now from garbage collection; import first what pages import when they are first opened.

    Streamlit collects every generation after each run of a page. Looking through the objects of torch and the other libraries takes 0.3 s
    of processor time, twice as much as everything else that a move of a slider needs.
    """
    gc.collect()
    gc.freeze()
