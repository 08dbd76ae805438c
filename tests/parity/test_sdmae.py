"""SDMAE against numbers recorded from the original code (rows 17 to 19 of models.md 6.1, and gradients)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.models import create
from core.models.sdmae import SDMAE, SDMAEObjective
from core.models.views import ImageView

Read = Callable[[str], dict[str, Tensor]]
TINY: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 4,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 4,
    "decoder_embed_dim": 32,
    "decoder_depth": 1,
    "decoder_num_heads": 4,
    "ctr_depth": 2,
    "mlp_dim": 64,
}


@pytest.fixture(scope="module")
def theirs(recorded: Read) -> dict[str, Tensor]:
    return recorded("sdmae_tiny")


def fresh(theirs: dict[str, Tensor], **options: Any) -> SDMAE:
    network = create("sdmae", **{**TINY, **options})
    network.load_state_dict({key[2:]: tensor for key, tensor in theirs.items() if key.startswith("w/")})
    return network.train()


def step(theirs: dict[str, Tensor], network: SDMAE) -> dict[str, Tensor]:
    res = torch.ones(4)
    return SDMAEObjective(network).losses(
        ImageView(theirs["in/s_imgs"], res), ImageView(theirs["in/w_imgs"], res), kept(theirs)
    )


def kept(theirs: dict[str, Tensor]) -> Tensor:
    return theirs["in/noise"].argsort(1)[:, :16]


def norms(network: nn.Module) -> dict[str, float]:
    return {name: float(p.grad.norm()) for name, p in network.named_parameters() if p.grad is not None}


def test_names_shapes_and_what_trains(
    listing: Callable[[str], dict[str, tuple[tuple[int, ...], bool]]],
) -> None:
    network = create("sdmae")
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    ours = {name: (tuple(tensor.shape), name in trainable) for name, tensor in network.state_dict().items()}
    assert len(ours) == 264
    assert ours == listing("sdmae_vitb_keys")


def test_mask_of_the_stored_noise(theirs: dict[str, Tensor]) -> None:
    hidden = torch.ones(4, 64).scatter(1, kept(theirs), 0.0)
    assert torch.equal(hidden, theirs["out/mask"])


def test_latents_locations_and_pixels(theirs: dict[str, Tensor]) -> None:
    network, res, keep = fresh(theirs), torch.ones(4), kept(theirs)
    for view in ("s", "w"):
        latent = network.encode(theirs[f"in/{view}_imgs"], res, keep)
        torch.testing.assert_close(latent, theirs[f"out/latent_{view}"], atol=1e-5, rtol=0)
        torch.testing.assert_close(
            network.locality(latent[:, 1:]), theirs[f"out/loc_{view}"], atol=1e-5, rtol=0
        )
        pixels = network.decode(latent, res, keep, 8)
        torch.testing.assert_close(pixels, theirs[f"out/decoder_pred_{view}"], atol=1e-5, rtol=0)


def test_queries_and_keys(theirs: dict[str, Tensor]) -> None:
    network = fresh(theirs)
    network.follow()
    one, two = theirs["out/decoder_pred_s"], theirs["out/decoder_pred_w"]
    found = {
        "q1": network.predictor(network.base_ctr(one)),
        "q2": network.predictor(network.base_ctr(two)),
        "k1": network.momentum_ctr(one),
        "k2": network.momentum_ctr(two),
    }
    for name, vectors in found.items():
        ours, expected = (
            nn.functional.normalize(vectors, dim=1),
            nn.functional.normalize(theirs[f"out/{name}"], dim=1),
        )
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=0)


def test_losses_moving_average_and_running_means(theirs: dict[str, Tensor]) -> None:
    network = fresh(theirs)
    losses = step(theirs, network)
    for name, weight in (("con", 1.0), ("loc", 1.0), ("ctr", 0.1)):
        expected = weight * (theirs[f"out/{name}_loss_0"] + theirs[f"out/{name}_loss_1"])
        torch.testing.assert_close(losses[name], expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(sum(losses.values()), theirs["out/loss"], rtol=1e-5, atol=0)
    after = network.state_dict()
    torch.testing.assert_close(
        after["momentum_ctr.head.0.weight"], theirs["after/momentum_ctr.head.0.weight"], atol=1e-6, rtol=0
    )
    for branch in ("base_ctr", "momentum_ctr"):
        key = f"{branch}.head.1.running_mean"
        torch.testing.assert_close(after[key], theirs[f"after/{key}"], atol=1e-5, rtol=0)


def test_loss_with_patches_normalised(theirs: dict[str, Tensor]) -> None:
    losses = step(theirs, fresh(theirs, norm_pix_loss=True))
    torch.testing.assert_close(sum(losses.values()), theirs["out/loss_norm_pix"], rtol=1e-5, atol=0)


def test_gradient_set_and_norms(theirs: dict[str, Tensor]) -> None:
    network = fresh(theirs)
    torch.stack(list(step(theirs, network).values())).sum().backward()
    expected = {
        key.removeprefix("gradnorm/"): float(value)
        for key, value in theirs.items()
        if key.startswith("gradnorm/")
    }
    ours = norms(network)
    assert ours.keys() == expected.keys()
    for name, norm in expected.items():
        assert ours[name] == pytest.approx(norm, rel=1e-4, abs=1e-5), name
