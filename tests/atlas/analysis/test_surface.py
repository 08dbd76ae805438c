"""The rows that fill a map of the Earth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.atlas import EmbeddingTable, make_rows
from core.atlas.analysis.surface import HEIGHT, NOWHERE, WIDTH, surface_rows
from tests.globe_tables import columns_of, vectors_at


def table_at(lonlat: list[tuple[float, float]], gsd_m: list[float]) -> EmbeddingTable:
    places = np.array(lonlat, np.float64)
    return EmbeddingTable.from_rows(
        make_rows(vectors_at(places), columns_of(places, gsd_m=np.array(gsd_m, np.float64)))
    )


def at(rows: NDArray[np.int32], lon: float, lat: float) -> int:
    return int(rows[int((90 - lat) * HEIGHT / 180), int(((lon + 180) % 360) * WIDTH / 360)])


WIDE = 80_000.0  # of 64 px: tiles of 5,120 km


def test_each_pixel_shows_the_nearest_row_within_its_tile() -> None:
    rows = surface_rows(table_at([(20.0, 20.0), (-60.0, -5.0), (179.0, 60.0)], [WIDE] * 3))
    assert rows is not None
    assert [at(rows, 20, 20), at(rows, 25, 10), at(rows, -60, -5)] == [0, 0, 1]
    assert at(rows, -175, 60) == 2  # across the antimeridian
    assert at(rows, 60, -75) == NOWHERE


def test_the_smallest_tile_covers_the_larger_ones() -> None:
    rows = surface_rows(table_at([(0.0, 0.0), (5.0, 0.0), (100.0, 0.0)], [WIDE, WIDE / 4, WIDE]))
    assert rows is not None
    assert at(rows, 1, 0) == 1  # nearer to the centre of row 0, but row 1 is finer and reaches it
    assert at(rows, -15, 0) == 0


def test_land_only_leaves_out_the_sea() -> None:
    table = table_at([(20.0, 20.0), (-60.0, -5.0), (-150.0, 0.0)], [WIDE] * 3)
    rows = surface_rows(table, land_only=True)
    assert rows is not None
    assert at(rows, 20, 20) == 0
    assert at(rows, -150, 0) == NOWHERE


def test_tables_of_small_or_unknown_tiles_have_no_surface() -> None:
    assert surface_rows(table_at([(0.0, 0.0), (9.0, 0.0)], [10.0, 10.0])) is None
    assert surface_rows(table_at([(0.0, 0.0), (9.0, 0.0)], [np.nan, np.nan])) is None
