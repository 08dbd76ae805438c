"""The command that reproduces Scale-MAE's kNN on EuroSAT, on synthetic weights of the published layout and
pictures in the published split.

With the official file and all of EuroSAT the same command gives the published 0.960; here its predictions
are compared with a plain torch version of the authors' evaluation.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.cli.entry import main
from core.evaluation.cache import Cache
from core.evaluation.data.images import read_picture
from core.evaluation.data.storage import ImageStore
from core.evaluation.recipes import EvaluationRecipe
from core.models import load_checkpoint
from tests.evaluation.conftest import CLASSES, picture

MEAN, STD = (0.34437, 0.38029, 0.40778), (0.20369, 0.13664, 0.11484)  # the authors' for EuroSAT
TRAIN, BATCH = 11, 4


@pytest.fixture
def eurosat(tmp_path: Path) -> Path:
    """EuroSAT's folder as published, 64 px pictures, beside the split lists of the Scale-MAE repository."""
    root = tmp_path / "data" / "EuroSAT" / "2750"
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for kind, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(15):
            picture(kind, number, 64).save(root / name / f"{name}_{number}.png")
            lists["train" if number < TRAIN else "val"].append(f"{name}/{name}_{number}.png")
    for split, lines in lists.items():
        (root.parent / f"{split}-eurosat.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def authors_way(weights: Path, data: Path, overwrite: bool) -> tuple[list[str], list[int]]:
    """The authors' evaluation in plain torch: area to 224 px, the set's colours, CLS at res 1, cosine, 20
    neighbours, exp(similarity / 0.07)."""
    model, store = load_checkpoint(weights), ImageStore(data / "EuroSAT" / "2750")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def vectors(names: list[str]) -> torch.Tensor:
        pictures = torch.stack([torch.from_numpy(read_picture(store, name)) for name in names])
        fed = (F.interpolate(pictures, size=(224, 224), mode="area") - mean) / std
        with torch.no_grad():
            return F.normalize(
                torch.cat([model.encode(one[None], torch.tensor([1.0]), None)[:, 0] for one in fed]), dim=1
            )

    train = [name for name in store.names if int(name.split("_")[-1][:-4]) < TRAIN]
    test = [name for name in store.names if name not in train]
    labels = torch.tensor([CLASSES.index(name.split("/")[0]) for name in train])
    bank = vectors(train)
    if overwrite:
        written, written_labels = torch.zeros_like(bank), torch.zeros_like(labels)
        for number, start in enumerate(range(0, len(train), BATCH)):
            part = bank[start : start + BATCH]
            at = number * len(part)
            written[at : at + len(part)], written_labels[at : at + len(part)] = (
                part,
                labels[start : start + BATCH],
            )
        bank, labels = written, written_labels
    similarity, rows = (vectors(test) @ bank.T).topk(20, dim=1)
    votes = torch.zeros(len(test), 3).scatter_add_(1, labels[rows], (similarity / 0.07).exp())
    return test, votes.argmax(1).tolist()


@pytest.mark.parametrize("overwrite", [False, True])
def test_one_command_is_the_authors_evaluation(official_weights, eurosat, tmp_path, capsys, overwrite):
    command = [
        "evaluate",
        "eurosat",
        "--model",
        str(official_weights),
        "--author",
        "author_224",
        "--normalisation",
        "dataset",
        "--data",
        str(eurosat),
    ]
    more = ["--overwrite-batch", str(BATCH)] if overwrite else []
    assert main([*command, *more, "--cache", str(tmp_path / "cache"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"][0]
    recipe = EvaluationRecipe(**found["recipe"])
    assert (recipe.native_px, recipe.scaled_px, recipe.size_px, recipe.interpolation) == (64, 64, 224, "area")
    assert (recipe.pooling, recipe.res, recipe.normalisation) == ("cls", 1.0, "dataset")
    assert (recipe.k, recipe.tau, recipe.overwrite_batch) == (20, 0.07, BATCH if overwrite else None)
    assert recipe.split == "lists train-eurosat.txt and val-eurosat.txt"
    assert found["gallery"] == 3 * TRAIN and found["count"] == 3 * (15 - TRAIN)

    names, predicted = authors_way(official_weights, eurosat, overwrite)
    arrays = Cache(tmp_path / "cache").arrays(recipe)
    assert arrays["predicted"].tolist() == predicted
    right = np.array(
        [CLASSES[label] == name.split("/")[0] for label, name in zip(predicted, names, strict=True)]
    )
    assert found["accuracy"] == pytest.approx(right.mean())


def test_one_option_gives_the_authors_recipe_at_native_size(official_weights, eurosat, tmp_path, capsys):
    command = [
        "evaluate",
        "eurosat",
        "--model",
        str(official_weights),
        "--author",
        "author",
        "--data",
        str(eurosat),
        "--cache",
        str(tmp_path / "cache"),
    ]
    assert main([*command, "--json"]) == 0
    recipe = json.loads(capsys.readouterr().out)["results"][0]["recipe"]
    assert (recipe["size_px"], recipe["res"], recipe["pooling"], recipe["interpolation"]) == (
        64,
        3.5,
        "cls",
        "area",
    )
