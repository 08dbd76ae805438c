"""`python -m core finetune`: a shipped encoder learns two classes, and invalid input is reported."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from core.cli.entry import BAD_INPUT, OK, main


@pytest.fixture
def textures(tmp_path: Path) -> Path:
    """Sixteen pictures of each of two classes to learn from and eight to be judged by, 16 px: strong and
    faint stripes of any colour."""
    rng = np.random.default_rng(0)
    for kind, name in enumerate(("Faint", "Strong")):
        for split in ("train", "test"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
        for number in range(24):
            lines = (70 if kind else 6) * np.sin(np.arange(16) * 1.3 + number)
            pixels = 128 + lines[None, :, None] + rng.uniform(-40, 40, 3) + np.zeros((16, 1, 1))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
                tmp_path / "set" / ("train" if number < 16 else "test") / name / f"{number}.png"
            )
    return tmp_path / "set"


def test_it_learns_and_records_where_the_weights_came_from(
    textures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = textures.parent / "result.json"
    words = [
        "finetune",
        str(textures),
        "--model",
        "scale_contrast_tiny",
        "--gsd-m",
        "1",
        "--steps",
        "40",
        "--batch",
        "16",
        "--lr",
        "2e-3",
        "--out",
        str(out),
        "--json",
    ]
    assert main(words) == OK
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result == json.loads(out.read_text())
    assert (
        result["model"] == "scale_contrast_tiny"
        and len(result["weights"]) == 64
        and result["low"] <= result["accuracy"] <= result["high"]
    )
    assert result["low"] < result["high"], "sixteen pictures leave some uncertainty"
    assert (result["count"], result["gallery"]) == (16, 32) and result["accuracy"] > 0.8
    assert "40/40" in captured.err and "s left" in captured.err
    assert main([*words, "--untrained", "--steps", "1"]) == OK
    assert json.loads(capsys.readouterr().out)["weights"] == "untrained"


def test_a_published_recipe_runs_and_names_the_image_that_it_skipped(
    textures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (textures / "train" / "Faint" / "0.png").write_bytes(b"no picture")
    words = ["finetune", str(textures), "--gsd-m", "1", "--steps", "6", "--batch", "16", "--json"]
    words += ["--model", "scale_contrast_tiny", "--recipe", "tinymim", "--pooling", "cls", "--mixup", "0"]
    assert main(words) == OK
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["recipe"], result["layer_decay"], result["mixup"]) == ("tinymim", 0.6, 0.0)
    assert (result["cutmix"], result["pooling"], result["drop_path"]) == (1.0, "cls", 0.1)
    assert result["skipped"] == ["train/Faint/0.png"] and "skipped train/Faint/0.png: " in captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "at least 1"), (["--model", "nobody"], "no model called"),
        (["--model", "scale_mae_tiny"], "states no ground sample distance"),
        (["--lr", "inf"], "lr must be above 0"), (["--seed", "-1"], "seed is -1; choose a whole number"),
        (["--size", "-5"], "size in pixels is -5"),
        (["--size", "0"], "size in pixels is 0"), (["--gsd-m", "-1"], "GSD is -1"),
    ],
)  # fmt: skip
def test_invalid_options_are_reported(
    textures: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", str(textures), *words]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_a_stopped_command_resumes_and_a_finished_one_only_scores(
    textures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = textures.parent / "run"
    words = ["finetune", str(textures), "--gsd-m", "1", "--steps", "3", "--batch", "8", "--run", str(run)]
    words += ["--model", "scale_contrast_tiny", "--json"]
    with monkeypatch.context() as patch:
        stopped = nullcontext(SimpleNamespace(asked=True))
        patch.setattr("core.engine.training.stop_signals.StopSignals", lambda: stopped)
        assert main(words) == 130
    captured = capsys.readouterr()
    assert captured.out == "" and "stopped and saved at step 1: the same command resumes it." in captured.err
    assert main(words) == OK
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (
        "3/3" in captured.err
        and "images/s" in captured.err
        and "saved" in captured.err
        and "1/3" not in captured.err
    )
    assert main(words) == OK
    again = json.loads(capsys.readouterr().out)
    assert (again["accuracy"], again["loss"]) == (result["accuracy"], result["loss"])
