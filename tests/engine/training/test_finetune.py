"""Fine-tuning: every family learns two textures, and the original model stays unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.engine.inputs import InputError
from core.engine.training.augmentation import Augmentation, repeatable
from core.engine.training.finetune import (
    RECIPES,
    FineTune,
    classify,
    fine_tune_recipe,
    finetune,
)
from core.engine.training.runs import RunError
from core.models import create
from core.models.registry import families
from core.models.tinymim import TinyMIMObjective
from tests.thorough import a_few

SMALL: dict[str, Any] = {
    "img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2, "decoder_embed_dim": 16,
    "decoder_depth": 1, "decoder_num_heads": 2,
    "fcn_dim": 8, "fcn_layers": 1, "head_scale": 2, "mlp_dim": 16, "stem_dim": 8,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ImagesInMemory:
    """Pictures (n, 3, s, s) in 0..1 as LabelledImages."""

    pictures: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, rows: NDArray[np.int64], /) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return self.pictures[rows], rows


def small(name: str) -> Any:
    return create(name, **{key: value for key, value in SMALL.items() if key in families()[name].defaults})


def stripes(count: int = 96) -> tuple[Any, Any, Any]:
    """Two classes that differ in texture alone: fine stripes and coarse ones, of random phase, direction and
    colour."""
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
    images = ImagesInMemory(pictures.clip(0, 1).astype(np.float32))
    return images, labels.astype(np.int64), np.ones(count, np.float32)


@pytest.mark.parametrize("name", a_few(sorted(families()), 2))
def test_every_family_learns_and_the_original_stays(name: str) -> None:
    torch.manual_seed(0)
    model = small(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    pictures, labels, res = stripes()
    *_, last = finetune(
        model, pictures, labels, res, FineTune(steps=60, batch=32, lr=5e-3, layer_decay=0.9, warmup_steps=5)
    )
    assert last.step == 60
    scores, rows = classify(last.classifier, pictures, res)
    right = scores.argmax(1) == labels[rows]
    assert right.mean() > 0.9
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    trained = dict(last.classifier.named_parameters())
    cls = next(key for key in trained if key.endswith("cls_token"))
    assert not torch.equal(before[cls.removeprefix("encoder.")], trained[cls]), "CLS is trained too"


def test_the_last_blocks_of_a_distilled_student_are_trained_too() -> None:
    student = small("tinymim")
    TinyMIMObjective(student, small("scale_mae"))
    step = next(iter(finetune(student, *stripes(), FineTune(steps=1, batch=8, warmup_steps=0))))
    tail = step.classifier.encoder.blocks[-1].mlp.fc1.weight
    assert tail.requires_grad


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_same_seed_same_losses_under_every_recipe(recipe: str) -> None:
    torch.manual_seed(0)
    model = small("mae")
    spec = fine_tune_recipe(recipe, steps=3, batch=8)
    runs = [[step.loss for step in finetune(model, *stripes(), spec)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_unusable_training_data_is_reported() -> None:
    pictures, labels, res = stripes()
    with pytest.raises(InputError, match="two classes"):
        next(finetune(small("mae"), pictures, labels * 0, res))
    with pytest.raises(InputError, match="one res per image"):
        next(finetune(small("mae"), pictures, labels, res[:3]))


def test_recipes_are_the_published_ones_scaled_to_the_batch() -> None:
    tinymim, mae = (fine_tune_recipe(name, batch=128) for name in ("tinymim", "mae"))
    assert (tinymim.layer_decay, tinymim.mixup, tinymim.cutmix, tinymim.erasing) == (0.6, 0.8, 1.0, 0.25)
    assert (mae.layer_decay, mae.drop_path, mae.lr) == (0.65, 0.1, 2.5e-4)
    assert fine_tune_recipe("tinymim", layer_decay=0.65, lr=1e-3).lr == 1e-3
    assert fine_tune_recipe("plain").lr == FineTune().lr
    with pytest.raises(InputError, match="no fine-tuning recipe 'best'"):
        fine_tune_recipe("best")


def test_the_rate_falls_by_the_layer_and_only_matrices_decay() -> None:
    step = next(iter(finetune(small("mae"), *stripes(), FineTune(steps=1, batch=8))))
    groups = step.classifier.learning_groups(0.5, 0.05)
    names = {id(p): name for name, p in step.classifier.named_parameters()}
    scale = {names[id(p)]: (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert scale["head.weight"] == (1.0, 0.05) and scale["head.bias"] == (1.0, 0.0)
    assert scale["encoder.blocks.1.attn.qkv.weight"] == (0.5, 0.05)
    assert scale["encoder.blocks.0.attn.qkv.weight"] == (0.25, 0.05)
    assert scale["encoder.patch_embed.proj.weight"] == (0.125, 0.05)
    assert scale["encoder.cls_token"] == (0.125, 0.0)
    assert not [name for name in scale if "decoder" in name]


def test_drop_path_rises_from_block_to_block_and_is_off_by_default() -> None:
    from timm.layers.drop import DropPath

    from core.models.classifier import Classifier

    blocks = Classifier(small("tinymim"), 2, drop_path=0.2).encoder.backbone.blocks
    assert isinstance(blocks[-1].drop_path1, DropPath) and blocks[-1].drop_path1.drop_prob == pytest.approx(
        0.2
    )
    assert isinstance(blocks[0].drop_path2, torch.nn.Identity)
    plain = Classifier(small("tinymim"), 2).encoder.backbone.blocks
    assert not [part for part in plain.modules() if isinstance(part, DropPath)]


def augmented(**settings: Any) -> tuple[Any, Any]:
    from core.engine.device import device

    images, labels, _ = stripes(8)
    card = small("mae").card
    augment = Augmentation(FineTune(orientations="none", **settings), card, 2, device())
    with repeatable(0, 0):
        made, targets = augment(images.pictures, labels, torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v)[:, None, None] for v in (card.mean, card.std))
    return made.cpu() * std + mean - torch.from_numpy(images.pictures), targets.cpu()


def test_without_augmentation_pictures_stay_as_they_are() -> None:
    change, targets = augmented(label_smoothing=0.0)
    assert change.abs().max() < 1e-5
    assert targets.tolist() == [[1, 0], [0, 1]] * 4


@pytest.mark.parametrize(
    "settings",
    [{"rand_augment": 10}, {"erasing": 1.0}, {"mixup": 0.8}, {"cutmix": 1.0}],
    ids=lambda settings: next(iter(settings)),
)
def test_each_augmentation_changes_the_pictures(settings: dict[str, Any]) -> None:
    change, targets = augmented(**settings)
    assert change.abs().max() > 0.05
    assert torch.allclose(targets.sum(1), torch.ones(8))
    mixes = "mixup" in settings or "cutmix" in settings
    assert (targets.max(1).values.min() < 0.94) == mixes, "only mixing changes the classes"


def test_global_random_state_is_left_as_it_was() -> None:
    import random

    def legacy() -> Any:
        return np.random.get_state()[1].tolist()  # noqa: NPY002  (timm draws from it)

    before = random.getstate(), legacy(), torch.random.get_rng_state()
    model = small("mae")
    torch.random.set_rng_state(before[2])
    list(finetune(model, *stripes(), fine_tune_recipe("tinymim", steps=2, batch=8)))
    assert random.getstate() == before[0] and legacy() == before[1]
    assert torch.equal(torch.random.get_rng_state(), before[2])


def test_unreadable_images_are_left_out_of_batches_and_predictions() -> None:
    images, labels, res = stripes(16)

    class WithHoles(ImagesInMemory):
        def read(self, rows: Any, /) -> tuple[Any, Any]:
            good = rows[rows % 3 != 0]
            return self.pictures[good], good

    holed = WithHoles(images.pictures)
    spec = fine_tune_recipe("mae", steps=3, batch=8)
    *_, last = finetune(small("mae"), holed, labels, res, spec)
    scores, rows = classify(last.classifier, holed, res)
    assert rows.tolist() == [row for row in range(16) if row % 3] and len(scores) == len(rows)
    nothing = ImagesInMemory(images.pictures)
    object.__setattr__(nothing, "read", lambda rows: (images.pictures[:0], rows[:0]))
    with pytest.raises(InputError, match="None of the 8 images of step 1 can be read"):
        next(finetune(small("mae"), nothing, labels, res, spec))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "max"}, "pooling must be one of mean, cls"),
        ({"drop_path": 1.0}, "drop_path must be a number from 0 to below 1"),
        ({"rand_augment": 11}, "rand_augment must be a magnitude from 0"),
        ({"mixup": -1}, "mixup must be 0"),
        ({"orientations": "some"}, "orientations must be one of all, flip, none"),
    ],
)
def test_invalid_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FineTune(**settings)


@pytest.mark.parametrize("recipe", ["plain", "tinymim"])
def test_a_stopped_fine_tuning_resumes_to_the_same_losses(recipe: str, tmp_path: Path) -> None:
    model, data = small("mae"), stripes(12)
    spec = fine_tune_recipe(recipe, steps=4, batch=6)
    whole = [step.loss for step in finetune(model, *data, spec)]
    file, asked = tmp_path / "run" / "finetune.pt", iter([False, True])
    first = list(finetune(model, *data, spec, checkpoint=file, asked_to_stop=lambda: next(asked)))
    assert [step.saved for step in first] == [False, True]
    rest = list(finetune(model, *data, spec, checkpoint=file))
    assert [step.loss for step in (*first, *rest)] == whole and rest[-1].saved
    (last,) = finetune(model, *data, spec, checkpoint=file)
    assert (last.step, last.loss) == (4, whole[-1])
    trained = last.classifier.state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in rest[-1].classifier.state_dict().items())


def test_a_checkpoint_of_another_fine_tuning_is_refused(tmp_path: Path) -> None:
    model, data, file = small("mae"), stripes(8), tmp_path / "finetune.pt"
    list(finetune(model, *data, FineTune(steps=1, batch=4), checkpoint=file))
    with pytest.raises(InputError, match=r"other steps, lr: repeat its command"):
        list(finetune(model, *data, FineTune(steps=2, batch=4, lr=1e-4), checkpoint=file))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(RunError, match="remove it to start again"):
        list(finetune(model, *data, FineTune(steps=1, batch=4), checkpoint=file))
