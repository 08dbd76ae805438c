"""The GSD protocol: a GSD-aware network gains from the right GSD, one that ignores it gains nothing."""

import numpy as np
import pytest

from core.evaluation.cache import Cache
from core.evaluation.comparing import compare_results
from core.evaluation.errors import RecipeError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.protocols.averages import gains
from core.evaluation.rerun import plan_of
from core.evaluation.results import Result, to_csv, to_latex
from core.evaluation.running import evaluate


def results(plan, subjects, **options):
    return [event for event in evaluate(plan, subjects, folders=(), **options) if isinstance(event, Result)]


@pytest.fixture
def plan(index_zip):
    return EvaluationPlan(protocol="gsd", data=(str(index_zip),), ratios=(0.75,))


@pytest.fixture
def gsd_reader(make_network):
    """A network that adds noise in proportion to how far its res is from 2, the true GSD in metres."""

    class GsdReader(make_network):
        def reconstruct(self, images, hidden, res):
            self.res_seen |= set(res.tolist())
            wrong = 0.01 + 0.05 * np.abs(np.log(res / 2.0))[:, None, None, None]
            noise = np.random.default_rng(0).normal(0, 1, images.shape)
            return (images + wrong * noise).astype(np.float32)

    return GsdReader


def test_the_right_gsd_is_compared_with_four_times_and_a_quarter_of_it(plan, gsd_reader):
    network = gsd_reader()
    (found,) = results(plan, [network])
    assert network.res_seen == {2.0, 8.0, 0.5}
    assert found.metric == "gsd_gain" and found.count == 12
    assert 5 < found.low <= found.value <= found.high
    psnr = found.details["psnr"]
    assert found.value == pytest.approx(psnr["right"] - (psnr["coarser"] + psnr["finer"]) / 2)
    assert "dB over a GSD 4 times coarser" in gains(found)


def test_a_network_that_ignores_its_res_gains_nothing(plan, network):
    (found,) = results(plan, [network])
    assert (found.low, found.value, found.high) == (0, 0, 0)


def test_networks_that_cannot_depend_on_gsd_are_refused(plan, make_network, index_zip):
    static = make_network("static_net")
    static.gsd_aware = False
    with pytest.raises(RecipeError, match="static_net has static positions, so the GSD changes nothing"):
        results(plan, [static])
    ignoring = EvaluationPlan(protocol="gsd", data=(str(index_zip),), policies=("author_eval",))
    with pytest.raises(RecipeError, match="author_eval ignores the GSD"):
        results(ignoring, [make_network()])


def test_results_are_cached_compared_exported_and_run_again(plan, gsd_reader, tmp_path):
    cache = Cache(tmp_path)
    first, second = results(plan, [gsd_reader("a"), gsd_reader("b")], cache=cache)
    assert results(plan, [gsd_reader("a"), gsd_reader("b")], cache=cache) == [first, second]
    assert compare_results(first, second, cache).paired.difference.mean == 0
    assert "gsd_gain" in to_csv([first]) and "mask 0.75" in to_latex([first])
    again = plan_of(first.recipe, plan.data[0])
    assert results(again, [gsd_reader("a")])[0].value == pytest.approx(first.value)


def test_the_mean_is_over_held_out_sets(shared_data, gsd_reader):
    plan = EvaluationPlan(protocol="gsd", data=("neon", "scenes", "naip2020"), ratios=(0.75,), limit=1)
    found = [e for e in evaluate(plan, [gsd_reader()], folders=(shared_data,)) if isinstance(e, Result)]
    single = {r.recipe.data: r.value for r in found}
    assert single["mean of neon, scenes"] == pytest.approx((single["neon"] + single["scenes"]) / 2)
