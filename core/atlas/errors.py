"""Errors about tables of embeddings; each message says what to do next."""

from ..errors import ExplorerError


class TableError(ExplorerError):
    """A table of embeddings that cannot be read, written or used as asked."""


class FilterError(ExplorerError):
    """A filter that is not a plain condition on the columns of a table."""


class SearchError(ExplorerError):
    """A search, projection or labelling that cannot be answered as asked."""


class LabelError(ExplorerError):
    """Labels from a file that cannot be read, placed on a table or learned from."""
