"""The folder of a run belongs to one spec and one process, and holds a spec that can be read."""

from dataclasses import replace

import pytest

from core.engine.training.runs import PRESETS, RunError, TrainingRun, list_runs, read_spec, spec_from
from core.files import write_atomic

SMOKE = read_spec(PRESETS["smoke"])
GOOD = {"name": "x", "model": "mae_tiny", "steps": 5}


def test_two_processes_never_train_in_one_folder(tmp_path):
    run, other = TrainingRun(tmp_path), TrainingRun(tmp_path)
    with run.claimed():
        assert other.running
        with pytest.raises(RunError, match="Another process is training in"), other.claimed():
            pass
    assert not other.running


def test_a_folder_keeps_the_spec_that_it_was_started_with(tmp_path):
    run = TrainingRun(tmp_path)
    run.open(SMOKE)
    run.open(SMOKE)
    with pytest.raises(RunError, match=r"another spec \(steps was 30, now 31\)"):
        run.open(replace(SMOKE, steps=31))
    assert run.spec() == SMOKE


@pytest.mark.parametrize(
    "content",
    [None, b"", b"[1]", b'{"name": "../x"}', b"[" * 100_000],
    ids=["none", "empty", "a list", "traversal", "brackets"],
)
def test_a_folder_without_a_readable_spec_is_not_resumed(content, tmp_path, monkeypatch):
    monkeypatch.setattr("core.background.launch", lambda *_: pytest.fail("started"))
    folder = tmp_path / "run"
    if content is not None:
        write_atomic(folder / "spec.json", content)
    with pytest.raises(RunError):
        TrainingRun(folder).relaunch()
    assert len(list_runs(tmp_path)) == (content is not None)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1], "run.toml must hold settings by name"),
        (GOOD | {"steps": True}, "steps must be a whole number, not True"),
        (GOOD | {"name": 3}, "name must be text, not 3"),
        (GOOD | {"lr": "fast"}, "lr must be a number, not 'fast'"),
        (GOOD | {"sizes": 5}, "sizes must be a list or a table, not 5"),
        (GOOD | {"a" * 5000: 1}, "unknown keys: a{200}\\. Known are"),
    ],
)
def test_values_of_another_type_are_refused(values, sentence):
    with pytest.raises(RunError, match=sentence):
        spec_from(values, "run.toml")


def test_a_missing_spec_is_named_with_the_presets(tmp_path):
    with pytest.raises(
        RunError, match=r"no training spec at .*mine\.toml: give one of the presets \(.*smoke"
    ):
        read_spec(tmp_path / "mine.toml")
