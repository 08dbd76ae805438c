import numpy as np
import pytest

from core.engine.reconstruct import reconstruct
from core.evaluation.stats.metrics import score
from core.judge import JudgeError, alike, error_map, judge, shared_scale
from core.masking import MaskSpec
from tests.engine.conftest import plain_tile


@pytest.fixture(scope="module")
def made(small_scale_mae):
    return reconstruct(small_scale_mae, plain_tile(128), MaskSpec(ratio=0.5))


def test_scores_are_over_hidden_pixels_at_the_inputs_size(made):
    verdict = judge(made)
    side = made.input.shape[-1]
    averaged = made.combined.reshape(3, side, 2, side, 2).mean(axis=(2, 4))
    assert verdict.model == score(averaged, made.input, made.hidden)
    assert set(verdict.fills) == {"visible_mean", "nearest", "harmonic"}
    assert verdict.fills["harmonic"].psnr > verdict.fills["visible_mean"].psnr  # on smooth ground
    assert verdict.best_fill in verdict.fills
    assert set(verdict.to_json()) == {"model", "visible_mean", "nearest", "harmonic"}


@pytest.mark.parametrize("band", ["combined", "low", "high"])
@pytest.mark.parametrize("kind", ["l1", "squared", "ssim"])
def test_error_maps_agree_with_their_definition(made, kind, band):
    error = error_map(made, kind, band)
    assert error.shape == ((64, 64) if band == "low" else (128, 128))
    assert error.min() >= -1e-6
    pred, truth = {
        "combined": (made.combined, made.target),
        "low": (made.low, made.target_low),
        "high": (made.high, made.target_high),
    }[band]
    if kind != "ssim":
        pred = pred if band == "high" else np.clip(pred, 0, 1)
        expected = np.abs(pred - truth) if kind == "l1" else (pred - truth) ** 2
        np.testing.assert_allclose(error, expected.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(error_map(made, kind, band, 1), expected[1], atol=1e-6)


def test_a_shared_scale_covers_all_maps():
    low, high = np.full((4, 4), 0.1, np.float32), np.full((4, 4), 0.5, np.float32)
    everywhere = np.ones((4, 4), bool)
    assert shared_scale([low, high], [everywhere, everywhere]) == pytest.approx(0.5)
    assert shared_scale([low], [~everywhere]) == 1.0


def test_unknown_error_maps_are_refused(made):
    with pytest.raises(JudgeError, match="choose one of"):
        error_map(made, "psnr")


def test_similar_patches_are_selected():
    image = np.zeros((3, 64, 64), np.float32)
    image[:, :, 32:] = 0.8
    image[:, :32, :32] += np.random.default_rng(0).random((32, 32), dtype=np.float32) * 0.3
    chosen = alike(image, 16, (0, 3), 0.5)
    expected = np.zeros((4, 4), bool)
    expected[:, 2:] = True
    assert np.array_equal(chosen, expected)
    assert alike(image, 16, (3, 0), 0.0).sum() == 1 and alike(image, 16, (3, 0), 0.0)[3, 0]
