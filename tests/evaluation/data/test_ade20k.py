"""ADE20K in its published layout: tiles that count every pixel once, classes, and UperNet trained on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.cli.entry import main
from core.evaluation.data import ade20k
from core.evaluation.data.datasets import DataSpec
from core.evaluation.data.images import Skipped
from core.evaluation.data.masked import open_masked
from core.evaluation.data.masked_set import UNLABELLED, MaskedTile
from core.evaluation.errors import LabelledSetError

SIZES = {"training": [(64, 80), (48, 100), (64, 64), (70, 64)], "validation": [(64, 90), (130, 64)]}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ade20k, "TILE_PX", 64)


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "ADEChallengeData2016"
    rng = np.random.default_rng(0)
    for part, sizes in SIZES.items():
        for kind in ("images", "annotations"):
            (folder / kind / part).mkdir(parents=True)
        for number, (height, width) in enumerate(sizes):
            mask = np.zeros((height, width), np.uint8)
            mask[:, 8:] = 1
            mask[height // 2 :, 8:] = 150
            pixels = rng.integers(0, 60, (height, width, 3)) + (mask[:, :, None] == 150) * 150
            name = f"ADE_{part[:5]}_{number:08d}"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / part / f"{name}.jpg")
            Image.fromarray(mask).save(folder / "annotations" / part / f"{name}.png")
    rows = ["Idx\tRatio\tTrain\tVal\tStuff\tName", *(f"{n}\t0\t1\t1\t0\tthing {n}, x" for n in range(1, 151))]
    (folder / "objectInfo150.txt").write_text("\n".join(rows) + "\n")
    return folder


def test_every_pixel_counts_once_and_zero_is_unlabelled(ade: Path) -> None:
    data = open_masked(DataSpec("ADE20K"), (ade.parent,))
    assert data.classes[0] == "thing 1" and len(data.classes) == 150
    assert data.split_origin == "training and validation of its publisher"
    for split, part in (("train", "training"), ("test", "validation")):
        counts: dict[int, np.ndarray] = {}
        for row in data.rows(split).tolist():
            tile = data.read(row)
            assert isinstance(tile, MaskedTile) and tile.image.shape == (3, 64, 64)
            known = tile.classes[tile.classes != UNLABELLED]
            group = int(data.groups[row])
            counts[group] = counts.get(group, 0) + np.bincount(known, minlength=150)
        expected = [(h * w - 8 * h, h // 2 * (w - 8)) for h, w in SIZES[part]]
        found = [(int(count.sum()), int(count[0])) for _, count in sorted(counts.items())]
        assert found == expected


def test_a_folder_with_its_layout_is_recognised_and_what_is_wrong_is_named(ade: Path, tmp_path: Path) -> None:
    renamed = ade.rename(tmp_path / "mine")
    (renamed / "objectInfo150.txt").unlink()
    assert open_masked(DataSpec(str(renamed)), ()).classes[-1] == "class 150"
    Image.new("L", (30, 30)).save(renamed / "annotations" / "training" / "ADE_train_00000000.png")
    data = open_masked(DataSpec(str(renamed)), ())
    found = data.read(0)
    assert isinstance(found, Skipped) and found.reason == "it has 80 x 64 pixels, its annotation 30 x 30"
    (renamed / "annotations" / "training" / "ADE_train_00000001.png").write_bytes(b"no mask")
    with pytest.raises(LabelledSetError, match="cannot be read: unpack the archive again"):
        open_masked(DataSpec(str(renamed)), ())
    (tmp_path / "ADE20K").mkdir()
    with pytest.raises(
        LabelledSetError, match="has no image with its annotation: unpack ADEChallengeData2016"
    ):
        open_masked(DataSpec("ade20k"), (tmp_path,))


def test_upernet_is_fine_tuned_on_it_by_one_command(
    ade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "ade20k", "--protocol", "segmentation", "--train", "--steps", "2", "--size", "32"]
    command += [
        "--model",
        "mae_tiny",
        "--data",
        str(ade.parent),
        "--cache",
        str(tmp_path / "c"),
        "--json",
    ]
    assert main(command) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    result: dict[str, Any] = found
    assert result["low"] <= result["miou"] <= result["high"] and result["count"] == 2
    assert result["recipe"]["size_px"] == 32 and result["recipe"]["steps"] == 2
