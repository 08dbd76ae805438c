import numpy as np
import pytest

from core.evaluation.errors import FeatureError
from core.evaluation.protocols.agreement import linear_cka, neighbour_overlap


def vectors(count=200, width=12, seed=0):
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


def test_cka_ignores_rotation_scale_and_width_and_sees_independence():
    a = vectors()
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((12, 12)))
    turned = (3 * a @ rotation + 5).astype(np.float32)
    assert linear_cka(a, turned) == pytest.approx(1, abs=1e-6)
    assert linear_cka(a, np.concatenate([turned, turned], axis=1)) == pytest.approx(1, abs=1e-6)
    assert linear_cka(a, vectors(seed=2)) < 0.2


def test_cka_equals_its_kernel_form():
    a, b = vectors(60, 5, 3), vectors(60, 9, 4) + np.repeat(vectors(60, 1, 3), 9, axis=1)
    centre = np.eye(60) - 1 / 60
    k, m = (centre @ (x.astype(float) @ x.T.astype(float)) @ centre for x in (a, b))
    assert linear_cka(a, b) == pytest.approx((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()), rel=1e-6)


def test_overlap_is_one_with_itself_and_about_chance_with_noise():
    a = vectors()
    assert neighbour_overlap(a, a).min() == 1
    assert neighbour_overlap(a, 2 * a).min() == 1
    assert neighbour_overlap(a, vectors(seed=5)).mean() == pytest.approx(20 / 199, abs=0.03)


def test_an_image_is_not_its_own_neighbour_even_among_equal_ones():
    same = np.ones((30, 4), np.float32)
    assert neighbour_overlap(same, same, k=5).shape == (30,)
    with pytest.raises(FeatureError, match="same images"):
        linear_cka(vectors(10), vectors(11))
    with pytest.raises(FeatureError, match="choose a smaller k"):
        neighbour_overlap(vectors(10), vectors(10), k=10)
