"""The papers' comparisons: both arms train on the same pictures, commands resume, records can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.cli.entry import BAD_INPUT, main
from core.engine.candidates import candidate
from core.engine.training.batches import draw_batch
from core.engine.training.runs import RunError, TrainingRun
from core.engine.training.train import Training
from core.evaluation.claims import Claim, read_claims
from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.data.storage import decode
from core.evaluation.errors import LabelledSetError, RecipeError
from core.papers import experiments, running
from core.papers.experiments import Experiment, experiment
from core.papers.pictures import pictures_for, subset_rows, training_pictures
from core.papers.running import run_claim

SMALL = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}
SMALL_DECODER = {"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of a few thousand numbers, and no time spent on measuring the pace."""
    monkeypatch.setattr(experiments, "ENCODER", SMALL)
    monkeypatch.setattr(experiments, "DECODER", SMALL_DECODER)
    monkeypatch.setattr(experiments, "STUDENT", {**SMALL, "gsd_aware": True})
    monkeypatch.setattr(running, "PACE_SECONDS", 0.02)


FED: dict[str, Any] = {"sides_px": (16,), "targets_px": (16,), "side_shares": (1.0,)}


def shrunk(name: str, **changes: Any) -> Experiment:
    """A paper's experiment at 16 px on the made-up pack."""
    found = experiment(name, batch=8)
    extra = {
        "sdmae": (("mlp_dim", 16), ("decoder_num_heads", 2), ("decoder_embed_dim", 16), ("img_size", 16)),
        "scale_mae": (("head_scale", 2), ("fcn_dim", 8)),
    }
    sizes = dict(found.ours.sizes) | dict(extra.get(name, ()))
    if name == "tinymim":
        sizes["last_heads"] = SMALL["num_heads"]  # those of the fixture `teacher`
    ours = replace(found.ours, sizes=tuple(sorted(sizes.items())), **FED)
    changes = {"sets": ("eurosat",), "protocols": ("knn",), "subset": 24 if found.subset else None} | changes
    return replace(found, ours=ours, other=replace(found.other, **FED), **changes)


@pytest.fixture
def teacher(tmp_path: Path, packs: Path) -> str:
    """A trained Scale-MAE of the student's grid and heads, as a file."""
    spec = replace(shrunk("scale_mae").of(1).ours, name="teacher")
    list(running.train(spec, tmp_path / "teacher", pictures_for(shrunk("scale_mae"), (packs,)).imagery))
    return str(tmp_path / "teacher" / "weights" / "teacher.safetensors")


def finished(steps: Iterator[str | Claim]) -> tuple[list[str], Claim]:
    seen = list(steps)
    assert isinstance(seen[-1], Claim)
    return [sentence for sentence in seen if isinstance(sentence, str)], seen[-1]


def test_three_seeds_of_two_arms_become_a_record_that_reads_back(packs: Path, tmp_path: Path) -> None:
    chosen, out = shrunk("sdmae", seeds=(0, 1)), tmp_path / "out"
    sentences, claim = finished(
        run_claim(chosen, out, (packs,), pictures=16, command="python -m core papers sdmae")
    )
    assert any(
        "16 pictures a run in both arms" in sentence and "4 runs" in sentence for sentence in sentences
    )
    assert {run.pictures for arm in (claim.ours, claim.other) for run in arm.runs} == {16}
    assert [run.seed for run in claim.ours.runs] == [0, 1] and len(
        {run.weights for run in claim.ours.runs}
    ) == 2
    assert [row.pooling for row in claim.comparisons] == [("cls", "cls"), ("mean", "mean")]
    top = claim.headlines[0]
    assert top.images == 16 and top.gallery == 24 and len(top.seeds) == 2 and top.floor is not None
    assert (
        top.difference.value
        == pytest.approx(top.ours.value - top.other.value, abs=1e-4)
        == pytest.approx(np.mean(top.seeds), abs=1e-4)
    )
    assert read_claims(out) == (claim,)
    written = json.loads((out / "sdmae.json").read_text())
    assert written["paper"]["protocol"].startswith("another protocol") and written["verdict"] == top.verdict


def test_a_second_call_trains_nothing_and_an_interrupted_one_ends_with_the_same_weights(
    packs: Path, tmp_path: Path
) -> None:
    chosen = shrunk("scale_mae", scales=(0.5, 1.0))
    whole = finished(run_claim(chosen, tmp_path / "whole", (packs,), pictures=24))[1]
    parts = run_claim(chosen, tmp_path / "parts", (packs,), pictures=24)
    for sentence in parts:
        if "mae_arm-0: " in str(sentence) and "scale" not in str(sentence):
            break
    parts.close()  # type: ignore[attr-defined]
    sentences, again = finished(run_claim(chosen, tmp_path / "parts", (packs,), pictures=99))
    assert any("24 images per run, as planned there" in sentence for sentence in sentences)
    assert "scale_mae_arm-0: trained already." in sentences
    assert [arm.runs[0].weights for arm in (whole.ours, whole.other)] == [
        arm.runs[0].weights for arm in (again.ours, again.other)
    ]
    assert whole.comparisons == again.comparisons
    assert [row.scale for row in whole.comparisons] == [None, 0.5, 1.0]
    mean, half, full = whole.comparisons
    assert mean.ours.value == pytest.approx((half.ours.value + full.ours.value) / 2, abs=1e-4)


