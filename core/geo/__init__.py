"""Imagery: tiles with a known ground sample distance, from rasters, pictures, packs, the globe or the
internet."""

from .catalogue import Catalogue, Uploads, known_sources
from .gallery import GalleryEntry, gallery
from .resample import resample
from .sources import Entry, Source, SourceInfo, open_source
from .stretch import for_eye, thumbnail, to_unit
from .tile import Footprint, GeoError, Tile, TileRef, TileSpec

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
