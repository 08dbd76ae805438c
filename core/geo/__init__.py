"""What the ground looks like: tiles with a true ground sample distance, from any of the known kinds of source. No torch."""

from core.geo.tile import Footprint, GeoError, Tile, TileRef, TileSpec

__all__ = ["Footprint", "GeoError", "Tile", "TileRef", "TileSpec"]
