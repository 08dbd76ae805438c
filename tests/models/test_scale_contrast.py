"""Scale-Contrast's promises: views with their own res, a whitened vector of every level, and what it
refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.models import create
from core.models.base import ModelInputError, TrainingBatch
from core.models.layers.whitening import whitening
from core.models.scale_contrast import ScaleContrast, ScaleContrastObjective, nt_xent
from core.models.views import Colour

SMALL: dict[str, Any] = {
    "stem_dim": 8,
    "embed_dim": 24,
    "depth": 1,
    "num_heads": 2,
    "img_size": 32,
    "vector_dim": 32,
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def network(**sizes: Any) -> ScaleContrast:
    return create("scale_contrast", **{**SMALL, **sizes})


def batch(count: int = 16, side: int = 32) -> TrainingBatch:
    targets = torch.nn.functional.interpolate(
        torch.randn(count, 3, 6, 6), size=(2 * side, 2 * side), mode="bicubic"
    ) + torch.randn(count, 3, 1, 1)
    return TrainingBatch(torch.nn.functional.avg_pool2d(targets, 2), targets, torch.full((count,), 3.0))


def test_views_of_one_place_find_each_other_after_a_few_steps() -> None:
    objective = ScaleContrastObjective(
        network(), crop=(0.8, 1.0), colour=Colour(0.1, 0.1, 0.1, 0.0, 1.0, 0.0)
    ).train()
    optimiser = torch.optim.AdamW(objective.parameters(), 3e-3)
    pictures, seen = batch(), []
    for _ in range(30):
        losses = objective(pictures, None)
        optimiser.zero_grad()
        losses["nce"].backward()
        optimiser.step()
        seen.append(losses["nce"].item())
    assert set(losses) == {"nce"}
    assert sum(seen[-5:]) < 0.8 * sum(seen[:5])


def test_loss_of_perfect_pairs_and_of_strangers() -> None:
    axes = torch.eye(8)
    assert nt_xent(torch.cat([axes, axes]), 0.05).item() == pytest.approx(0, abs=1e-4)
    same = torch.ones(16, 8)
    assert nt_xent(same, 0.2).item() == pytest.approx(torch.tensor(15.0).log().item(), rel=1e-5)


def test_whitening_gives_strong_directions_equal_spread() -> None:
    mixed = (
        torch.randn(4000, 6, dtype=torch.float64)
        @ torch.randn(6, 12, dtype=torch.float64)
        * torch.logspace(-2, 2, 12)
    )
    centred = mixed - mixed.mean(0)
    made = centred @ whitening(centred.T @ centred / 4000, 6, 1e-6)
    torch.testing.assert_close(made.T @ made / 4000, torch.eye(6, dtype=torch.float64), atol=1e-3, rtol=0)


def test_vector_is_whitened_by_pictures_as_they_are() -> None:
    net = network().eval()
    ScaleContrastObjective(net).finish(net, [batch(64) for _ in range(8)])
    with torch.no_grad():
        made = net.vector(batch(256).images, torch.full((256,), 3.0))
    assert made.shape == (256, 32) and made.dtype == torch.float32
    parts = net.summary(*net.levels(batch(256).images, torch.full((256,), 3.0), None))
    made = net.whitening.joined(parts).split(net.whitening.part_dims, dim=1)
    for part in made:
        torch.testing.assert_close(part.norm(dim=1), torch.ones(256), atol=1e-4, rtol=0)
        assert part.mean(0).abs().max() < 0.5


def test_vector_knows_colours_that_tokens_may_forget() -> None:
    net = network().eval()
    pictures = batch().images
    assert not torch.allclose(
        net.vector(pictures, torch.ones(16)), net.vector(pictures + 0.5, torch.ones(16))
    )
    colours = net.summary(*net.levels(pictures, torch.ones(16), None))[2]
    torch.testing.assert_close(colours[:, :3], pictures.mean((2, 3)), atol=1e-5, rtol=0)


def test_every_view_has_the_res_of_its_own_pixels() -> None:
    objective = ScaleContrastObjective(network(), crop=(0.5, 0.5), log_slope=1.0)
    view = objective.view(batch(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(view.res, torch.full((16,), 3.0 + torch.tensor(0.5).log().item()))
    proportional = ScaleContrastObjective(network(), crop=(0.5, 0.5), log_slope=0.0)
    torch.testing.assert_close(
        proportional.view(batch(), torch.Generator().manual_seed(0)).res, torch.full((16,), 1.5)
    )


def test_a_batch_of_one_and_odd_patches_are_refused() -> None:
    with pytest.raises(ModelInputError, match="give 2 or more"):
        ScaleContrastObjective(network()).train()(batch(1), None)
    with pytest.raises(ModelInputError, match="power of two"):
        network(patch_size=6, img_size=36)
