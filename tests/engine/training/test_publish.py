"""Published weights are listed, loaded and read by the app: students at their trained layer, SDMAE with its
own grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine.embed import embed
from core.engine.inputs import InputError
from core.engine.training.publish import publish, weights_licence
from core.engine.training.runs import TrainingRun, TrainSpec, read_spec
from core.engine.training.train import train
from core.geo.imagery import Imagery
from core.models import create, load_checkpoint, registry
from core.models.registry import cards
from core.models.tinymim import UntrainedTailError

NO_TEACHER = (("location", "cross_entropy"),)
"""The objective of the preset sdmae without its teacher, which is a download."""


@pytest.fixture
def imagery() -> tuple[Imagery, ...]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (6, 12, 12, 3), np.uint8)
    return (
        Imagery(
            "made up", "none", tuple(p.repeat(8, 0).repeat(8, 1) for p in coarse), (10.0,) * 6, coarser=1.0
        ),
    )


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the shipped weights."""
    monkeypatch.setattr(registry, "WEIGHTS_FOLDER", tmp_path / "weights")
    return tmp_path / "weights"


def trained(preset: str, folder: Path, imagery: tuple[Imagery, ...], **changes: Any) -> TrainSpec:
    spec = replace(read_spec(Path(preset)), steps=2, batch=4, warmup_steps=1, **changes)
    assert [step.step for step in train(spec, folder, imagery)] == [1, 2]
    return spec


def test_a_published_student_is_listed_and_read_where_it_learned(tmp_path, imagery, weights_folder):
    trained("tinymim", tmp_path / "run", imagery, sides_px=(32,))
    publish(TrainingRun(tmp_path / "run"), {"knn_eurosat": 0.5}, folder=weights_folder)
    card = cards()["tinymim_tiny"]
    assert card.trained and card.pooling == "block11_mean" and card.gsd_aware and card.embed_dim == 192
    assert card.weights and card.weights.images_seen == 8 and "teacher scale_mae_tiny" in card.weights.notes
    student = create("tinymim_tiny")
    pictures = np.random.default_rng(1).random((2, 3, 32, 32), np.float32)
    assert embed(student, pictures, gsd_m=10.0).shape == (2, 192)
    with pytest.raises(InputError, match="no pooling called 'cls'"):
        embed(student, pictures, gsd_m=10.0, pooling="cls")


@pytest.mark.thorough
def test_a_students_file_is_refused_at_its_untrained_last_blocks_and_feeds_the_decoder(
    tmp_path, imagery, weights_folder
):
    import torch

    trained("tinymim", tmp_path / "student", imagery, sides_px=(32,))
    file = tmp_path / "student" / "weights" / "tinymim_tiny.safetensors"
    with pytest.raises(UntrainedTailError, match="never learned anything"):
        load_checkpoint(file).encode(torch.zeros(1, 3, 32, 32), torch.ones(1))
    options = (("high_loss", "l2"), ("student", str(file)))
    trained(
        "tinymim_decoder",
        tmp_path / "painter",
        imagery,
        sides_px=(32,),
        targets_px=(64,),
        side_shares=(1.0,),
        objective=options,
    )
    publish(TrainingRun(tmp_path / "painter"), {}, folder=weights_folder)
    painter = create("tinymim_decoder_tiny")
    student = load_checkpoint(file).state_dict()
    assert painter.card.trained and painter.card.reconstructs
    assert all(
        torch.equal(tensor, student[key])
        for key, tensor in painter.student.state_dict().items()
        if not key.endswith("pos_embed")
    )


def test_a_published_sdmae_is_listed_and_embeds(tmp_path, imagery, weights_folder):
    sides: dict[str, Any] = {"sides_px": (56,), "targets_px": (64,), "side_shares": (1.0,)}
    trained("sdmae", tmp_path / "run", imagery, **sides, objective=NO_TEACHER)
    publish(TrainingRun(tmp_path / "run"), {"knn_eurosat": 0.6}, folder=weights_folder)
    card = cards()["sdmae_tiny"]
    assert card.trained and card.reconstructs and card.input_px == 56 and card.sizes["trainable_patch_embed"]
    assert (weights_folder / "sdmae_tiny.safetensors").stat().st_size < 20_000_000
    pictures = np.random.default_rng(1).random((2, 3, 56, 56), np.float32)
    vectors = embed(create("sdmae_tiny"), pictures, gsd_m=10.0)
    assert (
        vectors.shape == (2, 192) and np.isfinite(vectors).all() and not np.allclose(vectors[0], vectors[1])
    )


def test_the_licence_follows_from_imagery_and_teacher():
    openly = {"eurosat": "MIT"}
    assert weights_licence(openly) == "Apache-2.0 (trained on openly licensed imagery)"
    taught = weights_licence(openly, "Apache-2.0")
    assert taught == (
        "Apache-2.0 (trained on openly licensed imagery, distilled from a teacher under Apache-2.0)"
    )
    assert weights_licence(openly, taught) == taught, (
        "a teacher with a teacher of its own is stated in the same way"
    )
    assert weights_licence(openly, "CC-BY-NC-4.0") == "non-commercial use only, as the teacher"
    assert weights_licence({}).startswith("not stated")
