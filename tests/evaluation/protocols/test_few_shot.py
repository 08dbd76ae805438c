import numpy as np
import pytest

from core.evaluation.errors import FeatureError
from core.evaluation.protocols.few_shot import few_shot


def unit_blobs(count, seed, noise):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    return (np.eye(4)[labels] + noise * rng.standard_normal((count, 4))).astype(np.float32), labels


def test_more_shots_are_better_and_draws_are_seeded():
    train, labels = unit_blobs(400, 0, 0.5)
    test, truth = unit_blobs(200, 1, 0.5)
    accuracies = [few_shot(train, labels, test, truth, shots=n, draws=15).draws.mean() for n in (1, 5, 50)]
    assert accuracies[0] < accuracies[1] < accuracies[2]
    one, two = (few_shot(train, labels, test, truth, shots=3, seed=7) for _ in range(2))
    assert (one.draws == two.draws).all()
    assert one.right.mean() == pytest.approx(one.draws.mean())


def test_all_shots_are_the_nearest_class_mean():
    train, labels = unit_blobs(40, 2, 0.3)
    test, truth = unit_blobs(60, 3, 0.3)
    found = few_shot(train, labels, test, truth, shots=10, draws=3)
    units = train / np.linalg.norm(train, axis=1, keepdims=True)
    means = np.stack([units[labels == c].mean(axis=0) for c in range(4)])
    expected = (test @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)
    assert (found.labels == expected).all()
    assert found.draws.std() == 0


def test_more_shots_than_images_are_refused():
    train, labels = unit_blobs(8, 4, 0.1)
    with pytest.raises(FeatureError, match="smallest class has 2 training images; choose 1 to 2"):
        few_shot(train, labels, train, labels, shots=3)
