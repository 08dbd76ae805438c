"""Differences of protocol from the papers: all of them, and no others."""

from dataclasses import replace

import pytest

from core.cli.entry import main
from core.evaluation.paper import against_paper, paper_text
from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.results import Result
from core.models.checkpoints.releases import OFFICIAL_SHA256, RELEASES

OFFICIAL = RELEASES["scale-mae"].sha256
RECIPE = EvaluationRecipe(
    "knn",
    "eurosat",
    "0" * 16,
    "scalemae-vitlarge-800.pth",
    OFFICIAL,
    size_px=224,
    policy="manual-1.0",
    res=1.0,
    k=20,
    tau=0.07,
)


def differences(**settings):
    found = Result(
        replace(RECIPE, **settings), "accuracy", 0.96, 0.95, 0.97, 5400, details={"gallery": 21_600}
    )
    return " ".join(against_paper([found], OFFICIAL_SHA256)[0].differences)


def test_official_weights_are_recognised():
    assert "ViT-L" not in differences()
    assert "not the paper's ViT-L" in differences(weights="1" * 64)
    found = Result(RECIPE, "accuracy", 0.96, 0.95, 0.97, 5400)
    assert "not the paper's ViT-L" in " ".join(
        against_paper([found])[0].differences
    )  # a command without files gets a hint


@pytest.mark.parametrize(
    ("settings", "differs"),
    [
        ({}, False),
        ({"size_px": 64, "policy": "manual-3.5", "res": 3.5}, False),
        ({"size_px": 64, "policy": "author_eval", "res": 3.5}, False),
        ({"size_px": 64, "policy": None, "res": None}, False),
        ({"size_px": 64, "policy": "log_gsd", "res": 2.9}, True),
        ({"policy": "manual-2.0", "res": 2.0}, True),
    ],
)
def test_res_is_a_difference_only_if_it_is_not_the_authors(settings, differs):
    assert ("res by the policy" in differences(**settings)) == differs


def test_pooling_and_limit_are_differences():
    assert "pooling" not in differences(pooling="cls") and "at most" not in differences()
    assert "pooling mean; the paper uses the class token" in differences(pooling="mean")
    assert "at most 5 images per class and split" in differences(data="ucmerced", limit=5)


def test_tinymim_table_is_complete():
    lines = paper_text([]).splitlines()
    assert "  TinyMIM-Ti: 75.8 / 44.0 / 11.0 / 39.8 / 50.1" in lines
    assert "  TinyMIM*-Ti: 79.6 / 45.0 / - / - / -" in lines
    assert "  TinyMIM-B: 85.0 / 52.2 / 43.0 / 54.6 / 32.7" in lines


def test_the_command_knows_the_official_files(class_folders, tmp_path, capsys, monkeypatch):
    (tmp_path / "data").mkdir()
    class_folders.rename(tmp_path / "data" / "EuroSAT_RGB")
    command = [
        "evaluate",
        "eurosat",
        "--data",
        str(tmp_path / "data"),
        "--model",
        "colour_histogram",
        "--against",
        "paper",
        "--cache",
        str(tmp_path / "kept"),
    ]
    assert main(command) == 0
    assert "not the paper's ViT-L" in capsys.readouterr().out
    monkeypatch.setattr(
        "core.models.checkpoints.releases.OFFICIAL_SHA256",
        {"none": "as if the histogram were the official file"},
    )
    assert main(command) == 0
    assert "not the paper's ViT-L" not in capsys.readouterr().out
