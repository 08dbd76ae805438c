"""Clay v1.5 embeddings of LGND: GeoParquet with `chips_id`, `stac_item_id`, `datetime`, 1,024 values.

Source: source.coop/clay/lgnd-clay-v1-5-sentinel-2-l2a (both its products, per scene and per month).
"""

import pyarrow as pa

from .layout import Layout, is_vector, place_columns, renames


def match(schema: pa.Schema) -> Layout | None:
    """Recognise the layout by its columns."""
    names = set(schema.names)
    if not {"embedding", "datetime"} <= names or not names & {"chips_id", "rasters_id"}:
        return None
    if not is_vector(schema.field("embedding").type):
        return None
    renamed = renames(
        schema,
        {
            "unique_id": ("chips_id", "cell_id"),
            "product_id": ("stac_item_id", "rasters_id"),
            "timestamp": ("datetime",),
        },
    )
    constants = {"source": "Clay v1.5", "model": "clay-v1.5"}
    return Layout("Clay v1.5", ("embedding",), **place_columns(schema), renamed=renamed, constants=constants)
