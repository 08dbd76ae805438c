"""Training runs of this server: where they are stored, and who may start, stop and resume them.

A run is a process of its own; pages read its folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from filelock import FileLock

from core.engine.training.limits import MOST_HOURS, check_shared
from core.engine.training.runs import (
    PRESETS,
    ROOT,
    RunError,
    TrainingRun,
    list_runs,
    parse_spec,
    read_spec,
)
from core.geo.sample_imagery import packs_folder
from ui.shell.ownership import may_control, record_starter
from ui.shell.permissions import require

RUNS = Path(os.environ.get("EARTH_MAE_RUNS", ROOT / "runs"))
HOURS = float(os.environ.get("EARTH_MAE_TRAIN_HOURS", MOST_HOURS))
"""Hours after which a run started on the page saves and stops; it can be resumed."""
MAX_AT_ONCE, MAX_KEPT = 1, 60


def imagery_here() -> str:
    """A sentence that says which imagery a run trains on."""
    if packs_folder() is not None:
        return (
            "Trains on this server's imagery packs. Missing packs are skipped and listed in the run's output."
        )
    return (
        "This server has no imagery packs, so runs train on the sample rasters that ship with the app. "
        "Start the app with `DATA=folder` to train on your own imagery."
    )


def missing_teacher(preset: str) -> str:
    """The image teacher of a preset whose weights have not been fetched; "" if it needs none."""
    teacher = dict(read_spec(PRESETS[preset]).objective).get("teacher", "")
    if not teacher:
        return ""
    from core.models import image_teacher  # with torch, which this page does without otherwise

    return teacher if teacher in image_teacher.TEACHERS and not image_teacher.fetched(teacher) else ""


def runs() -> tuple[TrainingRun, ...]:
    """Every run of this server, newest first."""
    return list_runs(RUNS)


def free_name(preset: str) -> str:
    """An unused run name."""
    taken = {path.name for path in RUNS.glob("*")}
    return next(name for i in range(1, 10_000) if (name := f"{preset}-{i}") not in taken)


def start_run(name: str, toml: str) -> TrainingRun:
    """Start a run under a new name.

    Raises NotAllowedError if visitors may not train here, and RunError if the name is invalid or taken, if
    the spec is invalid or too large, or while another run is training.
    """
    require("train")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise RunError(
            f"{name!r:.50} is not a valid run name: use letters, digits, - and _, at most 40 characters."
        )
    spec = parse_spec(toml)
    check_shared(spec, RUNS)
    run = TrainingRun(RUNS / name)
    with _one_start_at_a_time():
        if run.folder.exists():
            raise RunError(
                f"A run called {name} already exists: choose another name, or select that run and resume it."
            )
        if len(runs()) >= MAX_KEPT:
            raise RunError(
                f"This server already stores {MAX_KEPT} runs, the maximum: "
                f"its owner can delete folders in {RUNS.name}."
            )
        _require_idle()
        run.launch(spec, *_options())
        record_starter(run.folder)
    return run


def resume_run(run: TrainingRun) -> None:
    """Resume a run from its last checkpoint. Raises the same errors as `start_run`."""
    require("train")
    if not may_control(run.folder):
        raise RunError("Only the browser that started this run can resume it.")
    check_shared(run.spec(), RUNS)
    with _one_start_at_a_time():
        _require_idle()
        run.relaunch(*_options())


def stop_run(run: TrainingRun) -> None:
    """Ask a run to save and stop. Raises RunError if another visitor started it."""
    if not may_control(run.folder):
        raise RunError("Only the browser that started this run can stop it.")
    run.ask_to_stop()


def _options() -> list[str]:
    folder = packs_folder()
    return ["--hours", f"{HOURS:g}", *(["--data", str(folder)] if folder else [])]


def _require_idle() -> None:
    busy = [run.folder.name for run in runs() if run.running]
    if len(busy) >= MAX_AT_ONCE:
        raise RunError(
            f"{busy[0]} is training already, and this server trains one run at a time: "
            "wait until it ends, or stop it first."
        )


def _one_start_at_a_time() -> FileLock:
    """A lock that keeps two simultaneous clicks from starting two runs."""
    RUNS.mkdir(parents=True, exist_ok=True)
    return FileLock(RUNS / ".starting.lock", timeout=20)
