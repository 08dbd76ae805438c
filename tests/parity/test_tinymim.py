"""TinyMIM against numbers recorded from the original code (rows 20 and 21 of models.md 6.1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from core.models import create
from core.models.tinymim import TinyMIM, TinyMIMObjective, log_relation, queries_keys_values

Read = Callable[[str], dict[str, Tensor]]
UNTRAINED = {
    f"blocks.11.{part}.{kind}"
    for part in ("attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for kind in ("weight", "bias")
}


@pytest.fixture(scope="module")
def theirs(recorded: Read) -> dict[str, Tensor]:
    return recorded("tinymim_tiny")


@pytest.fixture
def student(theirs: dict[str, Tensor]) -> TinyMIM:
    network = create(
        "tinymim",
        img_size=64,
        patch_size=16,
        embed_dim=32,
        depth=12,
        num_heads=4,
        last_heads=8,
        drop_path=0.0,
    )
    return fill(network, theirs, "student/")


@pytest.fixture
def teacher(theirs: dict[str, Tensor]) -> TinyMIM:
    network = create("tinymim", img_size=64, patch_size=16, embed_dim=64, depth=4, num_heads=8, drop_path=0.0)
    return fill(network, theirs, "teacher/")


def fill(network: TinyMIM, theirs: dict[str, Tensor], prefix: str) -> TinyMIM:
    network.load_state_dict(
        {key.removeprefix(prefix): tensor for key, tensor in theirs.items() if key.startswith(prefix)}
    )
    return network


@pytest.mark.parametrize(("name", "block"), [("teacher", 3), ("student", 12)])
def test_relations(name: str, block: int, theirs: dict[str, Tensor], request: pytest.FixtureRequest) -> None:
    q, k, v = queries_keys_values(
        request.getfixturevalue(name), block, theirs[f"in/{name}_img"], torch.ones(2)
    )
    torch.testing.assert_close(log_relation(q, k).exp(), theirs[f"out/{name}_qk"], atol=1e-5, rtol=0)
    torch.testing.assert_close(log_relation(v, v).exp(), theirs[f"out/{name}_vv"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("heads_at_once", [None, 3])
def test_losses(
    student: TinyMIM, teacher: TinyMIM, theirs: dict[str, Tensor], heads_at_once: int | None
) -> None:
    objective = TinyMIMObjective(student, teacher, teacher_block=3, heads_at_once=heads_at_once)
    losses = objective.losses(theirs["in/student_img"], theirs["in/teacher_img"], torch.ones(2))
    torch.testing.assert_close(losses["qk"], theirs["out/qk_loss"], atol=1e-5, rtol=0)
    torch.testing.assert_close(losses["vv"], theirs["out/vv_loss"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("heads_at_once", [None, 3])
def test_gradient_set_and_norms(
    student: TinyMIM, teacher: TinyMIM, theirs: dict[str, Tensor], heads_at_once: int | None
) -> None:
    objective = TinyMIMObjective(student, teacher, teacher_block=3, heads_at_once=heads_at_once)
    torch.stack(
        list(objective.losses(theirs["in/student_img"], theirs["in/teacher_img"], torch.ones(2)).values())
    ).sum().backward()
    ours = {name: float(p.grad.norm()) for name, p in student.named_parameters() if p.grad is not None}
    expected = {
        key.removeprefix("gradnorm/"): float(value)
        for key, value in theirs.items()
        if key.startswith("gradnorm/")
    }
    assert ours.keys() == expected.keys()
    assert {name for name, p in student.named_parameters() if p.requires_grad} - ours.keys() == UNTRAINED | {
        "norm.weight",
        "norm.bias",
    }
    assert all(ours[name] == pytest.approx(norm, rel=1e-4) for name, norm in expected.items())
    assert all(p.grad is None for p in teacher.parameters())


def test_names_shapes_and_what_trains(
    listing: Callable[[str], dict[str, tuple[tuple[int, ...], bool]]],
) -> None:
    network = create("tinymim_small", trained=False)
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    ours = {name: (tuple(tensor.shape), name in trainable) for name, tensor in network.state_dict().items()}
    assert len(ours) == 150
    assert ours == listing("tinymim_vits_keys")
