"""What Python's garbage collector need not look through again and again."""

from __future__ import annotations

import gc


def freeze_imports() -> None:
    """Exempt what is in memory now from garbage collection.

    Streamlit collects every generation after each run of a page. Looking through the objects of torch and the other libraries takes 0.3 s
    of processor time, twice as much as everything else that a move of a slider needs.
    """
    import ui.mask_lab.lab
    import ui.mask_lab.sections  # noqa: F401  (what the Mask Lab imports when it is first opened)

    gc.collect()
    gc.freeze()
