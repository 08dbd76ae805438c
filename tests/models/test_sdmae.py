"""SDMAE beyond the recorded numbers: its views, its options, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import cards, create
from core.models.base import ModelInputError, TrainingBatch
from core.models.sdmae import SDMAE, SDMAEObjective
from core.models.views import Colour, crop_view, recolour

SMALL: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 4,
    "decoder_embed_dim": 32,
    "decoder_num_heads": 4,
    "mlp_dim": 64,
}


def network(**options: Any) -> SDMAE:
    torch.manual_seed(0)
    return create("sdmae", **{**SMALL, **options})


def batch(count: int = 4, side: int = 32) -> TrainingBatch:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    targets = torch.nn.functional.interpolate(coarse, size=(2 * side, 2 * side), mode="bicubic")
    return TrainingBatch(torch.nn.functional.avg_pool2d(targets, 2), targets, torch.full((count,), 2.0))


def keep(count: int = 4, cells: int = 16, visible: int = 4) -> Tensor:
    return torch.rand(count, cells, generator=torch.Generator().manual_seed(1)).argsort(1)[:, :visible]


def test_thirty_steps_on_one_batch_cut_the_loss() -> None:
    objective = SDMAEObjective(network(trainable_patch_embed=True), seed=1).train()
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], 3e-3)
    totals = []
    for _ in range(30):
        losses = objective(batch(), keep())
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert set(losses) == {"con", "loc", "ctr"}
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])
    assert int(objective.steps) == 30


def test_hidden_pixels_never_reach_the_encoder() -> None:
    net, visible = network(), keep()
    images = batch().images
    hidden = torch.ones(4, 16).scatter(1, visible, 0.0).reshape(4, 1, 4, 4)
    noise = torch.where(
        hidden.repeat_interleave(8, 2).repeat_interleave(8, 3).bool(), torch.randn_like(images), images
    )
    res = torch.ones(4)
    assert torch.equal(net.encode(images, res, visible), net.encode(noise, res, visible))
    assert torch.equal(
        net.reconstruct(images, res, visible).combined, net.reconstruct(noise, res, visible).combined
    )


@pytest.mark.parametrize("aware", [False, True])
def test_res_matters_exactly_when_the_card_says_so(aware: bool) -> None:
    net, images = network(gsd_aware=aware), batch().images
    near, far = net.encode(images, torch.ones(4)), net.encode(images, torch.full((4,), 5.0))
    assert net.card.gsd_aware is aware
    assert torch.equal(near, far) is not aware


def test_it_predicts_one_band_and_derives_the_others() -> None:
    net = network(band_config=(2, 8))
    out = net.reconstruct(batch().images, torch.ones(4), keep())
    assert out.low.shape == out.high.shape == out.combined.shape == (4, 3, 32, 32)
    torch.testing.assert_close(net.recombine(out.low, out.high), out.combined, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("embed_dim", "num_heads", "patch_size"), [(96, 3, 8), (64, 4, 4)])
def test_contrastive_width_is_that_of_a_patch_not_of_the_encoder(
    embed_dim: int, num_heads: int, patch_size: int
) -> None:
    net = network(embed_dim=embed_dim, num_heads=num_heads, patch_size=patch_size)
    assert net.base_ctr(torch.randn(2, 5, patch_size**2 * 3)).shape == (2, patch_size**2 * 3)
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.base_ctr.parameters(), net.momentum_ctr.parameters(), strict=True)
    )


def test_patch_embedding_stays_where_it_started_unless_asked() -> None:
    assert not any(p.requires_grad for p in network().encoder.patch_embed.parameters())
    assert all(p.requires_grad for p in network(trainable_patch_embed=True).encoder.patch_embed.parameters())


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(ModelInputError, match="batch of one"):
        SDMAEObjective(network()).train()(batch(1), keep(1))


def test_no_mask_is_refused() -> None:
    with pytest.raises(ModelInputError, match="keep"):
        SDMAEObjective(network())(batch(), None)


def test_another_grid_is_refused_by_the_location_task() -> None:
    with pytest.raises(ModelInputError, match="16 positions but the pictures have 64"):
        SDMAEObjective(network())(batch(side=64), keep(cells=64))


def test_heads_that_do_not_divide_the_patch_are_refused() -> None:
    with pytest.raises(ModelInputError, match="192 cannot be split into 5 heads"):
        network(embed_dim=60, num_heads=5)


def test_momentum_branch_moves_in_training_only() -> None:
    net = network(momentum=0.5)
    objective = SDMAEObjective(net)
    with torch.no_grad():
        net.base_ctr.head[0].weight.add_(1.0)
    before = net.momentum_ctr.head[0].weight.clone()
    objective.eval()(batch(), keep())
    assert torch.equal(before, net.momentum_ctr.head[0].weight)
    objective.train()(batch(), keep())
    torch.testing.assert_close(net.momentum_ctr.head[0].weight, before + 0.5)


def test_our_additional_options_change_the_second_view() -> None:
    plain, ours = (
        SDMAEObjective(network()),
        SDMAEObjective(network(), scale_shift=(0.4, 0.8), flips=True, quarter_turns=True),
    )
    first, second = plain.views(batch(), torch.Generator().manual_seed(0))
    assert torch.equal(first.res, second.res) and float(first.res[0]) == pytest.approx(2 * 0.875, rel=0.02)
    shifted = ours.views(batch(), torch.Generator().manual_seed(0))[1]
    assert len(set(shifted.res.tolist())) == 4
    assert bool(((shifted.res / first.res >= 0.4) & (shifted.res / first.res <= 0.8)).all())


def test_location_as_cross_entropy_starts_near_chance() -> None:
    losses = SDMAEObjective(network(), location="cross_entropy")(batch(), keep())
    assert 4 < losses["loc"].item() < 9  # two views, log(16) = 2.77 each


def test_views_come_from_the_seed_alone() -> None:
    a, b, c = (
        SDMAEObjective(network().eval(), seed=seed).eval()(batch(), keep())["con"] for seed in (1, 1, 2)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_a_whole_crop_is_the_picture_and_turns_keep_its_pixels() -> None:
    picture, res = batch().images, torch.ones(4)
    whole = crop_view(picture, res, 32, torch.Generator().manual_seed(0), span=(1.0, 1.0))
    torch.testing.assert_close(whole.images, picture, atol=1e-5, rtol=0)
    turned = crop_view(
        picture, res, 32, torch.Generator().manual_seed(0), span=(1.0, 1.0), flips=True, quarter_turns=True
    ).images
    for one, original in zip(turned, picture, strict=True):
        eight = [torch.rot90(side, k, (1, 2)) for side in (original, original.flip(2)) for k in range(4)]
        assert min(float((one - other).abs().max()) for other in eight) < 1e-4


def test_corner_crop_is_the_top_left() -> None:
    picture = batch().images
    corner = crop_view(
        picture, torch.ones(4), 16, torch.Generator().manual_seed(0), span=(0.5, 0.5), corner=True
    )
    torch.testing.assert_close(corner.images, picture[:, :, :16, :16], atol=1e-5, rtol=0)
    assert float(corner.res[0]) == 0.5


def test_grey_pictures_are_grey_and_no_strength_changes_nothing() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    picture = (torch.rand(4, 3, 8, 8) - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    still = recolour(picture, torch.Generator().manual_seed(0), Colour(0, 0, 0, 0, 1.0, 0.0), mean, std)
    torch.testing.assert_close(still, picture, atol=1e-4, rtol=0)
    grey = recolour(picture, torch.Generator().manual_seed(0), Colour(grey_chance=1.0), mean, std)
    shown = grey * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    torch.testing.assert_close(shown[:, 0], shown[:, 2], atol=1e-5, rtol=0)


def test_presets_are_listed_with_a_description() -> None:
    known = cards()
    for name in ("sdmae_tiny", "sdmae_small", "sdmae_base"):
        assert known[name].reconstructs and known[name].description.count(". ") == 2
    tiny = create("sdmae_tiny", trained=False)
    assert (tiny.embed_dim, tiny.patch_size, tiny.card.input_px) == (192, 8, 64)
