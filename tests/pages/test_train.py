"""The Train page: runs appear without a reload, failures are reported, only the starter controls a run."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit")

from core.engine.training.runs import PRESETS, RunError, TrainingRun, parse_spec, read_spec
from core.engine.training.train import train
from core.errors import ExplorerError
from core.geo.imagery import Imagery
from core.geo.sources.samples import sample_folder
from ui.shell import ownership
from ui.train import runs as page_runs

PAGE = "pages/5_Train.py"
SMOKE = PRESETS["smoke"].read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("ui.train.runs.RUNS", tmp_path)
    return tmp_path


@pytest.fixture
def launched(monkeypatch):
    """The arguments of processes that would be started."""
    asked: list[list[str]] = []
    monkeypatch.setattr("core.background.launch", lambda folder, arguments: asked.append(list(arguments)))
    return asked


def trained(folder, steps=2, **changes):
    pictures = tuple(np.random.default_rng(0).integers(0, 255, (6, 96, 96, 3), np.uint8))
    spec = replace(
        read_spec(PRESETS["smoke"]),
        steps=steps,
        batch=4,
        warmup_steps=1,
        checkpoint_minutes=1000.0,
        **changes,
    )
    for _ in train(spec, folder, (Imagery("made up", "none", pictures, (10.0,) * 6, coarser=2.0),)):
        pass
    return TrainingRun(folder)


def test_page_without_runs_explains_how_to_start_one(open_page, folder):
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert "smoke preset" in app.info[0].value


def test_a_preset_that_lacks_its_teacher_says_how_to_fetch_it(open_page, folder, monkeypatch, tmp_path):
    from core.models import image_teacher

    monkeypatch.setattr(image_teacher, "program_folder", lambda name: tmp_path / name)
    app, says = open_page(PAGE), "core fetch efficientnet_lite0"
    for preset, expected in (("smoke", False), ("sdmae", True), ("tinymim", False)):
        app.session_state["w:preset"] = preset
        app.run()
        assert any(says in info.value for info in app.info) is expected, preset


def test_a_run_is_shown_and_its_weights_can_be_downloaded(open_page, folder):
    trained(folder / "sunday")
    app = open_page(PAGE)
    assert not app.exception and not app.error
    assert [metric.label for metric in app.metric][:2] == ["Loss", "Images seen"]
    button = app.get("download_button")[0]
    assert "Download weights" in button.proto.label


def test_the_previews_of_a_run_can_be_downloaded_as_an_animation(open_page, folder):
    trained(folder / "sunday", steps=2, preview_every=1)
    app = open_page(PAGE)
    assert not app.exception and not app.error
    labels = [button.proto.label for button in app.get("download_button")]
    assert "Previews as an animation (GIF)" in labels and "Previews as a film (MP4)" in labels


def test_a_started_run_is_shown_at_once_and_its_failure_reported(open_page, folder, launched):
    app = open_page(PAGE)
    button = next(one for one in app.button if one.label == "Start training")
    button.click().run()
    assert not app.exception and not app.error and len(launched) == 1
    assert app.selectbox[0].value == "smoke-1"
    (folder / "smoke-1" / "output.txt").write_text(
        "samples: 3 pictures\ncore: The pack eurosat_rgb.zip is *not* here: fetch it.\n"
    )
    app.run()
    assert [one.value for one in app.error] == [
        r"The run ended early: The pack eurosat_rgb.zip is \*not\* here: fetch it."
    ]


def test_a_run_started_elsewhere_appears_without_a_reload(open_page, folder):
    app = open_page(PAGE)
    assert not app.selectbox
    trained(folder / "elsewhere", steps=1)
    app.run()
    assert app.selectbox[0].options == ["elsewhere"]


def test_a_second_start_is_refused_and_stop_remains(open_page, folder, launched, monkeypatch):
    page_runs.start_run("first", SMOKE)
    monkeypatch.setattr(TrainingRun, "running", property(lambda run: run.folder.name == "first"))
    app = open_page(PAGE)
    next(one for one in app.button if one.label == "Start training").click().run()
    assert "first is training already" in app.error[0].value
    stop = next(one for one in app.button if one.label == "Stop")
    stop.click().run()
    assert (folder / "first" / "stop").exists() and len(launched) == 1


def test_a_damaged_folder_does_not_hide_the_others(open_page, folder):
    trained(folder / "good", steps=1)
    (folder / "bad").mkdir()
    (folder / "bad" / "spec.json").write_text('{"name": "../x"}')
    app = open_page(PAGE)
    assert not app.exception and app.selectbox[0].options == ["bad", "good"]
    app.selectbox[0].set_value("good").run()
    assert not app.exception and not app.error


def test_simultaneous_clicks_start_one_run(folder, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    begun: set[str] = set()
    monkeypatch.setattr(
        "core.background.launch", lambda folder, _: (time.sleep(0.05), begun.add(folder.name))
    )
    monkeypatch.setattr(TrainingRun, "running", property(lambda run: run.folder.name in begun))

    def start(number):
        try:
            return page_runs.start_run(f"run{number}", SMOKE).folder.name
        except RunError as problem:
            return str(problem)

    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(start, range(5)))
    assert len(begun) == 1 and sum("is training already" in one for one in outcomes) == 4


def test_a_taken_name_and_a_full_server_are_refused(folder, launched, monkeypatch):
    page_runs.start_run("first", SMOKE)
    assert launched[0][launched[0].index("--hours") + 1] == "24"
    with pytest.raises(RunError, match="A run called first already exists"):
        page_runs.start_run("first", SMOKE)
    assert page_runs.MAX_KEPT <= 60
    monkeypatch.setattr(page_runs, "MAX_KEPT", 1)
    with pytest.raises(RunError, match="already stores 1 runs, the maximum"):
        page_runs.start_run("second", SMOKE)
    assert len(launched) == 1 and not (folder / "second").exists()


def test_resuming_has_the_limits_of_starting(folder, launched, monkeypatch):
    first = page_runs.start_run("first", SMOKE)
    other = TrainingRun(folder / "other")
    other.open(replace(first.spec(), start_from="/etc/passwd"))
    with pytest.raises(RunError, match="start_from must be a file of one of the runs"):
        page_runs.resume_run(other)
    monkeypatch.setattr(TrainingRun, "running", property(lambda run: run.folder.name == "other"))
    with pytest.raises(RunError, match="other is training already"):
        page_runs.resume_run(first)
    assert len(launched) == 1


@pytest.mark.parametrize("name", ["../up", "/tmp/x", "a/b", "", ".hidden", "x" * 41])
def test_invalid_run_names_are_refused(folder, launched, name):
    with pytest.raises(RunError, match="is not a valid run name"):
        page_runs.start_run(name, SMOKE)
    assert not launched


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ('name = "smoke"', 'name = "../../core/models/weights/scale_mae_tiny"'),
            "name must start with a letter",
        ),
        (('name = "smoke"', 'name = "/tmp/x"'), "name must start with a letter"),
        (
            ("steps = 30", 'steps = 30\nstart_from = "/etc/passwd"'),
            "start_from must be a file of one of the runs here",
        ),
        (
            ("steps = 30", 'steps = 30\nstart_from = "/nowhere"'),
            "start_from must be a file of one of the runs here",
        ),
        (
            ("steps = 30", 'steps = 30\nstart_from = "core/models/weights/mae_tiny.safetensors"'),
            "start_from must be a file",
        ),
        (
            ("steps = 30", 'steps = 30\n[objective]\nteacher = "/tmp/earth-mae-weights-1/x.pth"'),
            "teacher must be a plain word or a file",
        ),
        (("steps = 30", "steps = 30\npreview_every = 0"), "preview_every must be a whole number"),
        (("steps = 30", "steps = 1000000"), "preview_every must be at least 2000"),
        (("batch = 16", "batch = 60000"), "This run would take about"),
        (("embed_dim = 32", "embed_dim = 100000"), "embed_dim = 100000 is beyond"),
        (("depth = 2", "depth = 10000"), "depth = 10000 is beyond"),
        (("img_size = 32", "img_size = 4000"), "img_size = 4000 is beyond"),
        (
            ("img_size = 32\npatch_size = 8", "img_size = 1024\npatch_size = 1"),
            "img_size 1024 with patch_size 1 cannot be trained here",
        ),
    ],
)
def test_invalid_or_excessive_specs_are_refused(folder, launched, change, sentence):
    assert change[0] in SMOKE
    with pytest.raises(RunError, match=sentence):
        page_runs.start_run("new", SMOKE.replace(*change, 1))
    assert not launched and not (folder / "new").exists()


def test_a_run_may_start_from_another_runs_weights(folder, launched):
    spec = SMOKE.replace("steps = 30", f'steps = 30\nstart_from = "{folder}/first/weights/smoke.safetensors"')
    assert page_runs.start_run("second", spec).spec().start_from.endswith("smoke.safetensors")
    (folder / "out").symlink_to("/etc")
    with pytest.raises(RunError, match="start_from must be"):
        page_runs.start_run(
            "third", SMOKE.replace("steps = 30", f'steps = 30\nstart_from = "{folder}/out/passwd"')
        )


def test_every_preset_is_within_the_limits(monkeypatch):
    from core.engine.training import limits

    needed = {name: limits.memory_needed(read_spec(path)) for name, path in PRESETS.items()}
    assert all(needed[name] < 3 * 2**30 for name in ("smoke", "laptop", "sdmae", "tinymim")), needed
    assert needed["gpu"] > 20 * 2**30
    assert not [problem for path in PRESETS.values() for problem in limits._oversized(read_spec(path))]


def test_only_the_starter_stops_a_run_on_a_server_for_others(folder, launched, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_ALLOW", "train")
    monkeypatch.setattr(ownership, "serves_others", lambda: True)
    monkeypatch.setattr(ownership.state, "owner", lambda: "mine")
    run = page_runs.start_run("mine", SMOKE)
    monkeypatch.setattr(ownership.state, "owner", lambda: "somebody else's")
    for act in (page_runs.stop_run, page_runs.resume_run):
        with pytest.raises(RunError, match="Only the browser that started this run"):
            act(run)
    assert not run.asked_to_stop and "mine" not in (folder / "mine" / ownership.STARTED_BY).read_text()
    monkeypatch.setattr(ownership, "serves_others", lambda: False)
    page_runs.stop_run(run)
    assert run.asked_to_stop


@pytest.mark.skipif(
    sample_folder() is None, reason="localtileserver, which carries the rasters, is not installed"
)
@pytest.mark.thorough
def test_smoke_preset_trains_on_the_sample_rasters(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("EARTH_MAE_DATA", str(tmp_path / "nothing"))
    assert "sample rasters" in page_runs.imagery_here()
    run = page_runs.start_run(
        "fresh", SMOKE.replace("steps = 30", "steps = 3").replace("batch = 16", "batch = 2")
    )
    until = time.monotonic() + 240
    while run.running and time.monotonic() < until:
        time.sleep(0.2)
    assert run.steps_done() == 3, (run.folder / "output.txt").read_text()
    assert run.spec().data == ("samples", "globe") and run.failure() == ""
    shutil.rmtree(run.folder)


def test_a_spec_is_read_from_text_as_from_its_file():
    assert parse_spec(SMOKE) == read_spec(PRESETS["smoke"])


def test_training_needs_permission_on_a_server_for_others(open_page, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_ALLOW", "")
    app = open_page(PAGE)
    assert not app.exception
    assert any("EARTH_MAE_ALLOW=train" in info.value for info in app.info)
    assert not {"Start training", "Resume", "Stop"} & {button.label for button in app.button}
    with pytest.raises(ExplorerError, match="may not train"):
        page_runs.start_run("mine", "")
    with pytest.raises(ExplorerError, match="may not train"):
        page_runs.resume_run(TrainingRun(Path("nowhere")))
