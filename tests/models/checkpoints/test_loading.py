"""Weights in every published dialect, at small widths: outputs are unchanged, and the report is complete."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PosixPath
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.files import file_sha256
from core.models import create, load_checkpoint
from core.models.base import Encoder, Reconstructor
from core.models.checkpoints.loading import AmbiguousPositionsError, CheckpointError
from core.models.registry import WeightsCard, write_card
from core.models.scale_mae import ScaleMAE
from core.models.tinymim import TinyMIM

State = dict[str, Tensor]
TRUNK: dict[str, Any] = {"img_size": 64, "patch_size": 16, "embed_dim": 128, "depth": 2, "num_heads": 2}
DECODER: dict[str, Any] = {"decoder_embed_dim": 64, "decoder_depth": 2, "decoder_num_heads": 2}
SCALE_MAE: dict[str, Any] = {**TRUNK, **DECODER, "fcn_dim": 16, "fcn_layers": 1}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def official_args(**more: Any) -> Namespace:
    """Arguments as the original script saves them: plain values, a path, its data configuration."""
    config = {"dataset": {"type": "fmow"}, "sizes": [448], "bands": ("r", "g", "b")}
    return Namespace(
        **{"output_dir": PosixPath("/runs/x"), "lr": 1.5e-4, "resume": None, "config": config, **more}
    )


def written(path: Path, state: State, **beside: Any) -> Path:
    torch.save(
        {
            "model": OrderedDict(state),
            "optimizer": {"state": {}, "param_groups": []},
            "epoch": 799,
            "scaler": {},
            **beside,
        },
        path,
    )
    return path


def same_tokens(one: Encoder, other: Encoder, side: int = 64, encode: bool = True) -> None:
    cells = (side // one.card.patch_px) ** 2
    images, res, keep = (
        torch.randn(2, 3, side, side),
        torch.tensor([0.7, 3.0]),
        torch.rand(2, cells).argsort(1)[:, :5],
    )
    with torch.no_grad():
        if encode:
            assert torch.equal(one.encode(images, res, keep), other.encode(images, res, keep))
        if isinstance(one, Reconstructor):
            assert isinstance(other, Reconstructor)
            left, right = one.reconstruct(images, res, keep), other.reconstruct(images, res, keep)
            assert torch.equal(left.low_raw, right.low_raw)
            assert torch.equal(left.high_raw, right.high_raw)


def backbone_of(state: State) -> State:
    return {
        key: tensor
        for key, tensor in state.items()
        if key.split(".")[0] in ("cls_token", "pos_embed", "patch_embed", "blocks", "norm")
    }


# Scale-MAE ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"independent_fcn_head": False},
        {"progressive": True},
        {"absolute_scale": True},
        {"band_config": (14, 224)},
        {"fcn_layers": 2},
    ],
    ids=str,
)
def test_official_scale_mae(tmp_path: Path, options: dict[str, Any]) -> None:
    source = create("scale_mae", **{**SCALE_MAE, **options})
    state = {key: tensor for key, tensor in source.state_dict().items() if key != "mask_token_decoder"}
    bands, absolute = list(options.get("band_config", (7, 56))), options.get("absolute_scale", False)
    arguments = official_args(
        band_config=bands, absolute_scale=absolute, use_l1_loss=True, base_resolution=2.5
    )
    model = load_checkpoint(written(tmp_path / "scalemae-vitlarge-800.pth", state, args=arguments))

    assert isinstance(model, ScaleMAE)
    assert model.report is not None
    same_tokens(source, model)
    assert model.band_config == source.band_config
    assert model.report.missing == ("mask_token_decoder",)
    assert model.report.left_over == ()
    assert model.report.ignored == ("optimizer", "epoch", "scaler")
    assert model.report.tensors == len(state)
    assert model.report.training["high_loss"] == "l1"
    assert model.card.res_range == (2.23, 4.98)
    assert model.card.default_policy == "training_range"
    assert model.card.trained
    assert model.card.gsd_aware is not options.get("absolute_scale", False)
    assert "CC-BY-NC-4.0" in model.card.licence
    assert any("non-commercial" in notice for notice in model.card.notices)
    assert not model.training
    assert model.mask_token_decoder.requires_grad
    assert not model.pos_embed.requires_grad


def test_missing_arguments_are_assumed_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(create("scale_mae", **SCALE_MAE).state_dict(), path)
    report = load_checkpoint(path).report
    assert report is not None
    assert report.ignored == ()
    assert {note.split(" ")[0] for note in report.assumed} == {
        "num_heads",
        "decoder_num_heads",
        "band_config",
        "absolute_scale",
        "base_resolution",
    }
    assert report.training["high_loss"] == "unknown"
    assert all(sentence.endswith(".") for sentence in report.sentences())


def test_options_of_the_caller_win_and_are_not_reported_as_assumed(tmp_path: Path) -> None:
    source = create("scale_mae", **{**SCALE_MAE, "num_heads": 4, "decoder_num_heads": 8})
    path = tmp_path / "weights.pth"
    torch.save(source.state_dict(), path)
    model = load_checkpoint(path, num_heads=4, decoder_num_heads=8)
    same_tokens(source, model)
    assert model.report is not None
    assert not [note for note in model.report.assumed if "num_heads" in note]
    with pytest.raises(CheckpointError, match="num_heads") as answer:
        load_checkpoint(path, num_heads=10**9)
    assert str(answer.value).endswith(".")


@pytest.mark.parametrize("bands", [None, "7,56", [7], [0, 56], [7, 10**9], [7.5, 56], [True, 56]])
def test_invalid_bands_are_ignored(tmp_path: Path, bands: Any) -> None:
    path = written(
        tmp_path / "weights.pth",
        create("scale_mae", **SCALE_MAE).state_dict(),
        args=official_args(band_config=bands),
    )
    model = load_checkpoint(path)
    assert isinstance(model, ScaleMAE)
    assert model.band_config == (7, 56)
    assert model.report is not None
    assert any(note.startswith("band_config") for note in model.report.assumed)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", ["model", "state_dict", None])
def test_wrappers_and_prefixes(tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    source = create("scale_mae", **SCALE_MAE)
    state = {prefix + key: tensor for key, tensor in source.state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, path)
    same_tokens(source, load_checkpoint(path))


@pytest.mark.parametrize("make", ["legacy", "half", "double", "safetensors"])
def test_every_way_of_saving_is_read(tmp_path: Path, make: str) -> None:
    source = create("scale_mae", **SCALE_MAE)
    path = tmp_path / ("weights.safetensors" if make == "safetensors" else "weights.bin")
    if make == "safetensors":
        save_file(source.state_dict(), path)
    elif make == "legacy":
        torch.save(
            {"model": source.state_dict(), "args": official_args()},
            path,
            _use_new_zipfile_serialization=False,
        )
    else:
        dtype = torch.float16 if make == "half" else torch.float64
        torch.save({key: tensor.to(dtype) for key, tensor in source.state_dict().items()}, path)
    if make == "half":
        source.load_state_dict({key: tensor.half().float() for key, tensor in source.state_dict().items()})
    same_tokens(source, load_checkpoint(path))


def test_a_slice_of_a_larger_tensor_does_not_keep_the_whole(tmp_path: Path) -> None:
    source = create("scale_mae", **SCALE_MAE)
    pool = torch.cat([source.state_dict()["norm.weight"], torch.zeros(100_000)])
    path = tmp_path / "weights.pth"
    torch.save({**source.state_dict(), "norm.weight": pool[:128]}, path)
    model = load_checkpoint(path)
    same_tokens(source, model)
    assert model.get_parameter("norm.weight").untyped_storage().nbytes() == 512


# Encoders alone -------------------------------------------------------------------------


def encoder_file(
    path: Path, gsd: bool, prefix: str = "", drop: tuple[str, ...] = (), **beside: Any
) -> Encoder:
    source = create("encoder", **TRUNK, gsd_aware=gsd)
    state = {prefix + key: tensor for key, tensor in source.state_dict().items() if key not in drop}
    torch.save({"model": state, **beside} if beside else OrderedDict(state), path)
    return source


def test_torchgeos_export_is_an_encoder(tmp_path: Path) -> None:
    path = tmp_path / "vit_large_patch16_224_fmow_rgb_scalemae-98ed9821.pth"
    source = encoder_file(path, gsd=True)
    model = load_checkpoint(path)
    assert not isinstance(model, Reconstructor)
    assert model.card.gsd_aware
    same_tokens(source, model)
    assert model.report is not None
    assert "torchgeo" in model.report.variant
    assert any(
        "needs the full file" in notice or "need the full file" in notice for notice in model.card.notices
    )
    assert any("CC-BY-NC-4.0" in notice for notice in model.card.notices)


def test_rshfs_prefix_is_evidence_of_gsd_positions(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    source = encoder_file(path, gsd=True, prefix="model.", drop=("pos_embed",))
    model = load_checkpoint(path, img_size=64)
    same_tokens(source, model)
    assert model.report is not None
    assert "rshf" in model.report.variant
    assert "pos_embed" in model.report.missing
    assert any("CC-BY-NC-4.0" in notice for notice in model.card.notices)


@pytest.mark.parametrize(("positions", "gsd"), [("gsd", True), ("static", False)])
def test_an_encoder_without_evidence_needs_stated_positions(
    tmp_path: Path, positions: Any, gsd: bool
) -> None:
    path = tmp_path / "encoder.pth"
    source = encoder_file(path, gsd)
    with pytest.raises(AmbiguousPositionsError, match="positions='gsd'") as answer:
        load_checkpoint(path)
    assert str(answer.value).endswith(".")
    model = load_checkpoint(path, positions=positions)
    same_tokens(source, model)
    assert model.card.gsd_aware is gsd
    with pytest.raises(CheckpointError, match="positions is"):
        load_checkpoint(path, positions="both")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "gsd"),
    [
        (official_args(base_resolution=2.5), True),
        (official_args(base_resolution=2.5, absolute_scale=True), False),
        (official_args(model="mae_vit_base_patch16", norm_pix_loss=False), False),
    ],
    ids=["scale-mae", "absolute", "another script"],
)
def test_arguments_decide_about_positions(tmp_path: Path, arguments: Namespace, gsd: bool) -> None:
    path = tmp_path / "checkpoint-300.pth"
    source = encoder_file(path, gsd, args=arguments, epoch=1)
    model = load_checkpoint(path)
    assert model.card.gsd_aware is gsd
    same_tokens(source, model)


@pytest.mark.parametrize("evidence", ["args", "name"])
def test_tinymim_students_are_embedded_before_their_untrained_tail(tmp_path: Path, evidence: str) -> None:
    path = tmp_path / ("checkpoint-299.pth" if evidence == "args" else "TinyMIM-PT-B.pth")
    source = create("tinymim", **{**TRUNK, "embed_dim": 192, "num_heads": 6}, last_heads=12)
    beside = {"args": official_args(model="tinymim_vit_tiny_patch16")} if evidence == "args" else {}
    model = load_checkpoint(written(path, source.state_dict(), **beside))
    assert isinstance(model, TinyMIM)
    assert model.card.pooling == "block11_mean"
    assert (model.blocks[0].attn.num_heads, model.blocks[-1].attn.num_heads) == (6, 12)
    images, res = torch.randn(2, 3, 64, 64), torch.ones(2)
    assert torch.equal(model.embed_tokens(images, res), source.embed_tokens(images, res))
    assert model.report is not None
    assert any("no licence" in notice for notice in model.report.notices)


def test_tinymim_fine_tuned_is_whole_again(tmp_path: Path) -> None:
    source = create("encoder", **TRUNK)
    state = {
        key.replace("norm.", "fc_norm.") if key.startswith("norm.") else key: tensor
        for key, tensor in source.state_dict().items()
    }
    state |= {"head.weight": torch.zeros(10, 128), "head.bias": torch.zeros(10)}
    torch.save({"model": state}, tmp_path / "TinyMIM-FT-S.pth")
    model = load_checkpoint(tmp_path / "TinyMIM-FT-S.pth")
    same_tokens(source, model)
    assert model.card.pooling == "mean"
    assert model.report is not None
    assert model.report.left_over == ("head.weight", "head.bias")


def test_linear_probe_leaves_its_head_out(tmp_path: Path) -> None:
    source = create("encoder", **TRUNK, gsd_aware=True)
    head = {
        "head.0.running_mean": torch.zeros(128),
        "head.0.running_var": torch.ones(128),
        "head.0.num_batches_tracked": torch.tensor(5),
    }
    head |= {"head.1.weight": torch.zeros(45, 128), "head.1.bias": torch.zeros(45)}
    model = load_checkpoint(written(tmp_path / "checkpoint-89.pth", {**source.state_dict(), **head}))
    same_tokens(source, model)
    assert model.report is not None
    assert "linear probe" in model.report.variant
    assert set(model.report.left_over) == set(head)
    assert any("gsd positions" in note for note in model.report.assumed)


def test_learned_positions_are_used_as_stored(tmp_path: Path) -> None:
    source = create("encoder", **TRUNK)
    table = torch.randn(1, 17, 128)
    path = tmp_path / "mae_finetuned_vit_base.pth"
    torch.save({"model": {**source.state_dict(), "pos_embed": table}}, path)
    model = load_checkpoint(path, positions="static")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        patches = (
            torch.nn.functional.conv2d(
                images, source.patch_embed.proj.weight, source.patch_embed.proj.bias, stride=16
            )
            .flatten(2)
            .mT
        )
        tokens = torch.cat([source.cls_token.expand(2, -1, -1), patches], 1) + table
        for block in source.blocks:
            tokens = block(tokens)
        torch.testing.assert_close(
            model.encode(images, torch.ones(2)), source.norm(tokens), atol=1e-5, rtol=1e-5
        )
        assert model.encode(torch.randn(1, 3, 96, 96), torch.ones(1)).shape == (1, 37, 128)
    assert model.report is not None
    assert any("learned" in notice for notice in model.report.notices)


# MAE, SatMAE, SDMAE ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "normalised"),
    [
        ("mae_visualize_vit_large.pth", None, False),
        ("mae_pretrain_vit_base_full.pth", None, True),
        ("weights.pth", official_args(norm_pix_loss=True), True),
        ("mae_full.pth", official_args(norm_pix_loss=False), False),
    ],
)
def test_mae_with_its_decoder(
    tmp_path: Path, name: str, arguments: Namespace | None, normalised: bool
) -> None:
    source = create("mae", **TRUNK, **DECODER)
    torch.save(
        {"model": source.state_dict(), **({"args": arguments} if arguments else {})},
        tmp_path / name,
    )
    model = load_checkpoint(tmp_path / name)
    assert isinstance(model, Reconstructor)
    assert not model.card.gsd_aware
    same_tokens(source, model)
    assert model.report is not None
    assert any("leak-prone" in notice for notice in model.report.notices) is normalised
    assert any("CC-BY-NC-4.0" in notice for notice in model.report.notices)
    assert any(note.startswith("norm_pix_loss") for note in model.report.assumed) is (arguments is None)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fmow_pretrain.pth", None),
        ("checkpoint-199.pth", official_args(dataset_type="rgb", model_type="vanilla")),
    ],
)
def test_satmae_rgb_uses_its_own_normalisation(tmp_path: Path, name: str, args: Namespace | None) -> None:
    source = create("mae", **TRUNK, **DECODER)
    model = load_checkpoint(written(tmp_path / name, source.state_dict(), **({"args": args} if args else {})))
    assert model.report is not None
    assert "SatMAE" in model.report.variant
    assert model.card.mean == pytest.approx((0.4182, 0.42148, 0.39913), abs=1e-4)
    images, res, keep = torch.randn(1, 3, 64, 64), torch.ones(1), torch.tensor([[0, 5]])
    assert torch.equal(
        source.reconstruct(images, res, keep).low_raw, model.reconstruct(images, res, keep).low_raw
    )  # type: ignore[attr-defined]


def sdmae() -> Any:
    sizes = {
        **TRUNK,
        "patch_size": 8,
        "img_size": 32,
        "decoder_embed_dim": 32,
        "decoder_depth": 1,
        "decoder_num_heads": 16,
    }
    return create("sdmae", **sizes, ctr_depth=2, ctr_num_heads=2, mlp_dim=40)


def test_sdmae_whole(tmp_path: Path) -> None:
    source = sdmae()
    model = load_checkpoint(
        written(tmp_path / "checkpoint-300.pth", source.state_dict(), args=official_args())
    )
    assert model.card.family == "sdmae"
    assert model.report is not None
    assert model.report.missing == model.report.left_over == ()
    assert model.state_dict().keys() == source.state_dict().keys()
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in model.state_dict().items())
    images, res, keep = torch.randn(1, 3, 32, 32), torch.ones(1), torch.tensor([[0, 5]])
    assert torch.equal(
        source.reconstruct(images, res, keep).combined, model.reconstruct(images, res, keep).combined
    )  # type: ignore[attr-defined]
    assert not model.get_parameter("momentum_ctr.head.0.weight").requires_grad


@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_sdmaes_second_file_is_its_encoder(tmp_path: Path, prefix: str) -> None:
    source = sdmae()
    state = {
        prefix + key.removeprefix("encoder."): tensor
        for key, tensor in source.state_dict().items()
        if key.startswith("encoder.")
    }
    model = load_checkpoint(written(tmp_path / "checkpoint-301.pth", state, args=official_args()))
    assert not isinstance(model, Reconstructor)
    assert not model.card.gsd_aware
    images, res = torch.randn(1, 3, 32, 32), torch.ones(1)
    assert torch.equal(source.encode(images, res), model.encode(images, res))


# Our own --------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Path]:
    """Weights and card as training writes them: float16, no positions, a name that is not a preset."""

    def write(model: Any, name: str = "sunday_run", **fields: Any) -> Path:
        path = tmp_path / f"{name}.safetensors"
        save_file(
            {
                key: tensor.half()
                for key, tensor in model.state_dict().items()
                if not key.endswith("pos_embed")
            },
            path,
        )
        weights = WeightsCard(
            path.name,
            file_sha256(path),
            "Apache-2.0",
            ("neon",),
            10,
            5,
            0.1,
            0,
            "python -m core train",
            {"psnr_75": 21.0},
        )
        write_card(replace(model.card, name=name, weights=weights, **fields), tmp_path)
        return path

    return write


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        (
            "scale_mae",
            {
                **SCALE_MAE,
                "patch_size": 8,
                "head_scale": 4,
                "num_heads": 4,
                "decoder_num_heads": 4,
                "centre": "visible_harmonic",
            },
        ),
        ("mae", {**TRUNK, **DECODER, "num_heads": 8, "centre": "visible_mean"}),
        ("tinymim", {**TRUNK, "last_heads": 8, "gsd_aware": True}),
        ("tinymim_decoder", {**SCALE_MAE, "last_heads": 8}),
        ("sdmae", {**TRUNK, "decoder_embed_dim": 32, "mlp_dim": 40, "ctr_num_heads": 4}),
        ("scale_contrast", {"img_size": 64, "patch_size": 8, "stem_dim": 8, "embed_dim": 48, "num_heads": 4}),
    ],
)
def test_our_own_weights_are_read_by_their_card(
    own: Callable[..., Path], family: str, sizes: dict[str, Any]
) -> None:
    source = create(family, **sizes)
    path = own(source, default_policy="log_gsd", res_range=(0.5, 8.0))
    rounded = {
        key: tensor.half().to(tensor.dtype)
        for key, tensor in source.state_dict().items()
        if not key.endswith("pos_embed")
    }
    source.load_state_dict(rounded, strict=False)
    model = load_checkpoint(path)
    assert {key: tensor.dtype for key, tensor in model.state_dict().items()} == {
        key: t.dtype for key, t in source.state_dict().items()
    }
    assert model.card.family == family
    assert model.card.name == "sunday_run"
    assert (model.card.default_policy, model.card.res_range) == ("log_gsd", (0.5, 8.0))
    assert model.card.gsd_aware is source.card.gsd_aware
    assert model.card.weights is not None
    assert model.card.weights.metrics == {"psnr_75": 21.0}
    assert model.report is not None
    assert model.report.licence == "Apache-2.0"
    assert model.report.assumed == ()
    same_tokens(source, model)


def test_a_file_that_its_card_does_not_describe_is_refused(own: Callable[..., Path]) -> None:
    path = own(create("scale_mae", **SCALE_MAE))
    save_file(create("scale_mae", **SCALE_MAE).state_dict(), path)
    with pytest.raises(CheckpointError, match="not the file that its card"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"weights": 3}', '{"weights": {"file": "other.safetensors"}}', "[" * 100_000]
)
def test_another_json_beside_a_file_is_not_its_card(tmp_path: Path, text: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(create("scale_mae", **SCALE_MAE).state_dict(), path)
    path.with_suffix(".json").write_text(text)
    report = load_checkpoint(path).report
    assert report is not None
    assert report.variant.startswith("Scale-MAE")


def test_a_card_that_claims_a_giant_is_refused_before_anything_is_built(own: Callable[..., Path]) -> None:
    path = own(create("scale_mae", **SCALE_MAE))
    card = json.loads(path.with_suffix(".json").read_text())
    card["sizes"]["depth"] = 10**9
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="depth = 1000000000"):
        load_checkpoint(path)
