"""Fine-tuning: every family learns classes it can see, the model it came from stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.engine.inputs import InputError
from core.engine.training.finetune import FineTune, classify, finetune
from core.models import create
from core.models.registry import families
from core.models.tinymim import TinyMIMObjective

SMALL: dict[str, Any] = {
    "img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2, "decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2,
    "fcn_dim": 8, "fcn_layers": 1, "head_scale": 2, "mlp_dim": 16, "stem_dim": 8,
}  # fmt: skip


def small(name: str) -> Any:
    return create(name, **{key: value for key, value in SMALL.items() if key in families()[name].defaults})


def stripes(count: int = 96) -> tuple[Any, Any, Any]:
    """Two classes that differ in texture alone: fine stripes and coarse ones, of random phase, direction and colour."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    phase, where = rng.uniform(0, 6, (count, 1)), np.arange(16)
    lines = np.sin(where * np.where(labels, 2.4, 0.6)[:, None] + phase)
    pictures = (
        0.5
        + 0.2 * lines[:, None, None, :]
        + rng.uniform(-0.2, 0.2, (count, 3, 1, 1))
        + np.zeros((1, 1, 16, 1))
    )
    return pictures.clip(0, 1).astype(np.float32), labels.astype(np.int64), np.ones(count, np.float32)


@pytest.mark.parametrize("name", sorted(families()))
def test_every_family_learns_and_the_original_stays(name: str) -> None:
    torch.manual_seed(0)
    model = small(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    pictures, labels, res = stripes()
    *_, last = finetune(
        model, pictures, labels, res, FineTune(steps=60, batch=32, lr=5e-3, layer_decay=0.9, warmup_steps=5)
    )
    assert last.step == 60
    right = classify(last.classifier, pictures, res).argmax(1) == labels
    assert right.mean() > 0.9
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_a_distilled_student_s_tail_learns_with_the_rest() -> None:
    student = small("tinymim")
    TinyMIMObjective(student, small("scale_mae"))
    step = next(iter(finetune(student, *stripes(), FineTune(steps=1, batch=8, warmup_steps=0))))
    tail = step.classifier.encoder.blocks[-1].mlp.fc1.weight
    assert tail.requires_grad


def test_same_seed_same_losses() -> None:
    torch.manual_seed(0)
    model = small("mae")
    spec = FineTune(steps=3, batch=8)
    runs = [[step.loss for step in finetune(model, *stripes(), spec)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_what_cannot_be_learned_is_said() -> None:
    pictures, labels, res = stripes()
    with pytest.raises(InputError, match="two classes"):
        next(finetune(small("mae"), pictures, labels * 0, res))
    with pytest.raises(InputError, match="one res per image"):
        next(finetune(small("mae"), pictures, labels, res[:3]))
