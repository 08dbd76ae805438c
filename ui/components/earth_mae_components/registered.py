"""The components as Streamlit knows them, registered when a page first shows one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from streamlit.components.v2 import component

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


@cache
def renderer(name: str) -> ComponentRenderer:
    """Return the function that mounts a component.

    Not done at import: file-backed components can be registered only while a Streamlit server runs, and the
    pure functions of this package must import without one.
    """
    return component(f"earth-mae-components.{name}", js=f"{name}.js")
