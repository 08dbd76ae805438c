"""Tables that the tests of the atlas share."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from core.atlas import make_rows
from core.atlas.store.outline import geometry_columns, outline_of_footprint
from core.geo import Footprint

Rows = Callable[..., pa.Table]


@pytest.fixture
def rows() -> Rows:
    """Make n rows of d-wide vectors in `groups` clusters, spread over the globe, with other `columns`."""

    def build(n: int = 200, d: int = 16, groups: int = 4, seed: int = 0, **columns: object) -> pa.Table:
        generator = np.random.default_rng(seed)
        centres = generator.standard_normal((groups, d))
        group = np.arange(n) % groups
        vectors = (centres[group] + 0.3 * generator.standard_normal((n, d))).astype(np.float32)
        lon, lat = generator.uniform(-180, 180, n), generator.uniform(-85, 85, n)
        outlines = [outline_of_footprint(_around(x, y)) for x, y in zip(lon, lat, strict=True)]
        known = {
            "centre_lon": lon,
            "centre_lat": lat,
            **geometry_columns(outlines),
            "model": ["test"] * n,
            "product_id": [f"g{g}" for g in group],
        }
        return make_rows(vectors, known | columns)

    return build


def _around(lon: float, lat: float) -> Footprint:
    west, east = ((x + 180) % 360 - 180 for x in (lon - 0.5, lon + 0.5))
    return Footprint(west, lat - 0.5, east, lat + 0.5)
