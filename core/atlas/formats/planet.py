"""Planet's sample of embeddings: footprints of chips with quality columns and a thumbnail.

Source: data/planet of github.com/cloudnativegeo/geo-embeddings-survey (readme and schema of the sample).
"""

import pyarrow as pa

from .layout import Layout, is_vector, place_columns, renames


def match(schema: pa.Schema) -> Layout | None:
    """Recognise the layout by its columns."""
    names = set(schema.names)
    if not {
        "embedding",
        "embedding_thumbnail_uri",
        "cloud_percent",
        "clear_percent",
    } <= names or not is_vector(schema.field("embedding").type):
        return None
    renamed = renames(schema, {"timestamp": ("datetime", "start_datetime"), "product_id": ("item_id",)})
    if "chip_size" in names and pa.types.is_integer(schema.field("chip_size").type):
        renamed["image_size"] = "chip_size"
    return Layout(
        "Planet", ("embedding",), **place_columns(schema), renamed=renamed, constants={"source": "Planet"}
    )
