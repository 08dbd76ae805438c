"""What the widgets share: the built component, and the picture that stays in a saved notebook."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..viz.pictures import png

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise ImportError("Widgets in notebooks need anywidget: run `pip install anywidget`.") from error

ASSETS = Path(__file__).parent / "assets"


class ComponentWidget(anywidget.AnyWidget):
    """A component of the pages in a notebook; `data` is what it receives there too."""

    data = traitlets.Dict().tag(sync=True)

    def still(self) -> NDArray[np.uint8]:
        """Return the picture (h, w, 3) that a saved notebook shows where no kernel runs."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return the live view, with `still` for files that are read elsewhere."""
        shown = super()._repr_mimebundle_(**options)
        if shown is None:
            return None
        content, about = shown
        return {**content, "image/png": base64.b64encode(png(self.still())).decode()}, about


def component(name: str) -> Path:
    """Return the file of a built component."""
    return ASSETS / f"{name}.js"


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Return pixels (h, w, 3) as the URL of a PNG."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"
