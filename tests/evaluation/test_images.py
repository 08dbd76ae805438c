import numpy as np
import pytest

from core.evaluation.images import area_resize, centred_square


@pytest.mark.parametrize("size", [1, 7, 16, 31, 64, 100, 224])
def test_area_resize_is_adaptive_averaging_as_torch_has_it(size):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).random((2, 3, 64, 48)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(image), size=(size, size), mode="area").numpy()
    assert np.abs(area_resize(image, size) - theirs).max() < 1e-6


def test_area_resize_keeps_the_mean_and_the_picture_of_its_own_size():
    image = np.random.default_rng(1).random((3, 64, 64)).astype(np.float32)
    assert np.allclose(area_resize(image, 16).mean(axis=(1, 2)), image.mean(axis=(1, 2)), atol=1e-6)
    assert area_resize(image, 64).tobytes() == image.tobytes()


def test_the_centred_square_is_cut_from_the_middle():
    image = np.zeros((1, 4, 10), np.float32)
    image[:, :, 3:7] = 1
    assert centred_square(image).shape == (1, 4, 4)
    assert centred_square(image).min() == 1
