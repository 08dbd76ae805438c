import numpy as np
import pytest

from core.evaluation.errors import FeatureError
from core.evaluation.protocols.linear_probe import STRENGTHS, linear_probe


def blobs(count, seed, noise=0.6):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.array([[0, 0, 5, 0], [4, 0, 5, 0], [0, 300, 5, 0]], np.float32)
    return (centres[labels] + noise * rng.standard_normal((count, 4)) * [1, 80, 1, 0]).astype(
        np.float32
    ), labels


def test_a_probe_separates_what_is_linear_whatever_the_scale_of_a_column():
    train, labels = blobs(300, 0)
    test, truth = blobs(90, 1)
    probe = linear_probe(train, labels, test)
    assert (probe.labels == truth).mean() > 0.9
    assert probe.converged
    assert probe.strength in STRENGTHS
    assert set(probe.held_out) == set(STRENGTHS)
    assert np.allclose(probe.probabilities.sum(axis=1), 1)


def test_the_strength_is_the_best_on_held_out_images_and_labels_of_noise_give_chance():
    rng = np.random.default_rng(4)
    train, test = (
        rng.standard_normal((400, 30)).astype(np.float32),
        rng.standard_normal((400, 30)).astype(np.float32),
    )
    labels, truth = rng.integers(2, size=400), rng.integers(2, size=400)
    probe = linear_probe(train, labels, test)
    assert probe.held_out[probe.strength] == max(probe.held_out.values())
    assert (probe.labels == truth).mean() == pytest.approx(0.5, abs=0.1)


def test_too_few_images_to_hold_out_fall_back_and_a_single_class_is_refused():
    train, labels = blobs(3, 5)
    probe = linear_probe(train, labels, train)
    assert (probe.strength, probe.held_out) == (1.0, {})
    with pytest.raises(FeatureError, match="at least two classes"):
        linear_probe(train, np.zeros(3, np.int64), train)
