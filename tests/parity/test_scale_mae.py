"""Scale-MAE against numbers recorded from the original code (rows 1 to 12 of models.md 6.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models import create
from core.models.frequency import combine, hidden_pixels, high_target, low_target
from core.models.layers.vit import gsd_positions
from core.models.scale_mae import ScaleMAE, ScaleMAEObjective

Read = Callable[[str], dict[str, Tensor]]
TINY: dict[str, Any] = {
    "img_size": 64,
    "patch_size": 16,
    "embed_dim": 64,
    "depth": 2,
    "num_heads": 4,
    "decoder_embed_dim": 32,
    "decoder_depth": 2,
    "decoder_num_heads": 4,
    "fcn_dim": 16,
    "fcn_layers": 2,
    "independent_fcn_head": True,
    "band_config": (2, 16),
}


@pytest.fixture(scope="module")
def main(recorded: Read) -> dict[str, Tensor]:
    return recorded("scalemae_tiny_main")


@pytest.fixture(scope="module")
def network(main: dict[str, Tensor]) -> ScaleMAE:
    return loaded(main)


def loaded(main: dict[str, Tensor], extra: dict[str, Tensor] | None = None, **options: Any) -> ScaleMAE:
    model = create("scale_mae", **{**TINY, **options})
    known = {**{key[2:]: tensor for key, tensor in main.items() if key.startswith("w/")}, **(extra or {})}
    model.load_state_dict({key: known[key] for key in model.state_dict()})
    return model


def kept(noise: Tensor, ratio: float = 0.75) -> Tensor:
    """The original's choice: the first positions in the order of its noise."""
    return noise.argsort(dim=1)[:, : int(noise.shape[1] * (1 - ratio))]


def worst(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


def watch(module: nn.Module, seen: dict[str, Tensor], name: str) -> None:
    module.register_forward_hook(lambda _module, _inputs, output: seen.__setitem__(name, output))


# Row 1 and 2 ----------------------------------------------------------------------------


def test_names_shapes_and_trainability_of_vit_l_are_the_originals(
    listing: Callable[[str], dict[str, Any]],
) -> None:
    with torch.device("meta"):
        model = create("scale_mae_large", trained=False)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    ours = {name: (tuple(tensor.shape), name in trainable) for name, tensor in model.state_dict().items()}
    theirs = listing("scalemae_vitl_keys")
    assert len(theirs) == 393
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "millions", "tensors"), [("scale_mae_large", 322.93, 393), ("scale_mae_base", 105.30, 249)]
)
def test_parameter_totals_are_the_papers(name: str, millions: float, tensors: int) -> None:
    with torch.device("meta"):
        state = create(name, trained=False).state_dict()
    assert len(state) == tensors
    assert round(sum(tensor.numel() for tensor in state.values()) / 1e6, 2) == millions


# Rows 3 and 4 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "width", "grid", "res", "rows", "columns"),
    [
        ("gsd_D32_g3_res1.0", 32, 3, [1.0], 1, 1),
        ("gsd_D64_g4_res0.3_1.0_10.0", 64, 4, [0.3, 1.0, 10.0], 1, 1),
        ("gsd_D1024_g14_res1.0", 1024, 14, [1.0], 13, 32),
        ("gsd_D512_g14_res2.5", 512, 14, [2.5], 13, 32),
    ],
)
def test_positions(
    recorded: Read, key: str, width: int, grid: int, res: list[float], rows: int, columns: int
) -> None:
    ours = gsd_positions(width, grid, torch.tensor(res))
    assert ours.dtype == torch.float32
    assert (ours[:, 0] == 0).all()
    assert worst(ours[:, ::rows, ::columns], recorded("scalemae_gsd_posembed")[key]) <= 2e-6


def test_positions_of_the_decoder_and_of_the_unused_target_grid(main: dict[str, Tensor]) -> None:
    assert worst(gsd_positions(32, 4, main["in/input_res"]), main["out/pos_embed_encoder_dec"]) <= 2e-6
    assert worst(gsd_positions(32, 8, main["in/target_res"]), main["out/pos_embed_target_dec"]) <= 2e-6


