from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.engine.batch_sizes import FastestSize
from core.engine.inputs import InputError, read_ground
from core.engine.reconstruct import ReconstructionRequest, reconstruct, reconstruct_many
from core.engine.scales import ScaleSpec, ground_mask, ladder
from core.geo import known_sources
from core.geo.tile import TileRef, TileSpec
from core.masking import MaskSpec, make_mask
from core.policy import Policy

from .conftest import plain_tile

PONDS = TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224))


@pytest.fixture(scope="module")
def read():
    catalogue = known_sources()
    if "samples" not in catalogue.names():
        pytest.skip("localtileserver's sample rasters are not installed")
    return catalogue.read


def scales(read, **settings):
    spec = ScaleSpec(PONDS, MaskSpec(), **settings)
    return ladder(spec, read, input_px=112, patch_px=8, limits_m=(13, 300))


def test_same_ground_is_the_same_ground_with_fewer_and_fewer_pixels(read):
    found = scales(read, hold="ground", count=16)
    sides = [scale.side_px for scale in found]
    assert (
        sides == sorted(sides, reverse=True) and sides[0] == 224 and sides[-1] == 32 and len(set(sides)) == 16
    )
    assert [scale.tile for scale in found if scale.own] == [PONDS]
    across = [scale.gsd_m * scale.side_px for scale in found]
    assert max(across) == pytest.approx(min(across))
    boxes = [read_ground(read, scale.tile, scale.side_px).footprint for scale in (found[0], found[-1])]
    assert boxes[0].west == pytest.approx(boxes[1].west) and boxes[0].north == pytest.approx(boxes[1].north)


def test_same_pixels_shows_more_ground_at_one_size(read):
    found = scales(read, hold="pixels", count=16)
    assert len(found) == 16 and {scale.side_px for scale in found} == {112}
    assert sum(scale.own for scale in found) == 1
    assert found[0].gsd_m < found[-1].gsd_m == 300


def test_the_same_ground_is_hidden(read):
    for hold in ("ground", "pixels"):
        found = scales(read, hold=hold, count=6)
        shares = [make_mask(scale.mask, scale.side_px // 8, scale.side_px // 8).ratio for scale in found]
        assert shares == pytest.approx([0.75] * 6, abs=0.5 / 4**2 + 1e-9), (
            "errors compare only where the same share is hidden"
        )
    assert {scale.mask for scale in scales(read, hold="pixels", count=6, masked="patches")} == {MaskSpec()}


def test_a_scale_with_twice_the_ground_hides_the_same_middle():
    hidden = make_mask(MaskSpec("block", 0.25, seed=4), 8, 8).hidden
    wider = ground_mask(hidden, (-0.5, -0.5, 2, 2), 16)
    np.testing.assert_array_equal(wider[4:12, 4:12], hidden)
    np.testing.assert_array_equal(wider[4:12, :4], hidden[:, :4][:, ::-1])
    assert wider.mean() == hidden.mean()


@pytest.mark.parametrize("count", range(2, 17))
def test_the_requested_number_of_scales_is_planned_if_enough_grids_exist(read, count):
    assert len({scale.side_px for scale in scales(read, hold="ground", count=count)}) == count


def test_a_mask_that_doubles_its_grid_is_itself():
    hidden = make_mask(MaskSpec("block", 0.3, seed=4), 7, 7).hidden
    finer = ground_mask(hidden, (0, 0, 1, 1), 14)
    np.testing.assert_array_equal(finer, hidden.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(ground_mask(finer, (0, 0, 1, 1), 7), hidden)
    np.testing.assert_array_equal(ground_mask(hidden, (2, 2, 1, 1), 7), hidden)
    np.testing.assert_array_equal(ground_mask(hidden, (1, -3, 1, 1), 7), hidden[::-1, ::-1])
    assert ground_mask(np.ones((7, 7), bool), (-1, -1, 3, 3), 6).all()


def test_invalid_words_and_counts_are_refused():
    with pytest.raises(InputError, match="2 to 16"):
        ScaleSpec(PONDS, MaskSpec(), count=17)
    with pytest.raises(InputError, match="ground"):
        ScaleSpec(PONDS, MaskSpec(), hold="water")


def test_a_batch_gives_the_same_as_one_by_one(scale_mae):
    policy = Policy("manual", 2.0)
    requests = [
        ReconstructionRequest(plain_tile(128, seed=n), MaskSpec(ratio=ratio, seed=n), policy, px)
        for n, (ratio, px) in enumerate([(0.75, 64), (0.5, 64), (0.75, 32)])
    ]
    found = dict(reconstruct_many(scale_mae, requests))
    assert sorted(found) == [0, 1, 2]
    for n, each in enumerate(requests):
        alone = reconstruct(scale_mae, each.tile, each.mask, policy, size_px=each.size_px)
        np.testing.assert_allclose(found[n].combined, alone.combined, atol=2e-5)
        assert replace(found[n].recipe, mask="") == replace(alone.recipe, mask="")


def test_the_fastest_batch_size_is_used_once_all_are_tried():
    fastest = FastestSize("test", 64)
    sizes = []
    for _ in range(8):
        size = fastest.size(64)
        sizes.append(size)
        fastest.record(size, {1: 1.0, 4: 1.0, 16: 8.0, 64: 64.0}[size])
    assert sizes[:5] == [1, 1, 4, 16, 64] and set(sizes[5:]) == {4}
    assert FastestSize("test", 64).size(2) in {1, 4}


def test_the_planning_of_scales_needs_no_network():
    source = Path("core/engine/scales.py").read_text()
    assert "torch" not in source
