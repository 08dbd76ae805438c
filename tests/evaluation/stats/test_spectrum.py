import numpy as np
import pytest

from core.evaluation.errors import EvaluationError
from core.evaluation.stats.spectrum import radial_power


def test_rings_add_up_to_the_variance():
    picture = np.random.default_rng(0).random((3, 48, 48))
    found = radial_power(picture, window=False)
    assert found.power.sum() == pytest.approx(picture.var(axis=(1, 2)).mean())


def test_wave_has_its_power_in_its_ring():
    x = np.arange(64)
    picture = np.sin(2 * np.pi * 6 * x / 64)[None, None].repeat(64, 1)
    for window in (False, True):
        found = radial_power(picture, window=window)
        assert found.cycles[found.power.argmax()] == 6
    assert radial_power(picture, window=False).power[5] == pytest.approx(0.5)


def test_only_square_images_are_accepted():
    with pytest.raises(EvaluationError, match="square"):
        radial_power(np.zeros((3, 8, 9)))