def test_a_student_is_read_at_its_distilled_layer(packs: Path, tmp_path: Path, teacher: str) -> None:
    chosen = replace(
        shrunk("tinymim"), ours=replace(shrunk("tinymim").ours, objective=(("teacher", teacher),))
    )
    _, claim = finished(run_claim(chosen, tmp_path / "out", (packs,), pictures=16))
    assert claim.headlines[0].pooling == ("block11_mean", "mean")
    assert claim.ours.spec["objective"] == {"teacher": "teacher.safetensors"}
    student = candidate(tmp_path / "out/tinymim/tinymim_tiny-0/weights/tinymim_tiny.safetensors")
    assert student.pooling == "block11_mean"
    with pytest.raises(Exception, match="no pooling called 'cls'"):
        student.embed(np.zeros((1, 3, 16, 16), np.float32), np.ones(1), "cls")


@pytest.mark.parametrize("name", ["scale_mae", "sdmae"])
def test_both_arms_see_the_same_pictures(name: str, packs: Path) -> None:
    chosen = shrunk(name).of(2)
    imagery = pictures_for(chosen, (packs,)).imagery
    draws = [draw_batch(spec, imagery, 4, Training(spec).enlarge, 1) for spec in (chosen.ours, chosen.other)]
    assert np.array_equal(draws[0].pixels, draws[1].pixels) and np.array_equal(draws[0].keep, draws[1].keep)


@pytest.mark.parametrize("name", ["scale_mae", "tinymim", "sdmae"])
def test_no_test_picture_is_trained_on(name: str, packs: Path) -> None:
    whole = open_set(DataSpec("eurosat"), (packs,))
    tests = {decode(whole.store.read(whole.files[row]), "x").tobytes() for row in whole.rows("test")}
    found = pictures_for(shrunk(name), (packs,))
    seen = {picture.tobytes() for kind in found.imagery for picture in kind.pictures}
    assert len(tests) == 16 and len(seen) >= 24 and not tests & seen
    with pytest.raises(LabelledSetError, match="test split"):
        training_pictures(whole, tuple(whole.rows("test")[:2].tolist()))


def test_a_subset_is_the_gallery_and_the_same_everywhere(packs: Path) -> None:
    whole = open_set(DataSpec("eurosat"), (packs,))
    rows = subset_rows(whole, 24)
    assert rows == subset_rows(open_set(DataSpec("eurosat", 5), (packs,)), 10) or rows == subset_rows(
        whole, 24
    )
    data = pictures_for(shrunk("sdmae"), (packs,)).sets[0]
    assert {data.files[row] for row in data.rows("train")} == {whole.files[row] for row in rows}
    assert len(data.rows("test")) == 16 and data.fingerprint != whole.fingerprint
    limited = pictures_for(shrunk("sdmae"), (packs,), limit=3).sets[0]
    assert len(limited.rows("train")) == 24 and len(limited.rows("test")) == 6
    with pytest.raises(LabelledSetError, match="fewer than the 2,000"):
        pictures_for(shrunk("sdmae", subset=2_000), (packs,))


def test_a_stopped_run_says_how_to_resume(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SAY_SECONDS", 0.0)
    steps = run_claim(shrunk("scale_mae"), tmp_path, (packs,), pictures=80)
    with pytest.raises(RunError, match="the same command"):
        for sentence in steps:
            if "scale_mae_arm-0: 2/" in str(sentence):
                TrainingRun(tmp_path / "scale_mae" / "scale_mae_arm-0").ask_to_stop()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scale_mae", "--minutes-per-run", "0"], "above 0"),
        (["sdmae", "--batch", "1"], "--batch at least 2"),
        (["sdmae", "--seeds", "0"], "must be at least 1"),
        (["sdmae", "--sets", "ucmerced"], "leave the sets out"),
        (["tinymim", "--teacher", "nobody", "--pictures", "8"], "no model called 'nobody'"),
    ],
)
def test_invalid_options_are_refused(
    words: list[str], message: str, packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["papers", *words, "--data", str(packs), "--out", "out"]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_a_damaged_plan_and_an_unknown_paper_are_named(packs: Path, tmp_path: Path) -> None:
    (tmp_path / "scale_mae").mkdir()
    (tmp_path / "scale_mae" / "plan.json").write_text("{")
    with pytest.raises(RunError, match=r"plan\.json cannot be read"):
        list(run_claim(shrunk("scale_mae"), tmp_path, (packs,)))
    with pytest.raises(RecipeError, match="no paper called 'dino'"):
        experiment("dino")
