import numpy as np
import pytest

from core.evaluation.baselines.colours import colour_histogram
from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.plan import EvaluationPlan
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.subjects import ColourHistogram


def test_a_histogram_counts_colours_in_eight_steps():
    image = np.zeros((1, 3, 2, 2), np.float32)
    image[0, :, 0, 0] = 1.0
    found = colour_histogram(image)
    assert found.shape == (1, 512)
    assert found[0, 0] == pytest.approx(np.sqrt(0.75))
    assert found[0, 511] == pytest.approx(0.5)
    assert np.linalg.norm(found) == pytest.approx(1)


def test_eight_bit_values_fall_into_bins_of_thirty_two():
    values = np.arange(256, dtype=np.float32) / 255
    image = np.zeros((256, 3, 1, 1), np.float32)
    image[:, 2, 0, 0] = values
    assert (colour_histogram(image).argmax(axis=1) == np.arange(256) // 32).all()


@pytest.mark.slow
@pytest.mark.parametrize(("data", "expected"), [("eurosat", 0.754), ("ucmerced", 0.624), ("harvey", 0.857)])
def test_colour_histogram_reproduces_known_accuracies(shared_data, data, expected):
    found = [
        e
        for e in evaluate(EvaluationPlan(data=(data,)), [ColourHistogram()], folders=(shared_data,))
        if isinstance(e, Result)
    ]
    assert found[0].value == pytest.approx(expected, abs=0.005)
    assert found[0].low < expected < found[0].high


def test_colour_histogram_is_above_chance_on_a_synthetic_set(index_zip):
    found = [
        e
        for e in evaluate(EvaluationPlan(data=(str(index_zip),)), [ColourHistogram()], folders=())
        if isinstance(e, Result)
    ]
    assert found[0].value > 0.6
    assert found[0].recipe.policy is None
    assert open_set(DataSpec(str(index_zip)), ()).fingerprint == found[0].recipe.data_hash
