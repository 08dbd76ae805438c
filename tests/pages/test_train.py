"""The page Train: a run is followed, and its weights can be taken away."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit")

from core.engine.training.runs import PRESETS, Run, read_spec
from core.engine.training.train import train
from core.errors import ExplorerError
from core.geo.crops import Imagery
from ui.train.runs import resume_run, start_run

PAGE = "pages/5_Train.py"


def test_without_a_run_the_page_says_how_to_start_one(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr("ui.train.runs.RUNS", tmp_path)
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert "smoke preset" in app.info[0].value


@pytest.mark.parametrize("bomb", ["[" * 5000, ".".join(["a"] * 19_000) + "=1", "steps = " + "9" * 5000, "#" * 200_000])
def test_a_spec_that_is_a_bomb_is_refused_in_a_sentence(open_page, tmp_path, monkeypatch, bomb):
    monkeypatch.setattr("ui.train.runs.RUNS", tmp_path)
    app = open_page(PAGE)
    assert app.text_area[0].proto.max_chars == 20_000
    app.text_area[0].set_value(bomb)  # a program that is no browser heeds no max_chars
    next(button for button in app.button if button.label == "Start training").click().run()
    assert not app.exception
    assert "the spec" in app.error[0].value
    assert not list(tmp_path.iterdir())


def test_a_run_is_followed_and_its_weights_can_be_taken_away(open_page, tmp_path, monkeypatch):
    pictures = tuple(np.random.default_rng(0).integers(0, 255, (6, 96, 96, 3), np.uint8))
    spec = replace(read_spec(PRESETS["smoke"]), steps=2, batch=4, warmup_steps=1, checkpoint_minutes=1000.0)
    for _ in train(spec, tmp_path / "sunday", (Imagery("made up", "none", pictures, (10.0,) * 6, 1.0, 0.5, 2.0),)):
        pass
    monkeypatch.setattr("ui.train.runs.RUNS", tmp_path)
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert [metric.label for metric in app.metric][:2] == ["Loss", "Pictures seen"]
    (button,) = app.get("download_button")
    assert "Take the weights away" in button.proto.label


def test_on_a_server_for_others_its_owner_decides_about_training(open_page, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_ALLOW", "")
    app = open_page(PAGE)
    assert not app.exception
    assert any("EARTH_MAE_ALLOW=train" in info.value for info in app.info)
    assert not {"Start training", "Resume", "Stop"} & {button.label for button in app.button}
    with pytest.raises(ExplorerError, match="may not train"):
        start_run("mine", "")
    with pytest.raises(ExplorerError, match="may not train"):
        resume_run(Run(Path("nowhere")))
