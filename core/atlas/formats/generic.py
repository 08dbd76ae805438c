"""Any other Parquet file with a column such as `embedding` or `vector`, or many numbered numeric columns."""

import re

import pyarrow as pa

from .layout import Layout, is_vector, place_columns, renames

VECTOR_NAMES = ("embedding", "embeddings", "emb", "vector", "vectors", "features")
FEWEST_COLUMNS = 8


def match(schema: pa.Schema) -> Layout | None:
    """Recognise anything that holds vectors; the last layout to be tried."""
    vectors = vector_columns(schema)
    if not vectors:
        return None
    candidates = {
        "unique_id": ("unique_id", "uuid", "id", "uid", "name"),
        "product_id": ("product_id", "filename", "file", "image", "path", "source_url"),
        "timestamp": ("timestamp", "datetime", "date", "time"),
        "model": ("model", "model_name"),
        "gsd_m": ("gsd_m", "gsd"),
    }
    return Layout("parquet", vectors, **place_columns(schema), renamed=renames(schema, candidates))


def vector_columns(schema: pa.Schema) -> tuple[str, ...]:
    """Find the vectors: a list column of a usual name, else the only one, else the largest family."""
    lists = [f.name for f in schema if is_vector(f.type)]
    named = [name for usual in VECTOR_NAMES for name in lists if name.lower() == usual]
    if named or len(lists) == 1:
        return ((named or lists)[0],)
    families: dict[str, list[tuple[int, str]]] = {}
    for f in schema:
        numbered = re.fullmatch(r"(.*?)(\d+)", f.name)
        if numbered and (pa.types.is_floating(f.type) or pa.types.is_integer(f.type)):
            families.setdefault(numbered[1], []).append((int(numbered[2]), f.name))
    largest = max(families.values(), key=len, default=[])
    return tuple(name for _, name in sorted(largest)) if len(largest) >= FEWEST_COLUMNS else ()
