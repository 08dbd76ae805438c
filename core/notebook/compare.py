"""Two pictures of a reconstruction, one over the other, in a notebook."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..engine.results import Reconstruction
from ..errors import ExplorerError
from ..viz.pictures import panels
from .widget import ComponentWidget, component, data_url

Mode = Literal["wipe", "flip", "opacity"]
MODES = ("wipe", "flip", "opacity")


class CompareError(ExplorerError):
    """A picture or a mode that cannot be compared."""


class CompareView(ComponentWidget):
    """Compare two panels of a reconstruction by wiping, flipping or fading; a probe reads both.

    `left` and `right` are names of panels: "original", "masked", "low", "high", "combined", "pasted". Raises
    CompareError for another name or mode.
    """

    _esm = component("compare")

    def __init__(
        self,
        reconstruction: Reconstruction,
        left: str = "original",
        right: str = "combined",
        *,
        mode: Mode = "wipe",
        max_width_px: int = 448,
    ) -> None:
        offered = {panel.name: panel for panel in panels(reconstruction)}
        wrong = next((name for name in (left, right) if name not in offered), None)
        if wrong is not None:
            raise CompareError(f"There is no panel {wrong!r:.40}: choose two of {', '.join(offered)}.")
        if mode not in MODES:
            raise CompareError(f"Pictures cannot be compared by {mode!r:.40}: choose {', '.join(MODES)}.")
        one, other = offered[left], offered[right]
        self._pictures = (one.pixels, other.pixels)
        data = {
            "left": data_url(one.pixels),
            "right": data_url(other.pixels),
            "leftLabel": one.title,
            "rightLabel": other.title,
            "mode": mode,
            "range": list(one.value_range),
            "digits": 3,
            "maxWidth": max_width_px,
        }
        super().__init__(data=data)

    def still(self) -> NDArray[np.uint8]:
        """Return both pictures side by side."""
        left, right = self._pictures
        return np.concatenate([left, np.full((len(left), 6, 3), 255, np.uint8), right], axis=1)
