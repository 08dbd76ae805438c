"""Streamlit components of the Earth MAE Explorer: mask painter, picture comparison, linked globe.

Built from `frontend/`; the built files in `assets/` are committed, so running the app needs no Node.
"""

from .bitmap import BitmapError, decode_bitmap, encode_bitmap
from .compare import compare
from .painter import PainterError, PaintState, mask_painter
from .picture import PictureError, picture_url

__all__ = [
    "BitmapError",
    "PaintState",
    "PainterError",
    "PictureError",
    "compare",
    "decode_bitmap",
    "encode_bitmap",
    "mask_painter",
    "picture_url",
]
