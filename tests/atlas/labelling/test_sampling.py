"""Labels on tiles: majority, shares, distances, overlaps, and labels elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from core.atlas.errors import LabelError
from core.atlas.labelling.reading import Labels, read_labels
from core.atlas.labelling.sampling import SamplingSpec, sample
from tests.labelled_grid import NAMES, SIDE, STEP, lonlat, truth


def labels(shapes, values, classes=("a", "b"), kind="class") -> Labels:
    nothing = np.full(len(shapes), -1, np.int64)
    return Labels(
        "test", "class", ("class",), kind, np.asarray(shapes, object), np.asarray(values, float),
        classes, nothing, (), (),
    )  # fmt: skip


def box(row: int, left: float = -0.5, right: float = 0.5) -> shapely.Polygon:
    """A part of a tile, from `left` to `right` of its width."""
    lon, lat = lonlat()[row]
    return shapely.box(lon + left * STEP, lat - STEP / 2, lon + right * STEP, lat + STEP / 2)


@pytest.mark.parametrize("name", ["labels.gpkg", "labels.csv"])
def test_polygons_and_points_give_tiles_their_class(grid, label_files, name):
    found = sample(grid, read_labels(label_files / name))
    assert len(found) == 300 and found.classes == ("forest", "urban", "water")
    assert [found.classes[int(v)] for v in found.values] == NAMES[truth()[found.rows]].tolist()


def test_the_larger_share_wins_and_overlaps_are_reported(grid):
    shapes = [box(0, -0.5, 0.2), box(0, 0.2, 0.5), box(5), box(5), box(9)]
    found = sample(grid, labels(shapes, [0, 1, 0, 1, 1]))
    assert dict(zip(found.rows.tolist(), found.values.tolist(), strict=True)) == {0: 0, 5: 0, 9: 1}
    text = " ".join(found.problems)
    assert "2 tiles lie under labels of different classes" in text


def test_tiles_that_are_hardly_covered_get_no_label(grid):
    shapes = [box(0, -0.5, -0.1), box(5), box(9)]
    found = sample(grid, labels(shapes, [0, 0, 1]))
    assert found.rows.tolist() == [5, 9] and "1 tiles are left out" in " ".join(found.problems)
    lower = sample(grid, labels(shapes, [0, 0, 1]), SamplingSpec(min_share=0.3))
    assert lower.rows.tolist() == [0, 5, 9]
    small = replace(labels(shapes[:1], [0]), problems=("1 polygon was invalid and repaired.",))
    with pytest.raises(LabelError, match=r"No label covers 50% .*\. 1 polygon was invalid and repaired"):
        sample(grid, small)


def test_shares_are_numbers_and_uncovered_tiles_count_as_zero(grid):
    found = sample(grid, labels([box(0, -0.5, -0.1), box(3)], [0, 0], ("building",)), SamplingSpec("share"))
    assert found.kind == "number" and found.title == "share of building"
    shares = dict(zip(found.rows.tolist(), found.values.round(6).tolist(), strict=True))
    assert shares == {0: 0.4, 1: 0.0, 2: 0.0, 3: 1.0}


def test_numbers_are_averaged_by_area(grid):
    found = sample(grid, labels([box(0, -0.5, 0), box(0, 0, 0.5), box(2)], [1, 3, 7], (), "number"))
    assert found.values.tolist() == pytest.approx([2, 7])


def test_points_between_tiles_need_a_distance(grid):
    west = lonlat()[0] - (2 * STEP, 0)
    points = [shapely.Point(west), shapely.Point(lonlat()[4])]
    with pytest.raises(LabelError, match="at least two are needed"):
        sample(grid, labels(points, [0, 1]))
    found = sample(grid, labels(points, [0, 1]), SamplingSpec(distance_m=4_000))
    assert found.rows.tolist() == [0, 4]


def test_a_background_class_for_tiles_without_labels(grid):
    shapes = [box(row) for row in range(0, SIDE * SIDE, 31)]
    found = sample(grid, labels(shapes, np.zeros(len(shapes)), ("field",)), SamplingSpec(background="other"))
    assert found.classes == ("field", "other") and (found.values == 1).sum() == len(shapes)


def test_one_class_and_labels_elsewhere_are_errors(grid):
    with pytest.raises(LabelError, match="have the class a: at least two"):
        sample(grid, labels([box(0), box(1)], [0, 0]))
    far = shapely.box(-70, -20, -69, -19)
    with pytest.raises(LabelError, match="None of the 2 labels lies on a tile: the labels span -70"):
        sample(grid, labels([far, far], [0, 1]))
    some = sample(grid, labels([box(0), box(1), far], [0, 1, 1]))
    assert "1 of 3 labels lie on no tile" in " ".join(some.problems)
