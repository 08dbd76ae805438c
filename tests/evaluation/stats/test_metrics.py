"""PSNR, SSIM and L1 over hidden pixels, against scikit-image and by hand."""

import json
import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from core.evaluation.stats.metrics import Scores, score, ssim_map

rng = np.random.default_rng(0)
TRUTH = rng.random((3, 40, 48)).astype(np.float32)
PRED = (TRUTH + rng.normal(0, 0.05, TRUTH.shape)).clip(0, 1).astype(np.float32)
HIDDEN = rng.random((40, 48)) < 0.5


def test_with_everything_hidden_the_scores_are_those_of_the_whole_picture() -> None:
    scores = score(PRED, TRUTH, np.ones((40, 48), np.bool_))
    assert scores.psnr == pytest.approx(peak_signal_noise_ratio(TRUTH, PRED, data_range=1), abs=1e-4)
    assert scores.l1 == pytest.approx(np.abs(PRED - TRUTH).mean(), abs=1e-7)


def test_ssim_is_the_full_map_of_scikit_image_over_hidden_pixels() -> None:
    channels = [
        structural_similarity(
            TRUTH[c],
            PRED[c],
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )[1]
        for c in range(3)
    ]
    assert score(PRED, TRUTH, HIDDEN).ssim == pytest.approx(
        np.mean([full[HIDDEN] for full in channels]), abs=1e-5
    )


def test_ssim_by_hand_at_one_pixel() -> None:
    offset = np.arange(-5, 6)
    window = np.exp(-(offset**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    x, y = (image[1, 10:21, 20:31].astype(np.float64) for image in (PRED, TRUTH))
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    var_x, var_y = (window * x * x).sum() - mean_x**2, (window * y * y).sum() - mean_y**2
    covariance = (window * x * y).sum() - mean_x * mean_y
    by_hand = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    by_hand /= (mean_x**2 + mean_y**2 + 0.01**2) * (var_x + var_y + 0.03**2)
    assert ssim_map(PRED, TRUTH)[1, 15, 25] == pytest.approx(by_hand, abs=1e-9)


def test_visible_pixels_do_not_count_for_psnr_and_l1() -> None:
    spoiled = np.where(HIDDEN, PRED, np.float32(0))
    clean, other = score(PRED, TRUTH, HIDDEN), score(spoiled, TRUTH, HIDDEN)
    assert (clean.psnr, clean.l1) == (other.psnr, other.l1)


def test_values_are_clipped_before_they_are_compared() -> None:
    assert score(TRUTH * 0 + 3, np.ones_like(TRUTH), HIDDEN).l1 == 0


def test_a_perfect_picture() -> None:
    assert score(TRUTH, TRUTH, HIDDEN) == Scores(math.inf, pytest.approx(1), 0)
    assert json.loads(json.dumps(score(TRUTH, TRUTH, HIDDEN).to_json()))["psnr"] is None


def test_nothing_hidden_is_not_a_score() -> None:
    scores = score(PRED, TRUTH, np.zeros((40, 48), np.bool_))
    assert all(math.isnan(value) for value in (scores.psnr, scores.ssim, scores.l1))


@pytest.mark.parametrize("side", [1, 4, 10])
def test_images_smaller_than_the_window_are_scored_as_if_mirrored(side: int) -> None:
    pred, truth = PRED[:, :side, :side], TRUTH[:, :side, :side]
    mirrored = (np.pad(image, ((0, 0), (0, 22), (0, 22)), mode="symmetric") for image in (pred, truth))
    assert np.allclose(ssim_map(pred, truth), ssim_map(*mirrored)[:, :side, :side], atol=1e-6)


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        score(PRED, TRUTH[:, :10], HIDDEN)
