"""Streamlit components of the Earth MAE Explorer: mask painter, picture comparison, loupe, linked globe.

Built from `frontend/`; the built files in `assets/` are committed, so running the app needs no Node.
"""

from core.browser.bitmap import BitmapError, decode_bitmap, encode_bitmap
from core.browser.points import PointsError, encode_colours, encode_points, encode_surface
from core.browser.polygon import PolygonError, contains, decode_polygon, encode_polygon

from .compare import compare
from .globe import (
    OKABE_ITO,
    Camera,
    FlyTo,
    GlobeError,
    GlobeState,
    Legend,
    Ring,
    Selection,
    Still,
    globe_news,
    linked_globe,
)
from .loupe import loupe
from .painter import PainterError, PaintState, mask_painter, painted
from .picture import PictureError, picture_url

__all__ = [
    "OKABE_ITO",
    "BitmapError",
    "Camera",
    "FlyTo",
    "GlobeError",
    "GlobeState",
    "Legend",
    "PaintState",
    "PainterError",
    "PictureError",
    "PointsError",
    "PolygonError",
    "Ring",
    "Selection",
    "Still",
    "compare",
    "contains",
    "decode_bitmap",
    "decode_polygon",
    "encode_bitmap",
    "encode_colours",
    "encode_points",
    "encode_polygon",
    "encode_surface",
    "globe_news",
    "linked_globe",
    "loupe",
    "mask_painter",
    "painted",
    "picture_url",
]
