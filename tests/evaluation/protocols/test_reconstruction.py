import numpy as np
import pytest

from core.evaluation.cache import Cache
from core.evaluation.data.crops import NAIP_2020, cut, open_pictures
from core.evaluation.plan import EvaluationPlan
from core.evaluation.protocols.averages import gains, small_leads
from core.evaluation.protocols.reconstruction import compare_bands, high_band
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.masking import MaskSpec, make_mask


def hidden(side, patch):
    return make_mask(MaskSpec(seed=3), side // patch, side // patch).pixels(patch)


def test_the_high_band_is_what_is_finer_than_a_patch():
    rng = np.random.default_rng(0)
    flat = np.repeat(np.repeat(rng.random((3, 4, 4)), 8, axis=1), 8, axis=2).astype(np.float32)
    smooth = high_band(np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), (3, 32, 32)).copy(), 8)
    assert np.abs(smooth[:, :, 8:-8]).max() < 1e-5
    noisy = flat + rng.normal(0, 0.1, flat.shape).astype(np.float32)
    assert (high_band(noisy, 8) - high_band(flat, 8)).std() == pytest.approx(0.1, rel=0.1)


def test_bands_correlate_with_themselves_and_not_with_flat_colour():
    truth = np.random.default_rng(1).random((3, 64, 64)).astype(np.float32)
    mask = hidden(64, 8)
    same = compare_bands(truth, truth, mask, 8)
    assert same.correlation == pytest.approx(1)
    assert same.energy == pytest.approx(same.true_energy)
    inverted = compare_bands(1 - truth, truth, mask, 8)
    assert inverted.correlation < -0.9
    grey = compare_bands(np.full_like(truth, truth.mean()), truth, mask, 8)
    assert abs(grey.correlation) < 0.1
    assert grey.energy < 0.1 * grey.true_energy
    assert np.isnan(compare_bands(truth, np.full_like(truth, 0.5), mask, 8).correlation)


def results(plan, subjects, **options):
    return [event for event in evaluate(plan, subjects, folders=(), **options) if isinstance(event, Result)]


def test_blend_with_the_truth_has_the_expected_score_beside_the_fills(index_zip, make_network):
    plan = EvaluationPlan(protocol="reconstruction", data=(str(index_zip),), ratios=(0.75,))
    exact, half = (results(plan, [make_network(truth_share=share)])[-1] for share in (1.0, 0.5))
    assert exact.value == 60.0
    assert half.details["lead_over_best_fill"]["low"] < half.details["lead_over_best_fill"]["mean"]
    assert set(half.details["fills"]) == {"visible_mean", "nearest", "harmonic", "telea"}
    assert half.count == 12
    grey = results(plan, [make_network(truth_share=0.0)])[-1]
    assert half.value - grey.value == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert half.details["high_band"]["correlation"]["mean"] == pytest.approx(1, abs=0.1)
    assert half.details["pooled_psnr"] <= half.value + 1e-6


def test_masks_depend_on_the_image_and_not_on_the_model(index_zip, make_network):
    seen = []

    class Watching(make_network):
        def reconstruct(self, images, hidden, res):
            seen.append(hidden.copy())
            return images

    plan = EvaluationPlan(protocol="reconstruction", data=(str(index_zip),), ratios=(0.5,))
    results(plan, [Watching("a")])
    results(plan, [Watching("b")])
    first, second = seen[:12], seen[12:]
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert any((first[0] != other).any() for other in first[1:])
    assert all(a.mean() == 0.5 for a in first)


def test_small_images_are_enlarged_and_large_ones_cropped(index_zip, network):
    pictures = open_pictures(str(index_zip), (), 20, None, 0)
    enlarged = next(cut(pictures, 64))
    assert enlarged.crops.shape == (1, 3, 64, 64)
    assert enlarged.gsd_m == 1.0
    crops = next(cut(pictures, 16))
    assert crops.crops.shape == (4, 3, 16, 16)
    assert crops.gsd_m == 2.0


