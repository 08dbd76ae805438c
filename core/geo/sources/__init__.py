"""Where tiles come from: one file per kind of source, all behind `Source`."""

from core.geo.sources.base import Entry, Source, SourceInfo
from core.geo.sources.opening import open_source

__all__ = ["Entry", "Source", "SourceInfo", "open_source"]
