"""Cross-validation and maps from labels: measures, folds, calibration, intervals and areas."""

import io

import geopandas as gpd
import numpy as np
import pytest
from rasterio.io import MemoryFile

from core.atlas.errors import LabelError
from core.atlas.exports import geoparquet
from core.atlas.labelling.area import covered_km2, estimate_areas, tile_areas
from core.atlas.labelling.folds import block_folds, region_folds
from core.atlas.labelling.mapping import finish, label_map
from core.atlas.labelling.reading import LabelColumns, read_labels
from core.atlas.labelling.report import class_raster, columns, errors_of, report
from core.atlas.labelling.sampling import Samples, sample
from core.atlas.labelling.validation import ModelSpec, assess
from tests.labelled_grid import field, lonlat, truth


@pytest.fixture(scope="module")
def samples(grid, label_files) -> Samples:
    return sample(grid, read_labels(label_files / "labels.gpkg", "", LabelColumns(region="county")))


@pytest.fixture(scope="module")
def class_map(grid, samples):
    return finish(label_map(grid, samples))


def test_the_example_of_olofsson_is_reproduced():
    """Table 8 and section 4.2 of Olofsson et al. 2014: deforestation on 21,158 +- 6,158 of 900,000 ha."""
    by_map = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    found = estimate_areas(by_map.T, np.array([0.020, 0.015, 0.320, 0.645]))
    assert found.share[0] * 900_000 == pytest.approx(21_158, abs=1)
    assert found.share_half_width[0] * 900_000 == pytest.approx(6_158, abs=2)
    assert found.users.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert found.users_half_width.round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert found.producers.round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert found.producers_half_width.round(2).tolist() == [0.21, 0.25, 0.03, 0.02]
    assert (round(found.overall, 2), round(found.overall_half_width, 2)) == (0.95, 0.02)


def test_overlapping_tiles_count_their_ground_once(grid):
    areas = tile_areas(grid)
    alone = covered_km2(grid, areas)
    assert alone == pytest.approx(areas.sum(), rel=0.01)
    twice = grid.take(np.repeat(np.arange(len(grid)), 2))
    assert covered_km2(twice, tile_areas(twice)) == pytest.approx(alone, rel=0.01)


def test_a_map_of_classes_is_right_where_it_says(grid, class_map):
    names = np.array(class_map.samples.classes)[class_map.values.astype(int)]
    right = names == np.array(["water", "forest", "urban"])[truth()]
    held_out = {way.name: way.measures["accuracy"] for way in class_map.assessment.ways}
    assert set(held_out) == {"random", "blocks", "regions"}
    unlabelled = np.ones(len(grid), bool)
    unlabelled[class_map.samples.rows] = False
    assert held_out["blocks"] == pytest.approx(right[unlabelled].mean(), abs=0.05)
    low, high = class_map.assessment.ways[1].interval
    assert low < held_out["blocks"] < high
    np.testing.assert_allclose(class_map.probability.sum(axis=1), 1, atol=1e-5)
    sure = class_map.uncertainty < np.median(class_map.uncertainty)
    assert right[sure].mean() > right[~sure].mean()


def test_confusion_curve_areas_and_errors_agree(grid, class_map):
    assessed = class_map.assessment
    known = np.isfinite(assessed.strictest.predicted)
    assert assessed.strictest.confusion.sum() == known.sum()
    accuracy = np.trace(assessed.strictest.confusion) / known.sum()
    assert accuracy == pytest.approx(assessed.strictest.measures["accuracy"])
    assert [rows for rows, _ in assessed.curve] == sorted(rows for rows, _ in assessed.curve)
    assert np.nanmean(errors_of(grid, class_map)) == pytest.approx(accuracy)
    true_share = np.bincount(truth(), minlength=3)[[1, 2, 0]] / len(grid)
    assert (np.abs(class_map.areas.share - true_share) < 2 * class_map.areas.share_half_width).all()


@pytest.mark.parametrize("method", ["knn", "forest", "mlp"])
def test_other_methods_learn_too(grid, samples, method):
    found = finish(assess(grid, samples, ModelSpec(method, folds=3, curve=False)))
    assert found.ways[1].measures["accuracy"] > 0.6  # the largest class is 0.4


def test_numbers_get_an_interval_that_holds_nine_in_ten(grid, label_files):
    labels = read_labels(label_files / "labels.gpkg", "", LabelColumns(column="height"))
    found = finish(label_map(grid, sample(grid, labels)))
    inside = np.abs(found.values - field()) <= found.uncertainty
    assert inside.mean() == pytest.approx(0.9, abs=0.06)
    assert found.assessment.strictest.measures["r2"] > 0.3 and found.areas is None


def test_blocks_and_regions_are_never_split(samples):
    places = lonlat()[samples.rows]
    for made in (block_folds(samples, places, 5, 0, None), region_folds(samples)):
        for train, test in made.folds:
            assert not set(made.groups[train]) & set(made.groups[test])
    assert block_folds(samples, places, 5, 0, block_km=500) is None


def test_random_folds_flatter_where_neighbours_look_alike(grid):
    """Vectors that only say where a tile lies, and labels of large patches: blocks reveal it."""
    from core.atlas import EmbeddingTable, make_rows

    lon, lat = lonlat().T
    phase = np.stack([lon - 10.3, lat - 45.3, np.full(len(lon), 0.3)], axis=1)
    table = EmbeddingTable.from_rows(
        make_rows(phase.astype(np.float32), {"centre_lon": lon, "centre_lat": lat, "model": ["m"] * len(lon)})
    )
    patch = np.random.default_rng(3).integers(0, 2, (8, 8))
    values = patch[((lon - 10) / 0.075).astype(int).clip(0, 7), ((lat - 45) / 0.075).astype(int).clip(0, 7)]
    rows = np.arange(len(table))
    made = Samples(rows, values.astype(float), np.full(len(rows), -1), "class", ("a", "b"), (), "class", ())
    found = finish(assess(table, made, ModelSpec("knn", block_km=15, curve=False)))
    random, blocks = (way.measures["accuracy"] for way in found.ways)
    assert random - blocks > 0.1


def test_too_few_labels_are_an_error(grid, samples):
    few = Samples(
        samples.rows[:6], samples.values[:6], samples.regions[:6], "class", samples.classes, (), "class", ()
    )
    with pytest.raises(LabelError, match="Only 6 tiles have a label"):
        finish(assess(grid, few))


def test_exports_are_read_back(grid, class_map):
    found = gpd.read_parquet(io.BytesIO(geoparquet(grid, columns(grid, class_map), about=report(class_map))))
    assert {"predicted", "probability", "uncertainty", "label", "held_out", "p_water"} <= set(found.columns)
    assert found.label.notna().sum() == len(class_map.samples)
    with MemoryFile(class_raster(grid, class_map)) as memory, memory.open() as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        at = [next(raster.sample([place]))[0] for place in lonlat()]
        assert raster.tags(1)["class_1"] == "forest" and raster.colormap(1)[1][3] == 255
    assert (np.array(at) == class_map.values + 1).mean() > 0.99
