"""Earth Index (Earth Genome) embeddings: one GeoParquet per MGRS tile, with `emb` metadata beside `geo`."""

import pyarrow as pa

from .generic import vector_columns
from .layout import Layout, metadata_json, place_columns, renames


def match(schema: pa.Schema) -> Layout | None:
    """Recognise the layout by its `emb` metadata; files have a list column or a column per value."""
    emb = metadata_json(schema, b"emb")
    vectors = vector_columns(schema)
    if not emb or not vectors or "unique_id" in schema.names:
        return None
    model = emb.get("model")
    model = model.get("name") if isinstance(model, dict) else model
    renamed = renames(schema, {"unique_id": ("id", "tile_id"), "timestamp": ("datetime", "date")})
    constants = {"source": "Earth Index"} | ({"model": str(model)} if model else {})
    return Layout("Earth Index", vectors, **place_columns(schema), renamed=renamed, constants=constants)
