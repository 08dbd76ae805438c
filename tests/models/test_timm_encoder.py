"""Encoders of timm by name: every kind gives its own vectors, and files are read as untrusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.engine.embed import embed
from core.engine.inputs import InputError
from core.engine.loaded import _build
from core.engine.reconstruct import require_reconstructor
from core.models.base import ModelInputError
from core.models.layers.vit import prepare_timm
from core.models.opening import open_model
from core.models.pooling import pooled, poolings, vector_width
from core.models.registry import ModelNameError
from tests.thorough import a_few

create_model = prepare_timm()


@pytest.mark.parametrize(
    ("name", "side", "offered"),
    a_few(
        [
            ("vit_tiny_patch16_224", 224, ("vector", "cls", "mean")),
            ("vit_tiny_patch16_224", 112, ("vector", "cls", "mean")),
            ("vit_small_patch16_dinov3", 256, ("vector", "cls", "mean")),
            ("resnet10t", 160, ("vector", "mean")),
            ("swin_tiny_patch4_window7_224", 224, ("vector", "mean")),
            ("convnext_atto", 96, ("vector", "mean")),
        ],
        2,
    ),
)
def test_every_kind_of_network_embeds(name: str, side: int, offered: tuple[str, ...]) -> None:
    model = _build(f"timm:{name}").cpu()
    assert set(poolings(model)) == set(offered)
    assert poolings(model)[0] == "vector"
    images, res = torch.randn(2, 3, side, side), torch.ones(2)
    grid = side // model.patch_size
    with torch.no_grad():
        tokens = model.encode(images, res)
        assert tokens.shape == (2, 1 + grid * grid, model.embed_dim)
        for pooling in offered:
            vectors = pooled(model, images, res, pooling)
            assert vectors.shape == (2, vector_width(model, pooling))
            assert bool(vectors.isfinite().all())
        expected = model.network.forward_head(model.network.forward_features(images), pre_logits=True)
        assert torch.allclose(pooled(model, images, res, "vector"), expected.flatten(1))


def test_random_weights_are_the_same_everywhere() -> None:
    one, other = _build("timm:resnet10t"), _build("timm:resnet10t")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert one.card.weights is None
    assert not one.card.trained


def test_a_file_with_its_architecture(tmp_path: Path) -> None:
    torch.manual_seed(3)
    source = create_model("resnet10t", num_classes=10).eval()
    save_file(source.state_dict(), tmp_path / "mine.safetensors")
    model = open_model(f"timm:resnet10t@{tmp_path / 'mine.safetensors'}")
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.allclose(
            model.vector(images, torch.ones(2)),
            source.forward_head(source.forward_features(images), pre_logits=True),
        )
    assert model.card.trained
    assert model.card.name == "mine"
    assert model.report is not None
    assert model.report.variant == "timm's resnet10t"
    with pytest.raises(ModelInputError, match=r"does not hold timm:resnet18: \d+ of \d+ tensors do not fit"):
        open_model(f"timm:resnet18@{tmp_path / 'mine.safetensors'}")


def test_dinos_original_file_gives_what_timm_gives(tmp_path: Path) -> None:
    from tests.models.checkpoints.test_lookalikes import LOADED

    state = LOADED["DINOv2 ViT-S/14"][0]()
    torch.manual_seed(0)
    state = {key: torch.randn_like(t) * 0.05 for key, t in state.items()}
    torch.save(state, tmp_path / "dinov2_vits14_pretrain.pth")
    reference = create_model("vit_small_patch14_dinov2", num_classes=0, dynamic_img_size=True).eval()
    reference.load_state_dict({key: t for key, t in state.items() if key != "mask_token"})
    model = open_model(tmp_path / "dinov2_vits14_pretrain.pth")
    images = torch.randn(1, 3, 112, 112)
    with torch.no_grad():
        assert torch.equal(model.encode(images, torch.ones(1)), reference.forward_features(images))
    assert model.card.licence == "Apache-2.0"


@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch16_dino",
        "no_such_network",
        "../../etc/passwd",
        "hf-hub:me/mine",
        "",
        "resnet18 ",
        "A" * 300,
    ],
)
def test_names_that_timm_does_not_have(name: str) -> None:
    with pytest.raises(ModelNameError, match="timm has no network called"):
        open_model(f"timm:{name}")


def test_a_typo_is_answered_with_similar_names() -> None:
    with pytest.raises(ModelNameError, match="vit_small_patch16_dinov3"):
        open_model("timm:vit_small_patch16_dinov4")


def test_it_embeds_and_says_that_it_cannot_reconstruct() -> None:
    model = _build("timm:resnet10t")
    pictures = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    assert embed(model, pictures, gsd_m=10.0).shape == (3, 512)
    with pytest.raises(InputError, match="is an encoder without a decoder"):
        require_reconstructor(model)
    with pytest.raises(ModelInputError, match="sees whole pictures only"):
        model.encode(torch.zeros(1, 3, 64, 64), torch.ones(1), torch.tensor([[0]]))
    with pytest.raises(ModelInputError, match="blocks are not accessible"):
        _ = model.backbone


def test_an_unsupported_size_is_reported() -> None:
    model = open_model("timm:swin_tiny_patch4_window7_224")
    with pytest.raises(ModelInputError, match=r"choose a multiple of 32 px, such as 224 px"):
        model.encode(torch.zeros(1, 3, 100, 100), torch.ones(1))
