import numpy as np
import pytest

from core.evaluation.errors import FeatureError
from core.evaluation.stats.areas import map_accuracy


def test_the_worked_example_of_the_paper():
    """Olofsson et al. 2014, section 5: deforestation, gain, stable forest, stable non-forest."""
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    mapped = np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09  # ha, from pixels of 30 m
    found = map_accuracy(counts, mapped)
    assert (found.overall, found.overall_half) == pytest.approx((0.95, 0.02), abs=0.005)
    np.testing.assert_allclose(found.users, (0.88, 0.73, 0.93, 0.96), atol=0.005)
    np.testing.assert_allclose(found.producers, (0.75, 0.85, 0.93, 0.96), atol=0.005)
    hectares = mapped.sum()
    np.testing.assert_allclose(found.share * hectares, (21_158, 11_686, 285_770, 581_386), atol=1)
    np.testing.assert_allclose(found.share_half * hectares, (6_158, 3_756, 15_510, 16_282), atol=1)


def test_a_perfect_map_keeps_its_areas():
    found = map_accuracy(np.diag([10, 10]), np.array([30.0, 70.0]))
    assert found.overall == 1
    np.testing.assert_allclose(found.share, (0.3, 0.7))


def test_a_class_without_samples_is_refused():
    with pytest.raises(FeatureError, match="at least 2"):
        map_accuracy(np.array([[5, 0], [0, 1]]), np.array([1.0, 1.0]))
