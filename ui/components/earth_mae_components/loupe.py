"""A toolbar for the pictures on a page: loupe, wipe, layout, and the page's keyboard shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

from .registered import renderer


def loupe(keys: Sequence[tuple[str, str]] = (), *, key: str = "loupe") -> None:
    """Show the toolbar. It acts on all pictures of `core.viz.sheet` on the page; one toolbar per page.

    keys: key and action of each shortcut that "?" lists.
    """
    renderer("loupe")(key=key, data={"keys": [list(pair) for pair in keys]})
