"""Clay v0 embeddings: `.gpq` files with `source_url`, `date`, `embeddings` and `geometry`."""

import pyarrow as pa

from .layout import Layout, is_vector, place_columns


def match(schema: pa.Schema) -> Layout | None:
    """Recognise the layout by its four columns."""
    if not {"source_url", "date", "embeddings"} <= set(schema.names) or not is_vector(
        schema.field("embeddings").type
    ):
        return None
    renamed = {"product_id": "source_url", "timestamp": "date"}
    return Layout(
        "Clay v0",
        ("embeddings",),
        **place_columns(schema),
        renamed=renamed,
        constants={"source": "Clay v0", "model": "clay-v0"},
    )
