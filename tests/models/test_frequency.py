"""Low and high bands and centring: identities, agreement with other code, hidden pixels unread."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.evaluation.baselines.fills import fill_harmonic
from core.models.frequency import (
    centre_on,
    combine,
    hidden_pixels,
    high_target,
    low_target,
    masked_mean,
    mosaic,
    true_low_band,
)
from core.models.harmonic import divisors


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("bands", [(7, 56), (14, 224), (4, 16)])
def test_the_bands_of_a_picture_combine_to_the_picture(bands: tuple[int, int]) -> None:
    side = 448 if bands[0] in (7, 14) else 64
    targets = torch.randn(2, 3, side, side)
    whole = combine(low_target(targets, side // 2, bands), high_target(targets, bands), bands[0])
    torch.testing.assert_close(whole, targets, atol=1e-5, rtol=0)


def test_a_flat_picture_has_no_high_band() -> None:
    flat = torch.full((1, 3, 64, 64), 0.7)
    assert high_target(flat, (4, 16)).abs().max() <= 1e-5
    torch.testing.assert_close(low_target(flat, 32, (4, 16)), torch.full((1, 3, 32, 32), 0.7))


def test_second_band_counts_only_at_224_in_the_released_code_but_always_in_the_papers() -> None:
    targets = torch.randn(1, 3, 448, 448)
    assert torch.equal(low_target(targets, 112, (7, 56)), low_target(targets, 112, (7, 100)))
    assert not torch.equal(low_target(targets, 448, (7, 56)), low_target(targets, 448, (7, 224)))
    assert not torch.equal(true_low_band(targets, 112, (7, 56)), true_low_band(targets, 112, (7, 28)))
    assert true_low_band(targets, 112, (7, 56)).shape == (1, 3, 112, 112)


def test_mosaic_averages_blocks() -> None:
    picture = torch.randn(1, 1, 32, 32)
    blocks = picture.reshape(4, 8, 4, 8).mean((1, 3))
    torch.testing.assert_close(mosaic(picture, 4, 4)[0, 0], blocks)


def test_hidden_pixels_are_the_patches_that_are_not_kept() -> None:
    keep = torch.tensor([[0, 5], [3, 2]])
    hidden = hidden_pixels(keep, 3, 9)
    expected = np.ones((2, 1, 9, 9))
    for sample, positions in enumerate(keep.tolist()):
        for position in positions:
            row, column = divmod(position, 3)
            expected[sample, 0, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3] = 0
    assert np.array_equal(hidden.numpy(), expected)


def test_every_step_divides_the_one_before() -> None:
    assert divisors(16) == [16, 8, 4, 2, 1]
    assert divisors(14) == [14, 7, 1]
    assert divisors(9) == [9, 3, 1]
    assert divisors(1) == [1]


def test_dataset_centring_changes_nothing() -> None:
    images = torch.randn(2, 3, 32, 32)
    centring = centre_on(images, torch.tensor([[0], [3]]), 16, "dataset")
    assert torch.equal(centring.enter(images), images)
    assert torch.equal(centring.relative(images), images)


def test_visible_mean_measures_the_visible_pixels() -> None:
    images = torch.randn(1, 3, 32, 32) * 2 + torch.tensor([1.0, -2.0, 3.0])[None, :, None, None]
    centring = centre_on(images, torch.tensor([[1, 2]]), 16, "visible_mean")
    visible = torch.cat([images[0, :, :16, 16:].flatten(1), images[0, :, 16:, :16].flatten(1)], dim=1)
    torch.testing.assert_close(centring.base[0, :, 0, 0], visible.mean(1), atol=1e-5, rtol=1e-5)
    deviation = (visible - visible.mean(1, keepdim=True)).square().mean().add(1e-4).sqrt()
    assert float(centring.scale) == pytest.approx(float(deviation), rel=1e-4)


@pytest.mark.parametrize("visible", [3, 12, 24, 48])
@pytest.mark.parametrize("patch", [8, 14])
def test_harmonic_base_keeps_visible_pixels_and_solves_the_equation(patch: int, visible: int) -> None:
    side = 8 * patch
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    picture = torch.stack([rows + 0.5 * columns, torch.sin(3 * rows) * columns, rows * columns])[None]
    keep = torch.rand(1, 64).argsort(1)[:, :visible]
    base = centre_on(picture, keep, patch, "visible_harmonic").base
    hidden = hidden_pixels(keep, 8, side)[0, 0].bool()
    assert torch.equal(base[0][:, ~hidden], picture[0][:, ~hidden])
    solved = torch.from_numpy(fill_harmonic(picture[0].numpy(), hidden.numpy()))
    ours, mean = base[0] - solved, picture[0][:, ~hidden].mean(1)[:, None, None] - solved
    assert ours[:, hidden].square().mean().sqrt() < 0.001 * mean[:, hidden].square().mean().sqrt()


@pytest.mark.parametrize("centre", ["visible_mean", "visible_harmonic"])
def test_a_brighter_image_gives_a_brighter_base(centre: str) -> None:
    """Centring removes brightness and contrast: a x + b enters as x, and comes back as a x + b."""
    images, keep = torch.randn(1, 3, 32, 32), torch.tensor([[0, 3, 9, 12]])
    plain = centre_on(images, keep, 8, centre)  # type: ignore[arg-type]
    bright = centre_on(3 * images + 5, keep, 8, centre)  # type: ignore[arg-type]
    torch.testing.assert_close(bright.enter(3 * images + 5), plain.enter(images), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(bright.base, 3 * plain.base + 5, atol=1e-4, rtol=1e-4)


def test_log_each_averages_the_logarithms_of_errors_per_picture() -> None:
    error = torch.tensor([[1.0, 9.0], [100.0, 100.0]])
    hidden = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert torch.allclose(masked_mean(error, hidden), torch.tensor(201 / 3))
    assert torch.allclose(
        masked_mean(error, hidden, log_each=True), (torch.tensor([1.0, 100.0]) + 1e-3).log().mean()
    )
