"""Training crops: never enlarged, averaged if coarser, and the same for any number of workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.engine.training.runs import PRESETS, read_spec
from core.geo.crops import draw_crops
from core.geo.imagery import Imagery
from core.geo.imagery_packs import find_imagery
from core.geo.tile import GeoError


def ramps(side: int, count: int) -> tuple[np.ndarray, ...]:
    """Pictures whose red value is the column, so that the step between columns of a crop shows its scale."""
    column = np.tile(np.arange(side, dtype=np.uint8), (side, 1))
    return tuple(np.stack([column, column.T, np.full_like(column, 128 + 9 * i)], -1) for i in range(count))


MIXED = (
    Imagery("small", "none", ramps(64, 3), (10.0,) * 3, share=0.6),
    Imagery("middling", "none", ramps(128, 2), (0.3,) * 2, share=0.3),
    Imagery("large", "none", ramps(250, 2), (1.0, 30.0), share=0.1),
)


HUGE = (
    Imagery("huge", "none", (np.arange(1100 * 1100 * 3).reshape(1100, 1100, 3).astype(np.uint8),), (1.0,)),
)
BATCH = 50


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_no_preset_enlarges_a_crop(preset: str, count: int) -> None:
    """A crop holds as many columns of its picture as it has, and its GSD is at least the picture's."""
    spec = read_spec(PRESETS[preset])
    targets = spec.targets_px or tuple(2 * side for side in spec.sides_px)
    imagery = MIXED if max(targets) <= 250 else HUGE
    each = -(-count // len(targets) // BATCH)
    for target in targets:
        for step in range(each):
            crops = draw_crops(imagery, target, spec.seed, step, range(BATCH), coarser=spec.coarser or None)
            assert crops.pixels.shape[1:3] == (target, target)
            assert (crops.gsd_m >= crops.native_gsd_m * (1 - 1e-6)).all()
            if imagery is MIXED:
                across = np.ptp(crops.pixels[:, target // 2, :, :2].astype(int), axis=1).max(1)
                down = np.ptp(crops.pixels[:, :, target // 2, :2].astype(int), axis=1).max(1)
                assert (np.maximum(across, down) >= target - 3).all(), (
                    "fewer columns of the picture than the crop has"
                )


def test_a_side_serves_only_pictures_that_are_large_enough() -> None:
    blue = draw_crops(MIXED, 128, 0, 0, range(200)).pixels[:, 0, 0, 2]
    assert set(blue.tolist()) <= {128, 137} and len(set(blue.tolist())) == 2
    with pytest.raises(
        GeoError,
        match=r"No training image has 300 px per side \(the largest has 250\) and crops are never enlarged",
    ):
        draw_crops(MIXED, 300, 0, 0, range(2))


def test_crops_reach_four_times_coarser_and_say_so() -> None:
    crops = draw_crops(MIXED, 32, 0, 0, range(600))
    factor = crops.gsd_m / crops.native_gsd_m
    assert factor.min() == pytest.approx(1, abs=0.05) and 3.5 < factor.max() <= 4.01
    step = np.abs(np.diff(crops.pixels[..., 0].astype(float), axis=2)).max((1, 2))
    down = np.abs(np.diff(crops.pixels[..., 0].astype(float), axis=1)).max((1, 2))
    assert np.abs(np.maximum(step, down) - factor).max() < 1.1


def test_workers_and_the_order_of_steps_change_nothing() -> None:
    alone = draw_crops(MIXED, 48, 3, 5, range(64))
    with ThreadPoolExecutor(4) as workers:
        together = draw_crops(MIXED, 48, 3, 5, range(64), workers=workers)
    assert np.array_equal(alone.pixels, together.pixels) and np.array_equal(alone.gsd_m, together.gsd_m)
    assert not np.array_equal(alone.pixels, draw_crops(MIXED, 48, 3, 6, range(64)).pixels)


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path) -> None:
    with pytest.raises(GeoError, match="no training imagery moon: choose from eurosat"):
        find_imagery(tmp_path, ("moon",))
