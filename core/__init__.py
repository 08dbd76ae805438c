"""Masked autoencoders for satellite imagery: tiles, masks, models, embeddings and evaluation.

>>> from earth_mae import MaskSpec, load, open_source, read_ground, reconstruct

The names below are imported on first use, so that features without torch do not load it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .shown import draw_with

if TYPE_CHECKING:
    from .atlas.store.table import open_table
    from .engine.embed import embed
    from .engine.inputs import read_ground
    from .engine.loaded import load
    from .engine.reconstruct import reconstruct
    from .engine.scales import ScaleSpec
    from .geo import TileRef, TileSpec, known_sources, open_source
    from .masking import MaskSpec
    from .notebook.compare import CompareView
    from .notebook.globe import GlobeView
    from .notebook.painter import MaskPainter
    from .policy import Policy
    from .studies import scale_series

__version__ = "0.2.0"
__all__ = [
    "CompareView",
    "GlobeView",
    "MaskPainter",
    "MaskSpec",
    "Policy",
    "ScaleSpec",
    "TileRef",
    "TileSpec",
    "embed",
    "known_sources",
    "load",
    "open_source",
    "open_table",
    "read_ground",
    "reconstruct",
    "scale_series",
]

_HOMES = {
    "CompareView": ".notebook.compare",
    "GlobeView": ".notebook.globe",
    "MaskPainter": ".notebook.painter",
    "MaskSpec": ".masking",
    "Policy": ".policy",
    "ScaleSpec": ".engine.scales",
    "TileRef": ".geo",
    "TileSpec": ".geo",
    "known_sources": ".geo",
    "open_source": ".geo",
    "open_table": ".atlas.store.table",
    "embed": ".engine.embed",
    "load": ".engine.loaded",
    "read_ground": ".engine.inputs",
    "reconstruct": ".engine.reconstruct",
    "scale_series": ".studies",
}
draw_with(f"{__name__}.notebook.reprs")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
