from itertools import pairwise

import numpy as np

from core.engine.reconstruct import reconstruct
from core.masking import MaskSpec, make_mask
from core.policy import Policy
from core.studies import monte_carlo, ratio_series
from tests.engine.conftest import plain_tile

POLICY = Policy("native_gsd")


def test_spread_is_that_of_the_reconstructions(small_scale_mae):
    tile = plain_tile(128)
    seen = list(monte_carlo(small_scale_mae, tile, MaskSpec("random", 0.5, seed=4), POLICY, count=6))
    assert [s.done for s in seen] == sorted(s.done for s in seen) and len(seen) > 1
    last = seen[-1]
    made = [reconstruct(small_scale_mae, tile, MaskSpec("random", 0.5, seed=4 + n), POLICY) for n in range(6)]
    times = sum(make_mask(MaskSpec("random", 0.5, seed=4 + n), 4, 4).hidden.astype(int) for n in range(6))
    assert np.array_equal(last.times, times)
    pictures = np.stack([np.clip(m.combined, 0, 1) for m in made])
    unseen = np.stack([m.hidden_high for m in made])[:, None] & np.ones((1, 3, 1, 1), bool)
    some = unseen.any(axis=0)
    mean = (pictures * unseen).sum(axis=0) / np.maximum(unseen.sum(axis=0), 1)
    np.testing.assert_allclose(last.mean[some], mean[some], atol=1e-4)
    np.testing.assert_array_equal(last.mean[~some], made[0].target[~some])
    variance = ((pictures - mean) ** 2 * unseen).sum(axis=0) / np.maximum(unseen.sum(axis=0), 1)
    np.testing.assert_allclose(last.deviation, np.sqrt(variance).mean(axis=0), atol=1e-3)


def test_kinds_without_a_seed_become_random_patches_of_their_ratio(small_scale_mae):
    (*_, last) = monte_carlo(small_scale_mae, plain_tile(64), MaskSpec("checkerboard"), POLICY, count=3)
    assert last.times.sum() == 3 * 8


def test_ratio_series_hides_the_same_patches_and_more(small_scale_mae):
    steps = list(
        ratio_series(
            small_scale_mae, plain_tile(64), MaskSpec("random", seed=2), POLICY, ratios=(0.25, 0.5, 0.75)
        )
    )
    assert [step.ratio for step in steps] == [0.25, 0.5, 0.75]
    for fewer, more in pairwise(steps):
        assert (more.reconstruction.cells | fewer.reconstruction.cells == more.reconstruction.cells).all()


def test_other_requests_run_between_batches(small_scale_mae):
    from contextlib import contextmanager

    entered = []

    @contextmanager
    def turn():
        entered.append("in")
        yield
        entered.append("out")

    list(monte_carlo(small_scale_mae, plain_tile(64), MaskSpec(), POLICY, count=9, turn=turn))
    assert entered[:4] == ["in", "out", "in", "out"] and len(entered) >= 6
