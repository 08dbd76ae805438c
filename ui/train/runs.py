"""Training runs of this server: where they live, who may start, stop and resume one. A run is a process; pages follow its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from filelock import FileLock

from core.engine.training.limits import MOST_HOURS, check_shared
from core.engine.training.runs import ROOT, RunError, TrainingRun, list_runs, parse_spec
from core.files import write_atomic
from core.geo.sample_imagery import packs_folder
from ui.shell import ownership
from ui.shell.permissions import require

RUNS = Path(os.environ.get("EARTH_MAE_RUNS", ROOT / "runs"))
HOURS = float(os.environ.get("EARTH_MAE_TRAIN_HOURS", MOST_HOURS))
"""How long a run that a page started may go on at a stretch; it saves and stops then, and can be resumed."""
MOST_AT_ONCE, MOST_KEPT = 1, 60
STARTED_BY = "started-by"


def imagery_here() -> str:
    """What a run will train on, in a sentence."""
    if packs_folder() is not None:
        return "Trains on the imagery packs of this server; packs that are missing are left out and named in the run's output."
    return (
        "There are no imagery packs here, so a run trains on the sample rasters that come with the app: enough to watch one learn. "
        "Start the app with `DATA=folder` to train on imagery of your own."
    )


def runs() -> tuple[TrainingRun, ...]:
    """Every run of this server, newest first."""
    return list_runs(RUNS)


def free_name(preset: str) -> str:
    """A name that no run has yet."""
    taken = {path.name for path in RUNS.glob("*")}
    return next(name for i in range(1, 10_000) if (name := f"{preset}-{i}") not in taken)


def start_run(name: str, toml: str) -> TrainingRun:
    """Start a run under a new name.

    Raises NotAllowedError where the owner of the server does not let visitors train, and RunError for a name that is no plain name or
    taken, for a spec that is bad or asks for too much, and while another run goes on.
    """
    require("train")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise RunError(f"{name!r:.50} cannot name a run: use letters, digits, - and _, at most 40.")
    spec = parse_spec(toml)
    check_shared(spec, RUNS)
    run = TrainingRun(RUNS / name)
    with _one_start_at_a_time():
        if run.folder.exists():
            raise RunError(
                f"There is a run called {name} already: choose another name, or select it and resume it."
            )
        if len(runs()) >= MOST_KEPT:
            raise RunError(
                f"This server keeps {MOST_KEPT} runs already: its owner can delete some of the folders in {RUNS.name}."
            )
        _require_idle()
        run.launch(spec, *_options())
        write_atomic(run.folder / STARTED_BY, ownership.visitor().encode())
    return run


def resume_run(run: TrainingRun) -> None:
    """Go on with a run from its last checkpoint. Raises RunError while another run goes on, NotAllowedError, and as `start_run` does."""
    require("train")
    if not may_control(run):
        raise RunError("Only the browser that started this run can resume it.")
    check_shared(run.spec(), RUNS)
    with _one_start_at_a_time():
        _require_idle()
        run.relaunch(*_options())


def stop_run(run: TrainingRun) -> None:
    """Have a run save and stop. Raises RunError where somebody else started it."""
    if not may_control(run):
        raise RunError("Only the browser that started this run can stop it.")
    run.ask_to_stop()


def may_control(run: TrainingRun) -> bool:
    """Whether this visitor may stop and resume a run."""
    try:
        started_by = (run.folder / STARTED_BY).read_text("ascii")
    except (OSError, ValueError):
        started_by = ""
    return ownership.may_control(started_by)


def _options() -> list[str]:
    folder = packs_folder()
    return ["--hours", f"{HOURS:g}", *(["--data", str(folder)] if folder else [])]


def _require_idle() -> None:
    busy = [run.folder.name for run in runs() if run.running]
    if len(busy) >= MOST_AT_ONCE:
        raise RunError(
            f"{busy[0]} is training already, and this machine trains one at a time: wait for it, or stop it first."
        )


def _one_start_at_a_time() -> FileLock:
    """Two clicks at the same moment must not both find the machine idle."""
    RUNS.mkdir(parents=True, exist_ok=True)
    return FileLock(RUNS / ".starting.lock", timeout=20)
