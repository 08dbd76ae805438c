"""Fills against brute force; hidden pixels are never read."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core.evaluation.baselines.fills import FILLS, fill_harmonic, fill_nearest, fill_telea, fill_visible_mean
from core.masking import MaskSpec, make_mask

Image = NDArray[np.float32]


def smooth(size: int = 64) -> Image:
    y, x = np.mgrid[:size, :size] / size
    return np.stack([0.2 + 0.6 * x, 0.5 + 0.3 * np.sin(4 * y), x * y]).astype(np.float32)


@pytest.fixture(params=list(FILLS))
def fill(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("kind", ["random", "centre", "border", "stripes"])
def test_visible_pixels_stay_and_hidden_ones_are_not_read(fill: str, kind: str) -> None:
    image = smooth()
    hidden = make_mask(MaskSpec(kind, 0.6, 3), 8, 8).pixels(8)
    filled = FILLS[fill](image, hidden)
    assert filled.dtype == np.float32 and filled.shape == image.shape and np.isfinite(filled).all()
    assert (filled[:, ~hidden] == image[:, ~hidden]).all()
    for other in (np.nan, 0.0, 7.0):
        changed = np.where(hidden, np.float32(other), image)
        with np.errstate(invalid="raise"):
            assert (FILLS[fill](changed, hidden) == filled).all()


def test_nothing_hidden_gives_the_image_and_everything_hidden_mid_grey(fill: str) -> None:
    image = smooth(16)
    same = FILLS[fill](image, np.zeros((16, 16), np.bool_))
    assert (same == image).all() and same is not image
    assert (FILLS[fill](image, np.ones((16, 16), np.bool_)) == 0.5).all()


def test_a_mask_of_another_size_is_refused(fill: str) -> None:
    with pytest.raises(ValueError, match="mask"):
        FILLS[fill](smooth(16), np.zeros((8, 16), np.bool_))


def test_every_fill_keeps_a_flat_image_flat(fill: str) -> None:
    image = np.full((3, 32, 32), 0.3, np.float32)
    hidden = make_mask(MaskSpec("random", 0.75, 1), 4, 4).pixels(8)
    assert abs(FILLS[fill](image, hidden) - 0.3).max() < 1e-4


def test_visible_mean_is_the_mean_of_what_is_visible() -> None:
    image = smooth()
    hidden = make_mask(MaskSpec("random", 0.75, 2), 8, 8).pixels(8)
    filled = fill_visible_mean(image, hidden)
    for channel in range(3):
        assert np.allclose(filled[channel][hidden], image[channel][~hidden].mean(), atol=1e-6)


def test_nearest_copies_one_of_the_nearest_visible_patches() -> None:
    image = np.random.default_rng(0).random((3, 48, 48)).astype(np.float32)
    mask = make_mask(MaskSpec("random", 0.75, 4), 6, 6).hidden
    filled = fill_nearest(image, mask.repeat(8, 0).repeat(8, 1))
    visible = np.argwhere(~mask)
    for row, col in np.argwhere(mask):
        distance = ((visible - (row, col)) ** 2).sum(axis=1)
        nearest = visible[distance == distance.min()]
        got = filled[:, row * 8 : row * 8 + 8, col * 8 : col * 8 + 8]
        assert any((got == image[:, r * 8 : r * 8 + 8, c * 8 : c * 8 + 8]).all() for r, c in nearest)


def test_nearest_in_a_free_form_mask_is_the_nearest_pixel() -> None:
    image = np.random.default_rng(0).random((1, 9, 9)).astype(np.float32)
    hidden = np.zeros((9, 9), np.bool_)
    hidden[2:7, 3] = True
    filled = fill_nearest(image, hidden)
    for row in range(2, 7):
        assert filled[0, row, 3] in {image[0, row, 2], image[0, row, 4], image[0, 1, 3], image[0, 7, 3]}


def test_harmonic_solves_laplace_with_a_mirrored_rim() -> None:
    image = np.random.default_rng(1).random((2, 24, 20)).astype(np.float32)
    hidden = np.random.default_rng(2).random((24, 20)) < 0.7
    filled = fill_harmonic(image, hidden).astype(np.float64)
    around = np.pad(
        filled, ((0, 0), (1, 1), (1, 1)), mode="edge"
    )  # a mirrored rim: the pixel outside equals the one inside
    mean = (around[:, 2:, 1:-1] + around[:, :-2, 1:-1] + around[:, 1:-1, 2:] + around[:, 1:-1, :-2]) / 4
    assert abs((filled - mean)[:, hidden]).max() < 1e-6


def test_harmonic_continues_a_ramp_exactly() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 40, dtype=np.float32)[None, :, None], (3, 40, 40)).copy()
    hidden = np.zeros((40, 40), np.bool_)
    hidden[10:30, 5:35] = True
    assert abs(fill_harmonic(ramp, hidden) - ramp).max() < 1e-6


def test_telea_fills_a_hole_in_a_smooth_image_better_than_the_mean() -> None:
    image = smooth()
    hidden = make_mask(MaskSpec("random", 0.3, 2), 8, 8).pixels(8)
    telea, mean = (
        abs(fill(image, hidden) - image)[:, hidden].mean() for fill in (fill_telea, fill_visible_mean)
    )
    assert telea < mean / 4
