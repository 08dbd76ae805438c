"""Major TOM embeddings (SigLIP, DINOv2, SSL4EO, ...), and EarthEmbeddingExplorer sets."""

import pyarrow as pa

from .layout import Layout, is_vector, place_columns, renames


def match(schema: pa.Schema) -> Layout | None:
    """Recognise the layout by its grid and centre columns."""
    names = set(schema.names)
    if not {"embedding", "grid_cell", "product_id"} <= names or not is_vector(schema.field("embedding").type):
        return None
    own = ("unique_id", "product_id", "grid_cell", "grid_row_u", "grid_col_r", "centre_lat", "centre_lon")
    name = "EarthEmbeddingExplorer" if {"parquet_url", "parquet_row"} <= names else "Major TOM"
    renamed = renames(
        schema,
        {
            **{n: (n,) for n in own},
            "timestamp": ("timestamp",),
            "crs": ("utm_crs",),
            "pixel_bbox": ("pixel_bbox",),
        },
    )
    return Layout(name, ("embedding",), **place_columns(schema), renamed=renamed, constants={"source": name})
