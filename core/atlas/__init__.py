"""Tables of embeddings: store, open, filter, search, project, group and label them. No torch."""

from .errors import FilterError, SearchError, TableError
from .schema import TableInfo, make_rows
from .store.table import EmbeddingTable, open_table

__all__ = [
    "EmbeddingTable",
    "FilterError",
    "SearchError",
    "TableError",
    "TableInfo",
    "make_rows",
    "open_table",
]
