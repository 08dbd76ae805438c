"""What the ground looks like: tiles with a true ground sample distance, from any of the known kinds of source. No torch."""

from core.geo.catalogue import Catalogue, Uploads, known_sources
from core.geo.gallery import GalleryEntry, gallery
from core.geo.resample import resample
from core.geo.sources import Entry, Source, SourceInfo, open_source
from core.geo.stretch import for_eye, thumbnail, to_unit
from core.geo.tile import Footprint, GeoError, Tile, TileRef, TileSpec

__all__ = [
    "Catalogue",
    "Entry",
    "Footprint",
    "GalleryEntry",
    "GeoError",
    "Source",
    "SourceInfo",
    "Tile",
    "TileRef",
    "TileSpec",
    "Uploads",
    "for_eye",
    "gallery",
    "known_sources",
    "open_source",
    "resample",
    "thumbnail",
    "to_unit",
]
