"""An evaluation in a separate process: killed, resumed, stopped, and its request as a file."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from core.background import REQUEST, BackgroundError
from core.cli.verbs.evaluate.from_file import run_from_file
from core.evaluation.cache import CACHE_VARIABLE, Cache
from core.evaluation.errors import RecipeError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.process import (
    EvaluationRequest,
    EvaluationRun,
    EvaluationStatus,
)
from core.evaluation.progress import EvaluationProgress
from core.evaluation.protocols.knn import KnnSpec
from core.evaluation.recipes import EvaluationRecipe

COLOURS = ("colour_histogram",)


def write_set(folder: Path, side_px: int) -> Path:
    """Two classes of 12 noisy images each."""
    noise = np.random.default_rng(0).normal(0, 30, (side_px, side_px, 3))
    for name, level in (("dark", 60), ("light", 180)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.roll(noise + level, number, axis=1).clip(0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{number}.png", compress_level=1)
    return folder


def wait_until(what, seconds=300):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def kill(folder: Path) -> None:
    """Kill the process that evaluates in a folder, as a power failure would."""
    for child in psutil.Process().children():
        if any(str(folder) in word for word in child.cmdline()):
            child.kill()
            child.wait()


def test_a_killed_evaluation_resumes_from_its_results(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    sets = (write_set(tmp_path / "small", 16), write_set(tmp_path / "large", 900))
    run = EvaluationRun(tmp_path / "run")
    plan = EvaluationPlan(data=tuple(map(str, sets)), gsd_m=1.0, knn=KnnSpec(k=5))
    run.start(EvaluationRequest((plan,), COLOURS))
    with pytest.raises(BackgroundError, match="already running"):
        run.start(EvaluationRequest((plan,), COLOURS))
    wait_until(lambda: run.status.completed == 1)
    kill(run.folder)
    wait_until(lambda: not run.running)
    assert not run.status.ended and "interrupted" in run.problem and "resume it" in run.problem
    (first,) = (tmp_path / "cache").glob("*.json")
    written = first.stat().st_mtime_ns

    again = EvaluationRun(run.folder)  # after a restart only the folder is known
    assert again.request.plans == (plan,)
    again.resume()
    wait_until(lambda: not again.running)
    assert again.problem == "" and again.status.completed == 2 and again.status.ended
    assert first.stat().st_mtime_ns == written, "the first result was not computed again"
    assert len(Cache(tmp_path / "cache").results()) == 2


def test_a_stopped_evaluation_ends_without_a_problem(tmp_path):
    run = EvaluationRun(tmp_path / "run")
    plan = EvaluationPlan(data=(str(write_set(tmp_path / "set", 16)),), gsd_m=1.0)
    write_request(tmp_path / "run", EvaluationRequest((plan,), COLOURS))
    run.stop()
    assert run_from_file(run.folder / REQUEST, Cache(tmp_path / "cache")) == 0
    assert run.status == replace(run.status, completed=0, ended=True, problem="")
    assert run.problem == "" and run.stop_requested


def test_a_problem_is_kept_for_the_page(tmp_path):
    run = EvaluationRun(tmp_path / "run")
    write_request(run.folder, EvaluationRequest((EvaluationPlan(data=("nowhere",)),), COLOURS))
    with pytest.raises(Exception, match="nowhere"):
        run_from_file(run.folder / REQUEST, Cache(tmp_path / "cache"))
    assert "nowhere" in run.problem and run.status.ended


def write_request(folder: Path, request: EvaluationRequest) -> None:
    """Write what `start` writes, without a process."""
    from dataclasses import asdict

    folder.mkdir(parents=True)
    (folder / REQUEST).write_text(json.dumps(asdict(request)))


def test_requests_and_statuses_survive_their_files(tmp_path):
    recipe = EvaluationRecipe("knn", "eurosat", "hash", "mae_tiny", "none", policy="log_gsd", k=5)
    plan = EvaluationPlan("few-shot", ("a", "b"), (0.5,), (None, "manual-2.0"), knn=KnnSpec(3, 0.1, 64))
    request = EvaluationRequest((plan, EvaluationPlan()), ("mae_tiny", "/w/x.safetensors"), recipe)
    write_request(tmp_path / "run", request)
    run = EvaluationRun(tmp_path / "run")
    assert run.request == request
    assert run.status == EvaluationStatus()
    status = EvaluationStatus(2, ("one",), EvaluationProgress("text", 0.5, None), "same", ended=True)
    run.write(status, now=True)
    assert run.status == status
    (run.folder / "status.json").write_text("{")
    assert run.status == EvaluationStatus(), "a damaged status counts as empty"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", "must hold a JSON object"),
        (b'{"plans": []}', "lacks the field 'models'"),
        (b'{"plans": [], "models": [], "more": 1}', "has no field 'more'"),
        (b'{"plans": 3, "models": []}', "'plans' must be"),
        (b'{"plans": [3], "models": []}', "must be an object"),
        (b'{"plans": [{"limit": "all"}], "models": []}', "'limit' must be int | None"),
        (b'{"plans": [{"knn": {"k": true}}], "models": []}', "'k' must be int"),
        (b'{"plans": [{"protocol": "magic"}], "models": []}', "There is no protocol 'magic'"),
        (b'{"plans": [{"scales": [2]}], "models": []}', "Scales must be"),
        (b" " * (2**20 + 1), "larger than 1 MB"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_an_invalid_request_is_refused_with_a_sentence(tmp_path, content, sentence):
    file = tmp_path / "request.json"
    file.write_bytes(content)
    with pytest.raises(RecipeError) as refused:
        EvaluationRun.read_request(file)
    assert sentence in str(refused.value) and "request.json" in str(refused.value)
    with pytest.raises(RecipeError, match="cannot be read"):
        EvaluationRun.read_request(tmp_path / "none.json")
    assert os.sep not in str(refused.value)


def test_its_results_are_named_while_it_runs(tmp_path, monkeypatch):
    data = write_set(tmp_path / "small", 16)
    plan = EvaluationPlan(data=(str(data),), scales=(0.5, 1.0), gsd_m=1.0)
    seen = []
    monkeypatch.setattr(EvaluationRun, "write", lambda run, status, *, now=False: seen.append(status))
    write_request(tmp_path / "run", EvaluationRequest((plan,), COLOURS))
    assert run_from_file(tmp_path / "run" / REQUEST, Cache(tmp_path / "cache")) == 0
    lines = [status.latest for status in seen]
    assert () in lines and lines[-1][0].startswith("small, colour_histogram, no GSD, 50 %: accuracy ")
    assert len(lines[-1]) == 2 and any(len(line) == 1 for line in lines)
