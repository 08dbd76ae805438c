"""UperNet on every family of encoders: shapes, what learns, and levels of an untrained last block."""

import pytest
import torch

from core.models import create
from core.models.upernet import Segmenter
from tests.thorough import a_few

NAMES = ("mae_tiny", "scale_mae_tiny", "tinymim_tiny", "sdmae_tiny", "scale_contrast_tiny")


@pytest.mark.parametrize("name", a_few(NAMES, 2))
@pytest.mark.parametrize("frozen", a_few([True, False], 1))
def test_logits_have_four_times_the_patch_grid(name, frozen):
    encoder = create(name)
    network = Segmenter(encoder, 3, frozen=frozen).train()
    images, res = torch.randn(2, 3, 48, 48), torch.ones(2)
    logits = network(images, res)
    assert logits.shape == (2, 3, 24, 24)
    logits.square().mean().backward()
    learning = {key for key, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(key.startswith("head.") for key in learning)
    assert any(key.startswith("encoder.") for key in learning) != frozen
    if not frozen:
        stem = "encoder.stages" if name == "scale_contrast_tiny" else "patch_embed"
        assert any(stem in key for key in learning)
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 3, 16, 16), torch.ones(1)).shape == (1, 3, 8, 8)


def test_a_frozen_encoder_is_a_copy_that_stays_as_it_is():
    encoder = create("mae_tiny")
    network = Segmenter(encoder, 2, frozen=True).train()
    before = {key: tensor.clone() for key, tensor in network.encoder.state_dict().items()}
    groups = network.learning_groups(1e-2, 0.75, 0.05)
    torch.optim.AdamW(groups).step()
    network(torch.randn(2, 3, 32, 32), torch.ones(2)).sum().backward()
    torch.optim.AdamW(groups).step()
    assert all(torch.equal(before[key], tensor) for key, tensor in network.encoder.state_dict().items())
    assert not network.encoder.training and encoder is not network.encoder


def test_layers_learn_at_decaying_rates():
    network = Segmenter(create("mae_tiny"), 2, frozen=False)
    groups = network.learning_groups(1e-3, 0.5, 0.05)
    scale = {id(p): group["scale"] for group in groups for p in group["params"]}
    blocks = network.blocks()
    assert scale[id(network.head.classify.weight)] == 1
    assert scale[id(blocks[-1].mlp.fc1.weight)] == 0.5 and scale[id(blocks[-2].mlp.fc1.weight)] == 0.25
    assert {group["weight_decay"] for group in groups} == {0.0, 0.05}


def test_a_distilled_students_untrained_last_block_is_not_read_frozen():
    student = create("tinymim_tiny")
    assert student.distilled
    count = len(student.blocks)
    assert max(Segmenter(student, 2, frozen=True).levels) == count - 2
    assert max(Segmenter(student, 2, frozen=False).levels) == count - 1
