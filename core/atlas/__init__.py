"""Tables of embeddings: store, open, filter, search, project, group and label them. No torch."""

from core.atlas.errors import FilterError, SearchError, TableError
from core.atlas.schema import TableInfo, make_rows
from core.atlas.table import EmbeddingTable, open_table

__all__ = ["EmbeddingTable", "FilterError", "SearchError", "TableError", "TableInfo", "make_rows", "open_table"]