def test_doubling_res_is_skipping_every_second_position() -> None:
    coarse = gsd_positions(64, 4, torch.tensor([2.0]))[:, 1:].reshape(4, 4, 64)
    fine = gsd_positions(64, 7, torch.tensor([1.0]))[:, 1:].reshape(7, 7, 64)
    assert torch.equal(coarse, fine[::2, ::2])


def test_res_one_is_the_static_code(recorded: Read, main: dict[str, Tensor]) -> None:
    ours = gsd_positions(64, 4, torch.ones(1))[0]
    assert worst(ours, recorded("scalemae_gsd_posembed")["abs_D64_g4"].float()) <= 3e-6
    assert worst(ours[None], main["w/pos_embed"]) <= 3e-6


# Rows 5 to 8 ----------------------------------------------------------------------------


@torch.no_grad()
def test_all_tokens_and_the_cls_feature(network: ScaleMAE, main: dict[str, Tensor]) -> None:
    tokens = network.encode(main["in/imgs"], main["in/input_res"])
    assert worst(tokens, main["out/latent_full"]) <= 1e-5
    assert worst(tokens[:, 0], main["out/knn_feats"]) <= 1e-5
    other_grid = network.encode(main["in/imgs96"], main["in/res96"])
    assert worst(other_grid[:, 0], main["out/knn_feats96"]) <= 1e-5


def test_the_originals_mask_is_ours_from_its_noise(main: dict[str, Tensor]) -> None:
    keep = kept(main["in/noise"])
    assert torch.equal(hidden_pixels(keep, 4, 4).flatten(1), main["out/mask"])
    assert torch.equal(main["in/noise"].argsort(1).argsort(1), main["out/ids_restore"])


@torch.no_grad()
def test_every_stage_between_picture_and_heads(main: dict[str, Tensor]) -> None:
    network, seen = loaded(main), dict[str, Tensor]()
    for name, module in [
        ("mid/enc_block0", network.blocks[0]),
        ("mid/enc_block1", network.blocks[1]),
        ("out/latent_masked", network.norm),
        ("mid/dec_block0", network.decoder_blocks[0]),
        ("mid/dec_block1", network.decoder_blocks[1]),
        ("mid/fpn_high", network.fpn.fpn1),
        ("mid/fpn_low", network.fpn.fpn2),
    ]:
        watch(module, seen, name)
    network.decoder_blocks[0].register_forward_pre_hook(
        lambda _module, inputs: seen.__setitem__("mid/dec_in", inputs[0])
    )
    network.predict(main["in/imgs"], main["in/input_res"], kept(main["in/noise"]))
    assert {
        name: worst(tensor, main[name]) for name, tensor in seen.items() if worst(tensor, main[name]) > 1e-5
    } == {}
    assert len(seen) == 8


# Rows 9 to 11 ---------------------------------------------------------------------------


@torch.no_grad()
def test_low_high_and_combined(network: ScaleMAE, main: dict[str, Tensor]) -> None:
    keep = kept(main["in/noise"])
    made = network.reconstruct(main["in/imgs"], main["in/input_res"], keep)
    assert worst(made.low_raw, main["out/img_pred_low"]) <= 1e-5
    assert worst(made.high_raw, main["out/img_pred_high"]) <= 1e-5
    combined = network.recombine(made.low_raw, made.high_raw)
    assert worst(combined, main["out/img_pred_all"]) <= 1e-5
    std, mean = (
        torch.tensor(values)[None, :, None, None] for values in (network.card.std, network.card.mean)
    )
    assert worst((made.combined - mean) / std, main["out/img_pred_all"]) <= 1e-5


def test_targets(main: dict[str, Tensor]) -> None:
    assert worst(low_target(main["in/targets"], 64, (2, 16)), main["tgt/low"]) <= 1e-6
    assert worst(high_target(main["in/targets"], (2, 16)), main["tgt/high"]) <= 1e-6


@torch.no_grad()
def test_loss(network: ScaleMAE, main: dict[str, Tensor]) -> None:
    low, high = network.predict(main["in/imgs"], main["in/input_res"], kept(main["in/noise"]))
    losses = ScaleMAEObjective(network, "l2").losses(low, high, main["in/targets"], kept(main["in/noise"]))
    assert float(sum(losses.values())) == pytest.approx(float(main["out/loss"]), rel=1e-5)


