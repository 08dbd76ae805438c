"""The same places in two tables."""

import numpy as np
import pytest

from core.atlas import EmbeddingTable, TableError, make_rows
from core.atlas.analysis.match import same_places


def test_rows_are_paired_by_place_and_scale(rows):
    first = rows(n=60, gsd_m=[10.0] * 30 + [20.0] * 30)
    one = EmbeddingTable.from_rows(first)
    order = np.random.default_rng(0).permutation(60)[:40]
    two = EmbeddingTable.from_rows(first).take(order)
    pairs = same_places(one, two)
    np.testing.assert_array_equal(pairs.a, np.sort(order))
    np.testing.assert_array_equal(order[pairs.b], pairs.a)
    other_scale = EmbeddingTable.from_rows(rows(n=60, gsd_m=[20.0] * 60))
    assert len(same_places(one, other_scale).a) == 30


def test_without_places_windows_of_pictures_count():
    boxes = [[0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16]]
    one, two = (
        EmbeddingTable.from_rows(
            make_rows(
                np.eye(4, dtype=np.float32)[order],
                {"pixel_bbox": [boxes[n] for n in order], "product_id": ["p"] * 4},
            )
        )
        for order in ([0, 1, 2, 3], [3, 1, 0, 2])
    )
    pairs = same_places(one, two)
    assert pairs.b.tolist() == [2, 1, 3, 0]


def test_tables_that_cannot_be_compared_are_reported(rows):
    one = EmbeddingTable.from_rows(rows(n=30))
    with pytest.raises(TableError, match="share 0 places"):
        same_places(one, EmbeddingTable.from_rows(rows(n=30, seed=9)))
    mixed = EmbeddingTable.from_rows(rows(n=30, model=["a", "b"] * 15))
    with pytest.raises(TableError, match="mixes vectors"):
        same_places(one, mixed)
