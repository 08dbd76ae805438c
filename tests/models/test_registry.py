"""Names, sizes, cards, and weights that load only if they match their card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.errors import ExplorerError
from core.files import file_sha256
from core.models import cards, create, registry
from core.models.base import ModelInputError
from core.models.registry import ModelNameError, WeightsCard, WeightsError, write_card


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Ship weights for scale_mae_tiny in a folder of the test: called with changes to the card."""
    monkeypatch.setattr(registry, "WEIGHTS_FOLDER", tmp_path)

    def ship(
        name: str = "scale_mae_tiny",
        state: dict[str, torch.Tensor] | None = None,
        fields: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        torch.manual_seed(7)
        model = create(name, trained=False)
        path = tmp_path / f"{name}.safetensors"
        save_file(
            state
            if state is not None
            else {key: tensor.half() for key, tensor in model.state_dict().items()},
            path,
        )
        weights = WeightsCard(
            **{
                "file": path.name,
                "sha256": file_sha256(path),
                "licence": "Apache-2.0",
                "data": ("test tiles",),
                "images_seen": 1,
                "steps": 1,
                "hours": 0.1,
                "restarts": 0,
                "command": "python -m core train",
                "metrics": {"psnr_75": 20.0, "knn_eurosat": 0.5},
                **changes,
            }
        )
        write_card(replace(model.card, weights=weights, **(fields or {})), tmp_path)
        return path

    return ship


def test_all_sizes_of_scale_mae_exist_and_cards_are_consistent() -> None:
    assert {f"scale_mae_{size}" for size in ("tiny", "small", "base", "large")} <= set(cards())
    for name, card in cards().items():
        assert card.name == name
        assert card.input_px % card.patch_px == 0
        assert card.description.endswith(".")


def test_shipped_scores_of_reconstruction_come_from_the_same_images() -> None:
    """The best fill knows no weights, so it differs between cards only if their images do."""
    scored = [card.weights.metrics for card in cards().values() if card.weights is not None]
    for name in ("best_fill_psnr_75", "best_fill_psnr_50"):
        assert len({metrics[name] for metrics in scored if name in metrics}) == 1, name


def test_thin_decoders_of_tiny_and_small() -> None:
    for name in ("scale_mae_tiny", "scale_mae_small"):
        assert cards()[name].sizes["decoder_embed_dim"] <= 256
        assert cards()[name].sizes.get("unet_widths") or cards()[name].sizes["fcn_dim"] <= 256


def test_every_size_can_be_overridden() -> None:
    model = create(
        "scale_mae",
        img_size=48,
        patch_size=16,
        embed_dim=36,
        depth=1,
        num_heads=3,
        decoder_embed_dim=16,
        decoder_depth=1,
        decoder_num_heads=2,
        fcn_dim=8,
        fcn_layers=1,
        independent_fcn_head=False,
        progressive=True,
        band_config=[3, 24],
        absolute_scale=True,
    )
    assert model.card.input_px == 48
    assert model.card.gsd_aware is False
    assert model.band_config == (3, 24)
    assert not model.training


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("scale_mea", {}, "no model called"),
        ("scale_mae", {"norm_pix_loss": True}, "no size called norm_pix_loss"),
        ("scale_mae", {"embed_dim": 50, "num_heads": 5}, "divisible by 4"),
        ("scale_mae", {"embed_dim": 64, "num_heads": 5}, "cannot be split into 5 heads"),
        ("scale_mae", {"img_size": 100}, "cannot be divided into patches"),
    ],
)
def test_invalid_names_and_sizes_are_reported(name: str, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises((ModelNameError, ModelInputError), match=message) as answer:
        create(name, **sizes)
    assert isinstance(answer.value, ExplorerError)
    assert str(answer.value)[0] != "'"
    assert str(answer.value).endswith(".")


def test_the_global_seed_decides_random_weights() -> None:
    torch.manual_seed(3)
    one = create("scale_mae_tiny", trained=False).state_dict()
    torch.manual_seed(3)
    other = create("scale_mae_tiny", trained=False).state_dict()
    assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_weights_load_into_their_preset_only(shipped: Callable[..., Path]) -> None:
    shipped(fields={"default_policy": "log_gsd", "res_range": (0.5, 8.0), "notices": ()})
    model = create("scale_mae_tiny")
    assert model.card.trained
    assert (model.card.default_policy, model.card.res_range) == ("log_gsd", (0.5, 8.0))
    torch.manual_seed(7)
    random = create("scale_mae_tiny", trained=False)
    assert not random.card.trained
    assert torch.equal(model.blocks[3].mlp.fc1.weight, random.blocks[3].mlp.fc1.weight.half().float())
    assert not create("scale_mae_tiny", depth=2).card.trained
    assert registry.default_reconstructor() == registry.default_embedder() == "scale_mae_tiny"


def test_the_default_embedder_is_the_best_over_all_sets(shipped: Callable[..., Path]) -> None:
    shipped("scale_mae_tiny", metrics={"knn_eurosat": 0.92, "knn_harvey": 0.80})
    assert registry.default_embedder() == "scale_mae_tiny"
    shipped("scale_contrast_tiny", metrics={"knn_eurosat": 0.90, "knn_harvey": 0.84})
    assert registry.default_embedder() == "scale_contrast_tiny"


def test_without_weights_the_defaults_are_named_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "WEIGHTS_FOLDER", tmp_path)
    assert registry.default_reconstructor() in cards()
    assert registry.default_embedder() in cards()


def test_a_file_that_is_not_what_its_card_says_is_refused(shipped: Callable[..., Path]) -> None:
    path = shipped()
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(WeightsError, match="not the file its card describes"):
        create("scale_mae_tiny")
    path.unlink()
    with pytest.raises(WeightsError, match="missing"):
        create("scale_mae_tiny")
    assert not create("scale_mae_tiny", trained=False).card.trained


def test_weights_of_another_network_are_refused(shipped: Callable[..., Path]) -> None:
    wider = create("scale_mae_tiny", embed_dim=96).state_dict()
    shipped(state=wider)
    with pytest.raises(WeightsError, match="does not match"):
        create("scale_mae_tiny")
    fewer = create("scale_mae_tiny", trained=False).state_dict()
    del fewer["norm.weight"]
    shipped(state=fewer)
    with pytest.raises(WeightsError, match=r"norm\.weight"):
        create("scale_mae_tiny")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"weights": {}, "data": []}', '{"weights": {"file": "x"}, "data": [], "surprise": 1}'],
)
def test_a_card_that_cannot_be_read_says_so(shipped: Callable[..., Path], text: str) -> None:
    path = shipped().with_suffix(".json")
    path.write_text(text)
    with pytest.raises(WeightsError, match="restore it"):
        cards()


def test_what_is_written_on_a_card_is_read_back(shipped: Callable[..., Path]) -> None:
    path = shipped(notes="twice", fields={"mean": (0.4, 0.4, 0.4)})
    card = cards()["scale_mae_tiny"]
    assert card.mean == (0.4, 0.4, 0.4)
    assert card.weights is not None
    assert card.weights.notes == "twice"
    assert json.loads(path.with_suffix(".json").read_text())["weights"]["sha256"] == card.weights.sha256
