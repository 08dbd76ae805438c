"""TinyMIM beyond the recorded numbers: what it learns from, what it refuses, and the decoder on a frozen
student."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import cards, create
from core.models.base import ModelInputError, TrainingBatch
from core.models.tinymim import (
    TinyMIM,
    TinyMIMObjective,
    UntrainedTailError,
    default_teacher_block,
    queries_keys_values,
    relation_loss,
)
from core.models.tinymim_decoder import TinyMIMDecoder, decoder_objective

STUDENT: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 2,
    "last_heads": 4,
    "gsd_aware": True,
    "drop_path": 0.0,
}
DECODER: dict[str, Any] = {
    "decoder_embed_dim": 32,
    "decoder_depth": 1,
    "decoder_num_heads": 4,
    "fcn_dim": 16,
    "fcn_layers": 1,
    "head_scale": 4,
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def student(**sizes: Any) -> TinyMIM:
    return create("tinymim", **{**STUDENT, **sizes})


def teacher(**sizes: Any) -> Any:
    return create(
        "scale_mae",
        **{"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 4, "num_heads": 4, **DECODER, **sizes},
    )


def batch(side: int = 32, target: int = 64) -> TrainingBatch:
    targets = torch.nn.functional.interpolate(torch.randn(4, 3, 5, 5), size=(target, target), mode="bicubic")
    return TrainingBatch(
        torch.nn.functional.adaptive_avg_pool2d(targets, side), targets, torch.tensor([0.5, 1.0, 2.0, 4.0])
    )


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def test_a_teacher_has_nothing_to_learn_from_itself() -> None:
    whole = teacher()
    q, k, _ = queries_keys_values(whole.backbone, 3, batch().images, batch().res)
    assert relation_loss((q, k), (q, k)).item() == pytest.approx(0, abs=1e-7)
    twin = student(embed_dim=48, depth=4, num_heads=4)
    twin.load_state_dict({key: whole.state_dict()[key] for key in twin.state_dict()})
    losses = TinyMIMObjective(twin, whole, teacher_block=4, colour=None)(batch(), None)
    assert set(losses) == {"qk", "vv"}
    assert all(float(loss) == pytest.approx(0, abs=1e-6) for loss in losses.values())


def test_relations_survive_half_precision_logits_that_would_overflow() -> None:
    big = torch.full((1, 1, 4, 8), 200.0, dtype=torch.float16)
    big[0, 0, 0] = -200
    loss = relation_loss((big, big), (big.flip(2), big))
    assert loss.isfinite() and loss.dtype == torch.float32 and float(loss) > 1


def test_a_distilled_student_is_read_before_its_untrained_last_blocks() -> None:
    fresh = student()
    images, res = batch().images, batch().res
    assert fresh.encode(images, res).shape == (4, 17, 32)
    TinyMIMObjective(fresh, teacher(), pooling="block11_cls")
    assert fresh.card.pooling == "block11_cls"
    with pytest.raises(UntrainedTailError, match="never learned anything"):
        fresh.encode(images, res)
    tokens = fresh.embed_tokens(images, res)
    assert tokens.shape == (4, 17, 32)
    torch.testing.assert_close(tokens.mean(2), torch.zeros(4, 17), atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens.var(2, correction=0), torch.ones(4, 17), atol=1e-3, rtol=0)
    with torch.no_grad():
        fresh.blocks[-1].norm1.weight.add_(1.0)
    assert torch.equal(tokens, fresh.embed_tokens(images, res))


def test_student_and_teacher_receive_the_same_res() -> None:
    """The teacher's relations depend on res, so a student with the same weights matches it only at the same
    res."""
    whole = teacher()
    twin = student(embed_dim=48, depth=4, num_heads=4)
    twin.load_state_dict({key: whole.state_dict()[key] for key in twin.state_dict()})
    objective, pictures = TinyMIMObjective(twin, whole, teacher_block=4, colour=None), batch()
    far = replace(pictures, res=pictures.res * 3)
    assert float(total(objective(far, None))) < 1e-6
    near = queries_keys_values(whole.backbone, 4, pictures.images, pictures.res)
    other = queries_keys_values(whole.backbone, 4, pictures.images, far.res)
    assert relation_loss((near[0], near[1]), (other[0], other[1])).item() > 1e-4


def test_a_teacher_with_larger_patches_sees_the_same_ground_finer() -> None:
    large = teacher(img_size=64, patch_size=16)
    assert all(loss.isfinite() for loss in TinyMIMObjective(student(), large)(batch(), None).values())


def test_colours_are_jittered_for_the_student_only() -> None:
    whole = teacher()
    twin = student(embed_dim=48, depth=4, num_heads=4)
    twin.load_state_dict({key: whole.state_dict()[key] for key in twin.state_dict()})
    assert float(total(TinyMIMObjective(twin, whole, teacher_block=4)(batch(), None))) > 1e-5


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ({"last_heads": 2}, {}, "create the student with last_heads=4"),
        ({"img_size": 64}, {}, "create the student with img_size=32"),
        ({}, {"teacher_block": 5}, "blocks 1 to 4, not 5"),
        ({}, {"pooling": "cls"}, "block11_cls or block11_mean"),
    ],
)
def test_invalid_options_are_reported_before_training(
    sizes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelInputError, match=message):
        TinyMIMObjective(student(**sizes), teacher(), **options)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ModelInputError, match="32 cannot be split into 5 heads"):
        student(last_heads=5)


def test_pictures_of_different_grids_are_refused() -> None:
    objective = TinyMIMObjective(student(), teacher())
    with pytest.raises(ModelInputError, match="the same grid"):
        objective.losses(batch(32).images, batch(64).images, batch().res)


def test_the_paper_s_choice_of_block() -> None:
    assert [default_teacher_block(depth, 12) for depth in (24, 12, 32)] == [18, 12, 24]
    assert TinyMIMObjective(student(), teacher()).teacher_block == 3


def test_any_encoder_can_teach_and_students_teach_smaller_ones() -> None:
    sdmae = create(
        "sdmae",
        img_size=32,
        patch_size=8,
        embed_dim=48,
        depth=2,
        num_heads=4,
        decoder_embed_dim=32,
        decoder_num_heads=4,
        mlp_dim=32,
    )
    assert sdmae.backbone is sdmae.encoder
    first = student(num_heads=4)
    for master, pupil in ((sdmae, first), (first, student(embed_dim=16))):
        assert total(TinyMIMObjective(pupil, master)(batch(), None)).isfinite()


def test_the_teacher_stays_out_of_checkpoints_and_of_learning() -> None:
    whole = teacher()
    objective = TinyMIMObjective(student(), whole)
    assert not any("teacher" in key for key in objective.state_dict())
    objective.train()
    assert not whole.training and not any(p.requires_grad for p in whole.parameters())


def test_sizes_of_the_paper_s_students() -> None:
    """5.52, 21.67 and 85.80 million trainable and fixed parameters (models.md 4.1)."""
    counts = {}
    for name, sizes in {
        "ti": {"embed_dim": 192, "num_heads": 6, "last_heads": 12},
        "s": {"embed_dim": 384},
        "b": {},
    }.items():
        counts[name] = sum(p.numel() for p in create("tinymim", **sizes).parameters()) / 1e6
    assert counts == {
        "ti": pytest.approx(5.52, abs=0.05),
        "s": pytest.approx(21.67, abs=0.1),
        "b": pytest.approx(85.80, abs=0.16),
    }


def test_drop_path_everywhere_but_in_the_last_block() -> None:
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in student(drop_path=0.1).blocks]
    assert rates == [0.1, 0.1, 0.0]


# A decoder on a frozen student ----------------------------------------------------------


def decoder_on_student(**sizes: Any) -> TinyMIMDecoder:
    kept = {key: value for key, value in STUDENT.items() if key != "drop_path"}
    return create("tinymim_decoder", **{**kept, **DECODER, "band_config": (2, 16), **sizes})


def test_the_decoder_learns_while_the_student_stays_frozen() -> None:
    pupil, network = student(), decoder_on_student()
    TinyMIMObjective(pupil, teacher())
    objective = decoder_objective(network, student=pupil).train()
    keep = torch.rand(4, 16).argsort(1)[:, :8]
    before = {key: tensor.clone() for key, tensor in network.student.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], 2e-2)
    for _ in range(30):
        loss = total(objective(batch(), keep))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(torch.equal(before[key], tensor) for key, tensor in network.student.state_dict().items())
    assert all(
        torch.equal(tensor, network.student.state_dict()[key]) for key, tensor in pupil.state_dict().items()
    )
    assert any(p.grad is not None for p in network.decoder_blocks.parameters())
    assert network.reconstruct(batch().images, batch().res, keep).combined.shape == (4, 3, 64, 64)


def test_the_decoder_reads_the_tokens_that_were_trained() -> None:
    pupil, network = student(), decoder_on_student()
    network.adopt(pupil)
    images, res = batch().images, batch().res
    assert torch.equal(network.encode(images, res), pupil.embed_tokens(images, res))


def test_a_decoder_of_other_sizes_is_refused() -> None:
    with pytest.raises(ModelInputError, match="other sizes"):
        decoder_on_student().adopt(student(embed_dim=48))
    with pytest.raises(ModelInputError, match="not a TinyMIM student"):
        decoder_objective(decoder_on_student(), student=teacher())


def test_presets_are_listed_with_a_description() -> None:
    known = cards()
    for name in ("tinymim_tiny", "tinymim_small", "tinymim_base", "tinymim_decoder_tiny"):
        assert known[name].description.count(". ") == 2
    assert not known["tinymim_tiny"].reconstructs and known["tinymim_decoder_tiny"].reconstructs
    assert (
        known["tinymim_tiny"].input_px // known["tinymim_tiny"].patch_px
        == known["scale_mae_tiny"].input_px // known["scale_mae_tiny"].patch_px
    )
