"""How results show themselves in notebooks.

The classes of results lie below the figures and know nothing of them, so `core` names the module that draws
them, which is imported when a notebook first shows a result.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_drawn_by: list[str] = []


def draw_with(module: str) -> None:
    """Name the module whose functions `html` and `png` draw results."""
    _drawn_by[:] = [module]


class Shown:
    """A result that Jupyter, VS Code, Colab and marimo show as a figure."""

    def _repr_html_(self) -> str | None:
        return _drawings().html(self) if _drawn_by else None

    def _repr_png_(self) -> bytes | None:
        return _drawings().png(self) if _drawn_by else None


def _drawings() -> Any:
    return import_module(_drawn_by[0])
