"""Labelled sets as training imagery, and SDMAE pretrained and fine-tuned on them by two commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.cli.entry import BAD_INPUT, OK, main
from core.engine.training.runs import PRESETS, TrainingRun, read_spec
from core.evaluation.data import archives
from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.data.training import training_imagery
from core.geo.crops import draw_crops
from core.geo.tile import GeoError
from tests.evaluation.conftest import picture
from tests.evaluation.data.test_archives import records, tar


def test_train_images_are_whole_pictures_of_one_size_and_never_turned(index_zip: Path) -> None:
    data = open_set(DataSpec(str(index_zip)), ())
    imagery = training_imagery(DataSpec(str(index_zip)), (), 64)
    assert len(imagery.pictures) == len(data.rows("train")) == 24
    assert imagery.gsd_m[0] == 1.0  # 32 px at 2 m became 64 px
    assert data.fingerprint in imagery.digest
    crops = draw_crops([imagery], 64, 0, 0, range(40)).pixels
    all_of_them = np.stack([imagery.pictures[n] for n in range(24)])
    assert all((all_of_them == crop).all((1, 2, 3)).any() for crop in crops)
    larger = Image.fromarray(imagery.pictures[0]).resize((32, 32), Image.Resampling.BOX)
    whole = np.asarray(picture(0, 0), float)
    assert np.abs(np.asarray(larger, float) - whole).mean() < 0.2 * whole.std()


def test_an_image_that_cannot_be_decoded_is_skipped_and_named(class_folders: Path) -> None:
    data = open_set(DataSpec(str(class_folders)), ())
    spoilt = data.files[int(data.rows("train")[0])]
    (class_folders / spoilt).write_bytes(b"no picture")
    imagery = training_imagery(DataSpec(str(class_folders)), (), 32)
    with pytest.raises(GeoError, match="cannot be decoded"):
        imagery.pictures[0]
    assert imagery.pictures.failed == {spoilt}
    assert len(draw_crops([imagery], 32, 0, 0, range(60)).pixels) == 60


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The authors' recipe on a small network, otherwise unchanged."""
    text = PRESETS["sdmae_paper"].read_text().replace('"sdmae_base"', '"sdmae_tiny"')
    for old, new in (("[224]", "[56]"), ("[256]", "[64]"), ("batch = 64", "batch = 4")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "small.toml").write_text(text + "\n[sizes]\nimg_size = 56\n")
    return tmp_path / "small.toml"


@pytest.mark.thorough
def test_sdmae_is_pretrained_and_fine_tuned_on_cifar(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(archives, "program_folder", lambda name: tmp_path / name)
    folder = "cifar-10-batches-bin"
    tar(
        tmp_path / "cifar-10-binary.tar.gz",
        {
            f"{folder}/batches.meta.txt": b"airplane\nautomobile\n",
            f"{folder}/data_batch_1.bin": records([0], [1], [0], [1], [0], [1], [0], [1]),
            f"{folder}/test_batch.bin": records([1], [0]),
        },
    )
    run = tmp_path / "run"
    words = ["train", str(small), "--set", "cifar10", "--data", str(tmp_path), "--run", str(run)]
    assert main([*words, "--epochs", "2"]) == OK
    spec = TrainingRun(run).spec()
    assert (spec.steps, spec.warmup_steps, spec.data) == (4, 1, ("cifar10",))
    weights = TrainingRun(run).weights_file()
    assert weights is not None
    capsys.readouterr()
    tune = ["finetune", "cifar10", "--data", str(tmp_path), "--model", str(weights), "--recipe", "sdmae"]
    assert main([*tune, "--size", "56", "--batch", "4", "--epochs", "2", "--json"]) == OK
    result = json.loads(capsys.readouterr().out)
    assert (result["gallery"], result["count"], result["size_px"], result["steps"]) == (8, 2, 56, 4)
    assert (result["recipe"], result["layer_decay"], result["mixup"]) == ("sdmae", 0.75, 0.0)
    assert main(["train", str(small), "--epochs", "2"]) == BAD_INPUT
    assert "--epochs counts passes over the images of --set" in capsys.readouterr().err
    assert main([*tune, "--epochs", "0"]) == BAD_INPUT


def test_the_authors_recipe_counts_the_epochs_of_cifar() -> None:
    spec = read_spec(Path("sdmae_paper"))
    assert spec.steps == -(-300 * 50_000 // spec.batch) and spec.warmup_steps == spec.steps * 40 // 300
    assert spec.lr == 1e-3 * spec.batch / 256
