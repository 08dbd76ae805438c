"""WebDataset shards as a labelled set."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from core.cli.entry import BAD_INPUT, OK, main
from core.evaluation.data import storage
from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.data.images import read_picture
from core.evaluation.errors import LabelledSetError
from tests.evaluation.conftest import CLASSES, picture


def write_shard(path: Path, kinds: list[int], first: int = 0, mode: str = "w") -> None:
    """Write images of the given classes with the files that img2dataset and timm add."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for number, kind in enumerate(kinds, start=first):
            content = io.BytesIO()
            picture(kind, number).save(content, "PNG")
            for suffix, data in (
                ("png", content.getvalue()),
                ("cls", str(kind).encode()),
                ("json", json.dumps({"label": kind}).encode()),
            ):
                info = tarfile.TarInfo(f"n{number:05d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    kinds = [0, 1, 2] * 4
    write_shard(folder / "mine-train-0000.tar", kinds)
    write_shard(folder / "mine-train-0001.tar", kinds, first=12)
    write_shard(folder / "mine-validation-00.tar", kinds[:6], first=24)
    return folder


def test_classes_and_splits_come_from_members_and_names_of_shards(shards: Path) -> None:
    data = open_set(DataSpec(str(shards)), ())
    assert data.classes == ("0", "1", "2") and data.split_origin == "names of shards"
    assert (len(data.rows("train")), len(data.rows("test"))) == (24, 6)
    row = int(data.rows("test")[2])
    assert data.files[row] == "mine-validation-00/n00026.png"
    expected = np.asarray(picture(2, 26)).transpose(2, 0, 1)
    found = read_picture(data.store, data.files[row])
    assert isinstance(found, np.ndarray)
    assert np.array_equal((found * 255).round().astype(np.uint8), expected)


def test_one_shard_without_a_split_in_its_name_is_split_at_random(tmp_path: Path) -> None:
    write_shard(tmp_path / "latest.tar", [0, 1, 2] * 4)
    data = open_set(DataSpec(str(tmp_path / "latest.tar")), ())
    assert data.split_origin.startswith("random") and len(data.rows("test"))


def test_a_tar_left_beside_class_folders_is_no_shard(class_folders: Path) -> None:
    write_shard(class_folders / "archive.tar", [0, 1])
    assert open_set(DataSpec(str(class_folders)), ()).classes == CLASSES


def test_unusable_files_are_named(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (shards / "mine-train-0001.tar").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(storage, "MAX_ENTRIES", 5)
        with pytest.raises(LabelledSetError, match="have more than 5 images"):
            open_set(DataSpec(str(shards)), ())
    (shards / "mine-train-0001.tar").write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(LabelledSetError, match=r"'mine-train-0001.tar' is not a readable shard"):
        open_set(DataSpec(str(shards)), ())
    write_shard(shards / "mine-train-0001.tar", [0, 1], mode="w:gz")
    with pytest.raises(LabelledSetError, match="shards are uncompressed tar files"):
        open_set(DataSpec(str(shards)), ())
    (shards / "mine-train-0001.tar").rename(shards / "more.tar")
    write_shard(shards / "more.tar", [0, 1])
    with pytest.raises(LabelledSetError, match="Only some shards of 'shards' have train, val or test"):
        open_set(DataSpec(str(shards)), ())
    with tarfile.open(tmp_path / "bare.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("n1.png"))
    with pytest.raises(LabelledSetError, match=r"has no class: a shard holds a text \.cls"):
        open_set(DataSpec(str(tmp_path / "bare.tar")), ())


def test_an_encoder_is_fine_tuned_from_shards_with_the_recipe_of_imagenet(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", str(shards), "--recipe", "tinymim", "--layer-decay", "0.65", "--steps", "2"]
    words += ["--batch", "6", "--gsd-m", "1", "--model", "tinymim_tiny", "--json"]
    assert main(words) == OK
    result = json.loads(capsys.readouterr().out)
    assert (result["gallery"], result["count"], result["layer_decay"]) == (24, 6, 0.65)
    assert (result["mixup"], result["cutmix"], result["drop_path"]) == (0.8, 1.0, 0.1)
    for number in range(2):
        write_shard(shards / f"mine-train-000{number}.tar", [0, 1] * 3)
    assert main(words) == BAD_INPUT
    assert "class '2' is in the test images but not in the train images" in capsys.readouterr().err
