"""Parts of a tile cover the same ground."""

import numpy as np
import pytest

from core.geo import TileRef, TileSpec, known_sources
from core.geo.parts import parts_of
from core.geo.tile import GeoError

REF = TileRef("globe", "blue_marble")


def test_windows_are_cut_into_equal_parts():
    parts = parts_of(TileSpec(REF, window=(10, 20, 90, 60)), 3)
    assert parts[0].window == (10, 20, 30, 20) and parts[5].window == (70, 40, 30, 20) and len(parts) == 9
    with pytest.raises(GeoError, match="cannot be cut"):
        parts_of(TileSpec(REF, window=(0, 0, 2, 2)), 3)


def test_parts_of_a_place_put_together_show_the_place():
    source, whole = known_sources(), TileSpec(REF, lonlat=(10.0, 44.0), gsd_m=20_000.0, size_px=64)
    parts = [source.read(part) for part in parts_of(whole, 2)]
    small = [part.pixels.astype(float).reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4)) for part in parts]
    joined = np.concatenate([np.concatenate(small[:2], axis=2), np.concatenate(small[2:], axis=2)], axis=1)
    truth = source.read(whole).pixels.astype(float)
    assert np.corrcoef(joined.ravel(), truth.ravel())[0, 1] > 0.95
    mirrored = np.corrcoef(joined[:, ::-1].ravel(), truth.ravel())[0, 1]
    assert mirrored < 0.8


def test_a_tile_of_unknown_ground_is_refused():
    with pytest.raises(GeoError, match="no known extent"):
        parts_of(TileSpec(REF), 2)
