"""Layouts of embedding files, ours and others; one per module, tried from the most to the least specific."""

import pyarrow as pa

from . import clay, earth_index, generic, major_tom, own
from .layout import Layout

_LAYOUTS = (own, major_tom, clay, earth_index, generic)


def recognise(schema: pa.Schema) -> Layout | None:
    """Return the layout of a Parquet schema, or None if it holds no vectors."""
    return next((result for layout in _LAYOUTS if (result := layout.match(schema))), None)


__all__ = ["Layout", "recognise"]
