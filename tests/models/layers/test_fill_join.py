"""Networks on top of a fill start as that fill, and their encoder learns even where the fill would do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.models.base import TrainingBatch
from core.models.layers.fill_join import FillJoin
from core.models.registry import create, families

SIZES = {
    "mae": {"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2},
    "scale_mae": {
        "decoder_embed_dim": 16,
        "decoder_depth": 1,
        "decoder_num_heads": 2,
        "fcn_dim": 16,
        "fcn_layers": 1,
        "head_scale": 4,
    },
}
TRUNK = {
    "img_size": 40,
    "patch_size": 8,
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "centre": "visible_harmonic",
}


def batch(count: int = 3) -> tuple[TrainingBatch, Tensor]:
    torch.manual_seed(0)
    keep = torch.stack([torch.randperm(25)[:8] for _ in range(count)])
    return TrainingBatch(torch.rand(count, 3, 40, 40), torch.rand(count, 3, 80, 80), torch.ones(count)), keep


@pytest.mark.parametrize("family", SIZES)
def test_an_untrained_network_reconstructs_nearly_the_fill(family: str) -> None:
    torch.manual_seed(1)
    network = create(family, trained=False, **TRUNK, **SIZES[family]).eval()
    given, keep = batch()
    with torch.inference_mode():
        made = network.reconstruct(given.images, given.res, keep)
    fill = made.base.clamp(0, 1)
    assert made.combined.shape == fill.shape
    assert (made.combined - fill).abs().mean() < 0.1 * (fill - given.images.mean()).abs().mean().clamp(
        min=0.1
    )


@pytest.mark.parametrize("family", SIZES)
def test_the_encoder_learns_from_its_own_loss_while_the_join_adds_nothing(family: str) -> None:
    network = create(family, trained=False, **TRUNK, **SIZES[family]).train()
    objective = families()[family].objective(network, log_each=True)
    for parameter in network.join.leave.parameters():
        torch.nn.init.zeros_(parameter)
    given, keep = batch()
    losses = objective(given, keep)
    losses["imagined"].backward()
    assert network.blocks[0].attn.qkv.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in network.join.parameters()), (
        "the prediction is scored before it is joined"
    )


@pytest.mark.parametrize("family", SIZES)
def test_without_a_fill_there_is_neither_join_nor_second_loss(family: str) -> None:
    network = create(family, trained=False, **{**TRUNK, "centre": "visible_mean"}, **SIZES[family])
    given, keep = batch()
    assert network.join is None and not [key for key in network.state_dict() if key.startswith("join")]
    assert "imagined" not in families()[family].objective(network)(given, keep)


def test_a_join_sees_the_neighbours_of_a_patch_and_not_the_far_end() -> None:
    torch.manual_seed(2)
    join = FillJoin(4, 6, patch=4, width=8, depth=1)
    imagined, known, hidden = torch.zeros(1, 4, 9, 9), torch.zeros(1, 3, 36, 36), torch.ones(1, 1, 36, 36)
    moved = known.clone()
    moved[:, :, 16:20, 16:20] = 1
    felt = (join(imagined, moved, hidden) - join(imagined, known, hidden)).abs().amax((0, 1)) > 1e-7
    assert felt.shape == (9, 9) and felt[4, 4] and felt[4, 3] and not felt[0].any() and not felt[:, 8].any()