def test_values_that_are_not_finite_name_model_and_image(index_zip, make_network):
    from core.evaluation.errors import FeatureError

    plan = EvaluationPlan(protocol="reconstruction", data=(str(index_zip),))
    with pytest.raises(FeatureError, match=r"Model 'nan_net' gives values .* image 'Forest/Forest_"):
        results(plan, [make_network("nan_net", broken=True)])


def test_held_out_scenes_exclude_naip_2020(shared_data):
    scenes = open_pictures("scenes", (shared_data,), None, None, 0)
    assert sorted(scenes.files) == ["spacenet6_rotterdam_ms3_1m.tif", "spacenet6_rotterdam_pan3_0p5m.tif"]
    apart = open_pictures("naip2020", (shared_data,), None, None, 0)
    assert [name.startswith(NAIP_2020) for name in apart.files] == [True]
    for pictures in (scenes, apart):
        for picture in cut(pictures, 112):
            assert picture.crops.shape[1:] == (3, 112, 112)
            assert 0.4 < picture.gsd_m < 6
            assert picture.crops.std() > 0.01


def test_means_over_sets_exclude_naip_2020(shared_data, make_network):
    plan = EvaluationPlan(
        protocol="reconstruction", data=("neon", "scenes", "naip2020"), ratios=(0.75,), limit=1
    )
    found = [e for e in evaluate(plan, [make_network()], folders=(shared_data,)) if isinstance(e, Result)]
    mean = [r for r in found if r.recipe.data == "mean of neon, scenes" and r.recipe.model == "fake"]
    single = {r.recipe.data: r.value for r in found if r.recipe.model == "fake"}
    assert mean[0].value == pytest.approx((single["neon"] + single["scenes"]) / 2)
    assert mean[0].low < mean[0].value < mean[0].high


def test_detail_finer_than_a_patch_is_compared_with_the_best_fill(index_zip, make_network):
    """A network that sees the truth has detail that no fill has; one that predicts grey has none."""
    plan = EvaluationPlan(protocol="reconstruction", data=(str(index_zip),), ratios=(0.75,))
    knows, grey = (results(plan, [make_network(truth_share=share)])[-1] for share in (1.0, 0.0))
    more, less = (found.details["detail_over_best_fill"] for found in (knows, grey))
    assert 0 < more["low"] <= more["mean"] <= more["high"] < 2
    assert less["mean"] < 0.1 < more["low"]
    fill = next(r for r in results(plan, [make_network()]) if r.recipe.model == knows.details["best_fill"])
    own = knows.details["high_band"]["correlation"]["mean"] - fill.details["high_band"]["correlation"]["mean"]
    assert more["mean"] == pytest.approx(own, abs=1e-6)
    row = knows.row()
    assert (row["detail_gain"], row["lead_low"]) == (
        more["mean"],
        knows.details["lead_over_best_fill"]["low"],
    )
    assert "correlates" in gains(knows)


def test_cached_results_are_compared_with_the_fills_too(index_zip, make_network, tmp_path):
    plan = EvaluationPlan(protocol="reconstruction", data=(str(index_zip),), ratios=(0.75,))
    first = results(plan, [make_network()], cache=Cache(tmp_path))
    again = results(plan, [make_network(broken=True)], cache=Cache(tmp_path))
    assert again == first and "lead_over_best_fill" in again[-1].details


def test_the_gallery_has_a_lead_for_every_tile(make_network):
    """The tiles that the app opens with, without any data pack, each under several masks."""
    plan = EvaluationPlan(protocol="reconstruction", data=("gallery",), ratios=(0.75,))
    found = results(plan, [make_network(truth_share=1.0)])[-1]
    leads = found.details["image_leads"]
    assert {"Salt ponds, Utah", "Bahama banks", "Himalaya"} <= set(leads)
    assert found.recipe.crops == 9 and found.count == len(leads)
    assert min(leads.values()) > 0.1 and small_leads(found) == ()
    assert f"0 of {len(leads)} images have a lead below +0.1 dB" in gains(found)
    grey = results(plan, [make_network(truth_share=0.0)])[-1]
    assert len(small_leads(grey) or ()) > 4
