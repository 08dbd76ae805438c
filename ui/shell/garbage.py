"""Exempt imported modules from garbage collection."""

from __future__ import annotations

import gc


def freeze_imports() -> None:
    """Exempt the objects that exist now from garbage collection. Call it after the pages' imports.

    Streamlit runs a full collection after each script run. Scanning the objects of torch and the other
    libraries takes 0.3 s of CPU time, twice as much as all other work after a slider move.
    """
    gc.collect()
    gc.freeze()
