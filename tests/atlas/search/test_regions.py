"""Look-alikes from elsewhere: one per region, in order of similarity."""

import numpy as np
import pytest

from core.atlas import open_table
from core.atlas.search.neighbors import nearest
from core.atlas.search.regions import nearest_elsewhere
from tests.globe_tables import write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return open_table(write_world(tmp_path_factory.mktemp("tables") / "world", 300))


@pytest.mark.parametrize("region_km", [500.0, 3000.0])
def test_results_keep_their_distance_from_the_place_and_each_other(world, region_km):
    found = nearest_elsewhere(world, 7, 8, region_km=region_km)
    rows = [7, *found.rows.tolist()]
    assert len(rows) > 3
    for at, row in enumerate(rows):
        for other in rows[at + 1 :]:
            assert world.distance_km(row, *world.lonlat[other].tolist()) >= region_km * 0.999
    assert (np.diff(found.similarity) <= 0).all()


def test_the_most_similar_place_of_each_region_is_kept(world):
    every = nearest(world, world.vectors_of([7])[0], len(world), exclude=[7]).rows.tolist()
    far = [row for row in every if world.distance_km(row, *world.lonlat[7].tolist()) > 1501]
    assert nearest_elsewhere(world, 7, 5).rows[0] == far[0]


def test_more_than_the_earth_has_regions_for_gives_fewer(world):
    assert 1 <= len(nearest_elsewhere(world, 7, 50, region_km=6000.0).rows) < 12
