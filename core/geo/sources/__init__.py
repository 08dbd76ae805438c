"""Where tiles come from: one file per kind of source, all behind `Source`."""

from .base import Entry, Source, SourceInfo
from .opening import open_source

__all__ = ["Entry", "Source", "SourceInfo", "open_source"]
