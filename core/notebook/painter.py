"""The mask painter in a notebook."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from ..browser.bitmap import decode_bitmap, encode_bitmap
from ..geo import for_eye
from ..geo.tile import GeoError, Tile
from ..judge import alike
from ..masking import Mask, MaskSpec, make_mask
from ..viz.pictures import cover
from .widget import ComponentWidget, component, data_url

MOST_PATCHES = 64
PICKED_SHARE = 0.25
"""Share of the patches that the dropper hides."""


class MaskPainter(ComponentWidget):
    """Paint which patches of a tile are hidden; `mask` is always what is shown, and can be set.

    `tile` is shown as the eye sees its centred square, as a network is fed. `grid` is the number of patches a
    side: `model.card.input_px // model.card.patch_px`. The dropper also hides the quarter of the
    patches that look most like the one picked. Raises GeoError for a grid or mask that does not fit.

    >>> painter = MaskPainter(tile, grid=14)
    >>> painter  # paint, then in another cell:
    >>> reconstruct(model, tile, painter.mask)
    """

    _esm = component("mask_painter")
    mask = traitlets.Instance(Mask)
    paint = traitlets.Dict().tag(sync=True)

    def __init__(
        self, tile: Tile, grid: int = 14, mask: Mask | MaskSpec | None = None, *, max_width_px: int = 448
    ) -> None:
        if not 1 <= grid <= MOST_PATCHES:
            raise GeoError(f"A grid of {grid} patches a side cannot be painted: choose 1 to {MOST_PATCHES}.")
        self._grid, self._known = grid, 0
        self._pixels = _square(for_eye(tile))
        start = make_mask(mask, grid, grid) if isinstance(mask, MaskSpec) else mask
        self._fixed = {
            "image": data_url(self._pixels),
            "rows": grid,
            "cols": grid,
            "label": "Mask",
            "maxWidth": max_width_px,
            "disabled": False,
        }
        super().__init__(mask=start or Mask(np.zeros((grid, grid), bool)))

    def still(self) -> NDArray[np.uint8]:
        """Return the tile with its hidden patches covered."""
        shown = self._whole_patches()
        return cover(shown, self.mask.pixels(len(shown) // self._grid))

    def _whole_patches(self) -> NDArray[np.uint8]:
        """Return the tile at the next size that is a whole number of pixels per patch."""
        side = -(-len(self._pixels) // self._grid) * self._grid
        places = np.arange(side) * len(self._pixels) // side
        return self._pixels[places][:, places]

    @traitlets.validate("mask")
    def _fits(self, proposal: Any) -> Mask:
        mask: Mask = proposal["value"]
        if mask.hidden.shape != (self._grid, self._grid):
            rows, cols = mask.hidden.shape
            raise GeoError(
                f"The mask has {rows} x {cols} patches but the painter {self._grid} x {self._grid}: "
                "create it for this grid."
            )
        return mask

    @traitlets.observe("mask")
    def _show(self, _: Any) -> None:
        self.data = {**self._fixed, "mask": encode_bitmap(self.mask.hidden), "known": self._known}

    @traitlets.observe("paint")
    def _painted(self, change: Any) -> None:
        news = change["new"]
        if (news.get("rows"), news.get("cols")) == (self._grid, self._grid):
            self._known = int(news["revision"])
            hidden = decode_bitmap(str(news["bits"]), self._grid, self._grid)
            if news.get("pick") is not None:
                hidden |= self._alike(news["pick"])
            self.mask = Mask(hidden)

    def _alike(self, pick: Any) -> NDArray[np.bool_]:
        """Return the patches that look like the one picked with the dropper."""
        row, col = (min(max(int(place), 0), self._grid - 1) for place in pick)
        shown = (np.moveaxis(self._whole_patches(), -1, 0) / 255).astype(np.float32)
        return alike(shown, shown.shape[-1] // self._grid, cell=(row, col), share=PICKED_SHARE)


def _square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
