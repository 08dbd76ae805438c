"""A component to paint a patch mask on a tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.browser.bitmap import decode_bitmap, encode_bitmap
from core.errors import ExplorerError

from .news import StateNews
from .picture import picture_url
from .registered import renderer

MAX_PATCHES_A_SIDE = 128


class PainterError(ExplorerError):
    """A grid or mask that the painter cannot show."""


@dataclass(frozen=True, eq=False)
class PaintState:
    """A painted mask.

    `mask` is bool (rows, cols), True where hidden. `pick` is the patch (row, column) clicked with the
    dropper, if that is what changed. `revision` grows with every change.
    """

    mask: NDArray[np.bool_]
    revision: int
    pick: tuple[int, int] | None = None


def painted(rows: int, cols: int, key: str = "mask_painter") -> PaintState | None:
    """Return what was painted since the painter of this key was last drawn, or None.

    Call it before `mask_painter`, and pass that the mask that follows from it.
    """
    value = StateNews(key, "paint").news()
    return None if value is None else _read_state(value, rows, cols)


def mask_painter(
    image: bytes | str,
    rows: int,
    cols: int,
    mask: NDArray[np.bool_] | None = None,
    key: str = "mask_painter",
    *,
    label: str = "Mask",
    max_width_px: int = 560,
    disabled: bool = False,
    on_change: Callable[[], None] | None = None,
) -> None:
    """Show a tile under a grid of patches that can be painted.

    The page owns the mask: call `painted` first, store the mask that follows, and pass it here. A mask other
    than the one shown replaces it, as one step of undo.

    image: PNG or JPEG bytes, a data URL or a path on this server. mask: bool (rows, cols), True = hidden;
    None = all visible. Raises PainterError for a grid outside 1..128 or a mask of another shape.
    """
    if not (1 <= rows <= MAX_PATCHES_A_SIDE and 1 <= cols <= MAX_PATCHES_A_SIDE):
        raise PainterError(
            f"A grid of {rows} x {cols} patches cannot be painted: "
            f"choose 1 to {MAX_PATCHES_A_SIDE} patches a side."
        )
    hidden = np.zeros((rows, cols), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if hidden.shape != (rows, cols):
        raise PainterError(
            f"The mask is {hidden.shape} but the grid is {rows} x {cols}: both must be the same."
        )
    renderer("mask_painter")(
        key=key,
        data={
            "image": picture_url(image),
            "rows": rows,
            "cols": cols,
            "mask": encode_bitmap(hidden),
            "known": StateNews(key, "paint").settle(),
            "label": label,
            "maxWidth": max_width_px,
            "disabled": disabled,
        },
        on_paint_change=on_change or _nothing,
    )


def _nothing() -> None:
    """Do nothing: Streamlit reports a state only if it has a callback."""


def _read_state(value: dict[str, Any], rows: int, cols: int) -> PaintState | None:
    if (value.get("rows"), value.get("cols")) != (rows, cols):
        return None  # painted on a grid that the page has just replaced
    return PaintState(
        mask=decode_bitmap(str(value.get("bits", "")), rows, cols),
        revision=int(value["revision"]),
        pick=_read_pick(value.get("pick"), rows, cols),
    )


def _read_pick(pick: Any, rows: int, cols: int) -> tuple[int, int] | None:
    match pick:
        case [int(row), int(col)] if 0 <= row < rows and 0 <= col < cols:
            return row, col
        case _:
            return None
