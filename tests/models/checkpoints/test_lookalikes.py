"""Files of other projects, with the names and shapes that their code writes: each is loaded, or identified
in the error."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import create, load_checkpoint
from core.models.checkpoints.loading import AmbiguousPositionsError, CheckpointError
from tests.models.checkpoints.test_loading import DECODER, TRUNK

State = dict[str, Any]


def blocks(width: int = 64, stem: str = "blocks", count: int = 2, **parts: tuple[int, ...]) -> State:
    """Blocks of a ViT under the names of timm and MAE, with additional `parts` (dots as __)."""
    shapes = {
        "norm1.weight": (width,), "norm1.bias": (width,), "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width), "attn.proj.bias": (width,), "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (4 * width, width), "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width), "mlp.fc2.bias": (width,),
    }  # fmt: skip
    shapes |= {name.replace("__", "."): shape for name, shape in parts.items()}
    return {
        f"{stem}.{number}.{name}": torch.full(shape, 0.01)
        for number in range(count)
        for name, shape in shapes.items()
    }


def trunk(
    bands: int = 3, width: int = 64, patch: int = 16, cells: int = 16, learned: bool = False, **parts: Any
) -> State:
    """A vision transformer without a decoder."""
    table = torch.randn(1, 1 + cells, width) if learned else torch.zeros(1, 1 + cells, width)
    return {
        "cls_token": torch.zeros(1, 1, width),
        "pos_embed": table,
        "patch_embed.proj.weight": torch.zeros(width, bands, patch, patch),
        "patch_embed.proj.bias": torch.zeros(width),
        **blocks(width, **parts),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }


def decoder(width: int = 32, pixels: int = 768, cells: int = 16, encoder: int = 64) -> State:
    return {
        "mask_token": torch.zeros(1, 1, width),
        "decoder_pos_embed": torch.zeros(1, 1 + cells, width),
        "decoder_embed.weight": torch.zeros(width, encoder),
        "decoder_embed.bias": torch.zeros(width),
        **blocks(width, "decoder_blocks", 1),
        "decoder_norm.weight": torch.ones(width),
        "decoder_norm.bias": torch.zeros(width),
        "decoder_pred.weight": torch.zeros(pixels, width),
        "decoder_pred.bias": torch.zeros(pixels),
    }


def named(prefix: str, state: State) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


def without(state: State, *starts: str) -> State:
    return {key: tensor for key, tensor in state.items() if not key.startswith(starts)}


def zeros(*names: str, shape: tuple[int, ...] = (4,)) -> State:
    return {name: torch.zeros(shape) for name in names}


def series(bands: int, frames: int, patch: int = 16) -> State:
    return {**trunk(), "patch_embed.proj.weight": torch.zeros(64, bands, frames, patch, patch)}


def swin(stem: str, *last: str) -> State:
    return zeros(
        f"{stem}.0.blocks.0.norm1.weight",
        f"{stem}.0.blocks.0.attn.qkv.weight",
        *last,
        "patch_embed.proj.bias",
    )


def weight_generator(stem: str) -> State:
    return zeros(
        f"{stem}.weight_generator.weight_tokens",
        f"{stem}.weight_generator.fc_weight.weight",
        f"{stem}.fclayer.w1.weight",
    )


LOADED: dict[str, tuple[Callable[[], Any], str]] = {
    "MAE with its decoder": (lambda: {"model": {**trunk(), **decoder()}}, "MAE with its decoder"),
    "SatMAE++ for RGB": (
        lambda: {"model": {
            **trunk(), **decoder(), "proj_up_conv.weight": torch.zeros(3, 3, 1, 1),
            "proj_up_norm.weight": torch.ones(3),
            "up_block.up_conv.weight": torch.zeros(3, 3, 4, 4), "up_block.proj_out.bias": torch.zeros(3),
        }},
        r"SatMAE\+\+ for RGB",
    ),
    "a vision transformer of timm with a classifier": (
        lambda: {**trunk(learned=True), **zeros("head.weight", "head.bias")}, "encoder alone, with a "
                                                                              "classifier"
    ),
    "torchgeo's Lightning checkpoint": (
        lambda: {
            "state_dict": {**named("model.", trunk(learned=True)),
            **zeros("model.head.weight", "model.head.bias")},
            "hyper_parameters": {"model": "vit_small_patch16_224", "loss": "ce"},
            "pytorch-lightning_version": "2.5", "epoch": 3,
        },
        "encoder alone, with a classifier",
    ),
    "torchgeo's Lightning checkpoint of a backbone with a second one": (
        lambda: {
            "state_dict": {
                **named("backbone.", trunk(learned=True)), **named("backbone_momentum.", trunk(learned=True)),
                **zeros("projection_head.layers.0.weight"),
            },
            "hyper_parameters": {"backbone": "vit_small_patch16_224"},
        },
        "encoder alone",
    ),
    "torchgeo's Lightning checkpoint, model.backbone.model.": (
        lambda: {"state_dict": {**named("model.backbone.model.", trunk(learned=True)),
        **zeros("model.neck.0.weight")}},
        "encoder alone",
    ),
    "a teacher of DINO": (
        lambda: {"teacher": {**named("backbone.", trunk(learned=True)), **zeros("head.mlp.0.weight")}},
        "encoder alone"
    ),
    "DINOv2 ViT-S/14": (
        lambda: {**trunk(width=384, patch=14, cells=37**2, count=12, ls1__gamma=(384,), ls2__gamma=(384,)),
        "mask_token": torch.zeros(1, 384)},
        "timm's vit_small_patch14_dinov2",
    ),
    "DINOv3 ViT-S/16": (
        lambda: {
            **without(trunk(width=384, count=12, ls1__gamma=(384,), ls2__gamma=(384,),
            attn__qkv__bias_mask=(1152,)), "pos_embed"),
            "mask_token": torch.zeros(1, 384), "storage_tokens": torch.zeros(1, 4, 384),
            "rope_embed.periods": torch.ones(16),
        },
        "timm's vit_small_patch16_dinov3_qkvb",
    ),
}  # fmt: skip

NAMED: dict[str, tuple[Callable[[], Any], str]] = {
    "DINOv2 in Hugging Face's layout": (
        lambda: zeros("embeddings.cls_token", "embeddings.mask_token", "encoder.layer.0.layer_scale1.lambda1",
        "encoder.layer.0.norm1.weight"),
        "is DINOv2 or DINOv3 in the layout of Hugging Face",
    ),
    "DINOv3 under timm's names": (
        lambda: {**without(trunk(), "pos_embed"), "reg_token": torch.zeros(1, 4, 64),
        "blocks.0.gamma_1": torch.ones(64)},
        "is EVA or DINOv3 under timm's names",
    ),
    "a ViT of timm with registers": (
        lambda: {**trunk(learned=True), "reg_token": torch.zeros(1, 4, 64)}, "parts that MAE's does not "
                                                                             "have: give it with its "
                                                                             "architecture"
    ),
    "DOFA": (
        lambda: {"model": {**without(trunk(), "patch_embed"), **weight_generator("patch_embed"),
        **decoder()}}, "is DOFA, which computes"
    ),
    "Clay": (
        lambda: {
            "state_dict": {
                **zeros("model.teacher.cls_token", "model.encoder.cls_token",
                "model.encoder.transformer.layers.0.0.norm.weight", "model.proj.weight"),
                **weight_generator("model.encoder.patch_embedding"),
            },
            "hyper_parameters": {"model_size": "large"},
        },
        "is Clay, which computes",
    ),
    "CROMA": (
        lambda: {
            part: zeros("linear_input.weight", "transformer.layers.0.0.input_norm.weight")
            for part in ("s1_encoder", "s1_GAP_FFN", "s2_encoder", "s2_GAP_FFN", "joint_encoder")
        },
        "is CROMA, for 12 bands",
    ),
    "CROMA while it was trained": (
        lambda: zeros("radar_encoder.linear_input.weight", "optical_encoder.linear_input.weight",
        "cross_encoder.layers.0.0.to_q.weight"),
        "is CROMA, for 12 bands",
    ),
    "Prithvi-EO-1.0": (lambda: {**series(6, 1), **decoder(pixels=6 * 256)}, "is a network for image series "
                                                                            ".* Prithvi-EO-1.0"),
    "Prithvi-EO-2.0": (
        lambda: {**named("encoder.", series(6, 1)), **named("decoder.", decoder(pixels=6 * 256))},
        r"is Prithvi-EO-2\.0, for six bands"
    ),
    "Prithvi-EO-2.0-TL": (
        lambda: {
            **named("encoder.", series(6, 1)), **named("decoder.", decoder(pixels=6 * 256)),
            **zeros("encoder.temporal_embed_enc.scale", "encoder.location_embed_enc.scale"),
        },
        r"is Prithvi-EO-2\.0-TL",
    ),
    "Cross-Scale MAE": (
        lambda: {
            "cls_token": torch.zeros(1, 1, 64), "encoder_pos_embed": torch.zeros(1, 17, 64),
            "patch_embed.proj.weight": torch.zeros(64, 3, 16, 16),
            **zeros("encoder.0.norm1.weight", "predictor.layer1.weight"), "mask_token": torch.zeros(1, 1, 32),
        },
        "is Cross-Scale MAE",
    ),
    "SatMAE for groups of bands": (
        lambda: {"model": {
            **without(trunk(), "patch_embed"), "channel_embed": torch.zeros(1, 3, 16),
            **{f"patch_embed.{group}.proj.weight": torch.zeros(64, 4, 8, 8) for group in range(3)},
        }},
        "is SatMAE for groups",
    ),
    "SatMAE++ for groups of bands": (
        lambda: {"model": {
            **without(trunk(), "patch_embed"), "channel_embed": torch.zeros(1, 3, 16),
            "patch_embed.0.proj.weight": torch.zeros(64, 4, 8, 8),
            **zeros("proj_up_conv.weight", "up_block1.up_conv.weight"),
        }},
        r"is SatMAE\+\+ for groups",
    ),
    "SatMAE for image series": (lambda: {"model": {**trunk(), "pos_embed": torch.zeros(1, 17, 40)}},
    "is SatMAE for image series"),
    "SpectralGPT": (
        lambda: {"model": {
            **without(series(1, 3, 8), "pos_embed"), "pos_embed_spatial": torch.zeros(1, 144, 64),
            "pos_embed_temporal": torch.zeros(1, 4, 64),
            **zeros("decoder_pos_embed_spatial"),
        }},
        "is SpectralGPT",
    ),
    "Swin Transformer, as RingMo uses it": (
        lambda: {"model": swin("layers", "layers.0.blocks.0.attn.relative_position_bias_table")},
        "is Swin Transformer, as RingMo"
    ),
    "GFM": (
        lambda: named("encoder.", swin("layers", "layers.0.blocks.0.attn.relative_position_bias_table")),
        "is Swin Transformer, as RingMo and GFM"
    ),
    "Satlas": (
        lambda: zeros("backbone.backbone.features.0.0.weight",
        "backbone.backbone.features.1.0.attn.logit_scale", "head.weight"),
        "is Swin Transformer V2, as Satlas",
    ),
    "13 bands of Sentinel-2, as SSL4EO-S12": (lambda: {"teacher": named("module.backbone.",
    trunk(bands=13, learned=True))}, "takes 13 bands"),
    "13 bands with a decoder": (lambda: {"model": {**trunk(bands=13), **decoder(pixels=13 * 256)}},
    "takes 13 bands"),
    "a ResNet, as SeCo": (
        lambda: {"state_dict": zeros("module.encoder_q.conv1.weight",
        "module.encoder_q.layer4.0.conv1.weight", "module.encoder_k.fc.0.weight")},
        "is a ResNet",
    ),
    "ConvNeXt": (lambda: zeros("stem.0.weight", "stages.0.blocks.0.conv_dw.weight", "head.fc.weight"),
    "is ConvNeXt"),
    "BEiT": (lambda: {**trunk(), "blocks.0.attn.relative_position_bias_table": torch.zeros(9, 4)}, "is BEiT"),
    "CLIP, as RemoteCLIP": (
        lambda: zeros("visual.class_embedding", "visual.conv1.weight", "transformer.resblocks.0.ln_1.weight",
        "token_embedding.weight"), "is CLIP, as RemoteCLIP"
    ),
    "CLIP in Hugging Face's layout": (lambda: zeros("vision_model.embeddings.class_embedding",
    "text_model.embeddings.token_embedding.weight"), "is CLIP in the layout"),
    "SAM": (
        lambda: zeros("image_encoder.pos_embed", "image_encoder.blocks.0.attn.rel_pos_h",
        "mask_decoder.iou_token.weight"), "such as SAM's or RVSA"
    ),
    "RVSA": (lambda: {**trunk(), "blocks.0.attn.sampling_offsets.2.weight": torch.zeros(4)}, "such as SAM's "
                                                                                             "or RVSA"),
    "SatCLIP": (lambda: {"state_dict": zeros("model.visual.conv1.weight",
    "model.location.nnet.layers.0.weight")}, "is SatCLIP"),
    "TerraMind": (
        lambda: zeros("encoder_embeddings.untok_sen2l2a@224.proj.weight", "encoder.0.norm1.weight",
        "decoder.0.norm1.weight"), "is TerraMind"
    ),
    "Presto": (lambda: zeros("encoder.eo_patch_embed.S1.weight", "encoder.month_embed.weight",
    "decoder.mask_token"), "is Presto, for time series"),
    "Galileo": (
        lambda: zeros("encoder.s_t_channel_embed", "encoder.month_embed.weight",
        "encoder.blocks.0.norm1.weight"),
        "is Galileo, for Sentinel-1",
    ),
    "OlmoEarth": (
        lambda: zeros(
            "encoder.composite_encodings.pos_embed",
            "encoder.patch_embeddings.per_modality_embeddings.sentinel2_l2a.sentinel2_l2a__0.proj.weight",
        ),
        "is OlmoEarth, for Sentinel-1",
    ),
    "Copernicus-FM": (
        lambda: {**without(trunk(), "patch_embed"), **weight_generator("patch_embed_spectral"),
        **zeros("patch_embed_variable.weight")}, "is Copernicus-FM"
    ),
    "Panopticon": (lambda: zeros("patch_embed.conv3d.weight", "patch_embed.chnfus.query", "cls_token"),
    "is Panopticon"),
    "DeiT with distillation": (lambda: {**trunk(learned=True), "dist_token": torch.zeros(1, 1, 64)},
    "distillation token"),
    "I-JEPA": (
        lambda: {
            **{part: named("module.", without(trunk(), "cls_token")) for part in ("encoder",
            "target_encoder")},
            "predictor": zeros("module.predictor_embed.weight"), "opt": {"state": {}}, "epoch": 3,
        },
        "is a training checkpoint of I-JEPA",
    ),
    "DINO while it was trained": (
        lambda: {"student": named("module.backbone.", trunk()), "teacher": named("backbone.", trunk()),
        "epoch": 3}, "save the teacher's backbone alone"
    ),
    "a network that nobody knows": (lambda: zeros("trunk.0.weight", "trunk.1.weight"), r"is not a supported "
                                                                                       r"network .* "
                                                                                       r"timm:NAME@FILE"),
}  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(LOADED) + len(NAMED) >= 40


@pytest.mark.parametrize("name", LOADED)
def test_supported_files_are_loaded_without_options(name: str, tmp_path: Path) -> None:
    make, variant = LOADED[name]
    path = tmp_path / "checkpoint.pth"
    torch.save(make(), path)
    model = load_checkpoint(path)
    assert model.report is not None
    assert re.search(variant, model.report.variant), model.report.variant
    side = model.card.input_px
    assert bool(model.encode(torch.zeros(1, 3, side, side), torch.ones(1)).isfinite().all())


@pytest.mark.parametrize("name", NAMED)
def test_unsupported_files_are_identified_in_the_error(name: str, tmp_path: Path) -> None:
    make, message = NAMED[name]
    path = tmp_path / "checkpoint.pth"
    torch.save(make(), path)
    with pytest.raises(CheckpointError, match=message) as answer:
        load_checkpoint(path)
    sentence = str(answer.value)
    assert not isinstance(answer.value, AmbiguousPositionsError)
    assert "positions=" not in sentence
    assert sentence.startswith("checkpoint.pth ") and sentence.endswith(".")
    assert "\n" not in sentence and len(sentence) < 400


@pytest.mark.parametrize("name", NAMED)
def test_stated_positions_do_not_change_the_identification(name: str, tmp_path: Path) -> None:
    make, message = NAMED[name]
    torch.save(make(), tmp_path / "checkpoint.pth")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "checkpoint.pth", positions="static")


def test_training_leftovers_are_reported(tmp_path: Path) -> None:
    make, _ = LOADED["torchgeo's Lightning checkpoint of a backbone with a second one"]
    torch.save(make(), tmp_path / "epoch=3.ckpt")
    report = load_checkpoint(tmp_path / "epoch=3.ckpt").report
    assert report is not None
    assert "projection_head.layers.0.weight" in report.left_over
    assert "backbone_momentum.cls_token" in report.left_over


def test_a_backbone_of_torchgeo_gives_the_tokens_of_the_same_numbers(tmp_path: Path) -> None:
    source = create("encoder", **TRUNK, stored_positions=True)
    with torch.no_grad():
        source.pos_embed.copy_(torch.randn_like(source.pos_embed))
    state = source.state_dict()
    torch.save(
        {"state_dict": named("model.backbone.model.", state), "hyper_parameters": {"backbone": "vit"}},
        tmp_path / "last.ckpt",
    )
    model = load_checkpoint(tmp_path / "last.ckpt")
    source.cls_token.data += source.pos_embed.data[:, :1]
    images, res = torch.randn(2, 3, 64, 64), torch.ones(2)
    assert torch.equal(model.encode(images, res), source.encode(images, res))


def hugging_face(network: Any, prefix: str = "vit.") -> dict[str, Tensor]:
    """A network's tensors under the names of transformers' ViTMAE."""
    state = network.state_dict()
    named_there = {
        f"{prefix}embeddings.cls_token": state["cls_token"],
        f"{prefix}embeddings.position_embeddings": state["pos_embed"],
        f"{prefix}embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        f"{prefix}embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        f"{prefix}layernorm.weight": state["norm.weight"],
        f"{prefix}layernorm.bias": state["norm.bias"],
    }
    stacks = {"blocks": f"{prefix}encoder.layer", "decoder_blocks": "decoder.decoder_layers"}
    for ours, theirs in stacks.items():
        for number in range(len({key.split(".")[1] for key in state if key.startswith(f"{ours}.")})):
            for kind in ("weight", "bias"):
                query, key, value = state[f"{ours}.{number}.attn.qkv.{kind}"].chunk(3)
                layer, block = f"{theirs}.{number}", f"{ours}.{number}"
                named_there |= {
                    f"{layer}.attention.attention.query.{kind}": query,
                    f"{layer}.attention.attention.key.{kind}": key,
                    f"{layer}.attention.attention.value.{kind}": value,
                    f"{layer}.attention.output.dense.{kind}": state[f"{block}.attn.proj.{kind}"],
                    f"{layer}.intermediate.dense.{kind}": state[f"{block}.mlp.fc1.{kind}"],
                    f"{layer}.output.dense.{kind}": state[f"{block}.mlp.fc2.{kind}"],
                    f"{layer}.layernorm_before.{kind}": state[f"{block}.norm1.{kind}"],
                    f"{layer}.layernorm_after.{kind}": state[f"{block}.norm2.{kind}"],
                }
    for key in (
        "mask_token",
        "decoder_pos_embed",
        "decoder_embed.weight",
        "decoder_embed.bias",
        "decoder_norm.weight",
        "decoder_norm.bias",
    ):
        if key in state:
            named_there[f"decoder.{key}"] = state[key]
    if "decoder_pred.weight" in state:
        named_there |= {
            f"decoder.decoder_pred.{kind}": state[f"decoder_pred.{kind}"] for kind in ("weight", "bias")
        }
    return {key: tensor.clone() for key, tensor in named_there.items()}


NEWER = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
}
NEWER |= {
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "encoder.layer": "layers",
}
LAYOUTS = {
    "as on the hub": {},
    "as version 5 saves it": {"decoder.decoder_layers": "decoder.decoder_encoder.layer"},
    "as version 5 holds it": NEWER,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vit_mae_of_hugging_face_reconstructs_as_the_same_numbers_do(layout: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = create("mae", **TRUNK, **DECODER)
    state = hugging_face(source)
    for old, new in LAYOUTS[layout].items():
        assert any(old in key for key in state)
        state = {key.replace(old, new): tensor for key, tensor in state.items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    model = load_checkpoint(tmp_path / "pytorch_model.bin")
    images, res, keep = torch.randn(2, 3, 64, 64), torch.ones(2), torch.rand(2, 16).argsort(1)[:, :5]
    assert torch.equal(
        model.reconstruct(images, res, keep).low_raw, source.reconstruct(images, res, keep).low_raw
    )
    assert torch.equal(model.encode(images, res, keep), source.encode(images, res, keep))
    assert model.report is not None
    assert model.report.left_over == ()


@pytest.mark.parametrize("prefix", ["vit.", ""])
def test_encoders_of_hugging_face_keep_their_learned_positions(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(0)
    source = create("encoder", **TRUNK, stored_positions=True)
    source.pos_embed.data.normal_()
    state = hugging_face(source, prefix) | zeros(
        "classifier.weight", "classifier.bias", f"{prefix}pooler.dense.weight"
    )
    torch.save(state, tmp_path / "pytorch_model.bin")
    model = load_checkpoint(tmp_path / "pytorch_model.bin")
    source.cls_token.data += source.pos_embed.data[:, :1]
    images, res = torch.randn(2, 3, 64, 64), torch.ones(2)
    assert torch.equal(model.encode(images, res), source.encode(images, res))


def test_the_config_beside_a_file_of_hugging_face_says_the_heads(tmp_path: Path) -> None:
    source = create("mae", **{**TRUNK, "num_heads": 8}, **{**DECODER, "decoder_num_heads": 4})
    torch.save(hugging_face(source), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(
        '{"model_type": "vit_mae", "num_attention_heads": 8, "decoder_num_attention_heads": 4, '
        '"norm_pix_loss": false}'
    )
    model = load_checkpoint(tmp_path / "pytorch_model.bin")
    assert (model.card.sizes["num_heads"], model.card.sizes["decoder_num_heads"]) == (8, 4)
    assert model.report is not None
    assert not [note for note in model.report.assumed if "heads" in note or "norm_pix" in note]


def test_queries_without_keys_are_refused(tmp_path: Path) -> None:
    state = hugging_face(create("mae", **TRUNK, **DECODER))
    del state["vit.encoder.layer.0.attention.attention.key.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"missing \(blocks\.0\.attn\.qkv\.weight\)"):
        load_checkpoint(tmp_path / "pytorch_model.bin")


def test_weights_larger_than_the_memory_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from core.models.checkpoints import files

    torch.save(trunk(learned=True), tmp_path / "checkpoint.pth")
    monkeypatch.setattr(files.psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))
    monkeypatch.setattr(files, "_numbers", lambda *_: pytest.fail("numbers were read"))
    with pytest.raises(CheckpointError, match=r"takes 0\.\d GB in memory and 0\.0 GB are free"):
        load_checkpoint(tmp_path / "checkpoint.pth")