VARIANTS: dict[str, tuple[dict[str, Any], str, float]] = {
    "l1_w075": ({}, "l1", 0.75),
    "band_64_64": ({"band_config": (64, 64)}, "l1", 0.75),
    "band_14_224": ({"band_config": (14, 224)}, "l2", 1.0),
    "shared_fcn": ({"independent_fcn_head": False}, "l2", 1.0),
    "progressive": ({"progressive": True}, "l2", 1.0),
    "multiscale_targets": ({}, "l2", 1.0),  # swaps in a class of identical mathematics: must change nothing
    "absolute_scale": ({"absolute_scale": True}, "l2", 1.0),
    "mask50": ({}, "l2", 1.0),
    "source48": ({}, "l2", 1.0),
    "source32": ({}, "l2", 1.0),
}


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_variant(recorded: Read, main: dict[str, Tensor], name: str) -> None:
    options, high_loss, weight = VARIANTS[name]
    theirs = {
        key.removeprefix(f"{name}/"): tensor
        for key, tensor in recorded("scalemae_tiny_variants").items()
        if key.startswith(f"{name}/")
    }
    network = loaded(
        main, {key[2:]: tensor for key, tensor in theirs.items() if key.startswith("w/")}, **options
    )
    images, targets, res = main["in/imgs"], main["in/targets"], main["in/input_res"]
    if name.startswith(
        "source"
    ):  # the original does this inside the model and takes its target from the small picture (models.md 1.8)
        side = int(name.removeprefix("source"))
        images, res = F.interpolate(images, size=(side, side), mode="area"), res * 64 / side
        targets = F.interpolate(images, size=(2 * side, 2 * side), mode="area")
    keep = kept(theirs["noise"], 0.5 if name == "mask50" else 0.75)

    low, high = network.predict(images, res, keep)

    assert worst(images[:, :, 1::4, 1::4], theirs["imgs_after_stride4"]) <= 1e-5
    for key, picture in [("low", low), ("high", high), ("all", combine(low, high, network.band_config[0]))]:
        assert worst(picture[:, :, 1::4, 1::4], theirs[f"img_pred_{key}_stride4"]) <= 1e-5, key
        assert float(picture.abs().mean()) == pytest.approx(
            float(theirs[f"img_pred_{key}_mean_abs"]), rel=1e-5
        ), key
    objective = ScaleMAEObjective(network, high_loss, weight)  # type: ignore[arg-type]
    losses = objective.losses(low, high, targets, keep)
    assert float(sum(losses.values())) == pytest.approx(float(theirs["loss"]), rel=1e-5)


# Row 12 ---------------------------------------------------------------------------------


def test_gradients_reach_every_trainable_tensor_but_the_unused_one(main: dict[str, Tensor]) -> None:
    network = loaded(main)
    low, high = network.predict(main["in/imgs"], main["in/input_res"], kept(main["in/noise"]))
    torch.stack(
        list(
            ScaleMAEObjective(network, "l2")
            .losses(low, high, main["in/targets"], kept(main["in/noise"]))
            .values()
        )
    ).sum().backward()
    reached = {
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and math.isfinite(parameter.grad.sum())
    }
    gradients = {name: network.get_parameter(name).grad for name in reached}
    reached = {name for name, gradient in gradients.items() if gradient.abs().sum() > 0}
    frozen = {"pos_embed", "decoder_pos_embed"}
    assert {name for name, parameter in network.named_parameters() if not parameter.requires_grad} == frozen
    assert reached == {name for name, _ in network.named_parameters()} - frozen - {"mask_token_decoder"}


# Row 22 ---------------------------------------------------------------------------------


@torch.no_grad()
def test_bfloat16_points_where_float32_does(network: ScaleMAE, main: dict[str, Tensor]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = network.encode(main["in/imgs"], main["in/input_res"])
    alike = F.cosine_similarity(tokens.float(), main["out/latent_full"], dim=2)
    assert float(alike.min()) >= 0.999
