"""Tables of this program: all columns of the schema, `emb` metadata, and a scale column for int8 vectors."""

import pyarrow as pa

from ..schema import COLUMNS, VECTOR
from .layout import Layout


def match(schema: pa.Schema) -> Layout | None:
    """Recognise our own files by their columns."""
    if not {VECTOR, "unique_id", "checkpoint_sha256", "input_res_m"} <= set(schema.names):
        return None
    return Layout(
        "earth-mae-explorer",
        (VECTOR,),
        geometry="geometry" if "geometry" in schema.names else None,
        renamed={name: name for name in COLUMNS if name in schema.names},
    )
