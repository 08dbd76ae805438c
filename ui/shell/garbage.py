"""Keep what a running server spends on memory and its management small."""

from __future__ import annotations

import gc

from core.engine.allocator import refuse_huge_pages


def settle_memory() -> None:
    """Exempt the objects that exist now from garbage collection, and refuse huge pages.

    Call it after the pages' imports. Streamlit runs a full collection after each script run. Scanning the
    objects of torch and the other libraries takes 0.3 s of CPU time, twice as much as all other work after a
    slider move.
    """
    gc.collect()
    gc.freeze()
    refuse_huge_pages()
