"""Layouts of embedding files, ours and foreign; one per file, tried from the most to the least particular."""

import pyarrow as pa

from . import clay, earth_index, generic, major_tom, own
from .layout import Layout

_LAYOUTS = (own, major_tom, clay, earth_index, generic)


def recognise(schema: pa.Schema) -> Layout | None:
    """Give the layout of a parquet schema, or None when it holds no vectors."""
    return next((found for layout in _LAYOUTS if (found := layout.match(schema))), None)


__all__ = ["Layout", "recognise"]
