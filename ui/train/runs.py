"""Training runs of this server: where they live, and starting one from a page. A run is a process of its own; pages only follow its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from core.engine.training.runs import ROOT, Run, RunError, list_runs
from core.geo.catalogue import DATA_VARIABLE, SHARED_DATA
from ui.shell.permissions import require

RUNS = Path(os.environ.get("EARTH_MAE_RUNS", ROOT / "runs"))
MOST_AT_ONCE = 1


def data_folder() -> Path:
    """The folder of imagery packs that training reads: the first one named to this server, else the one beside the project."""
    named = [text for text in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if text]
    return Path(named[0]) if named else SHARED_DATA


def runs() -> tuple[Run, ...]:
    """Every run of this server, newest first."""
    return list_runs(RUNS)


def free_name(preset: str) -> str:
    """A name that no run has yet."""
    taken = {path.name for path in RUNS.glob("*")}
    return next(name for i in range(1, 10_000) if (name := f"{preset}-{i}") not in taken)


def start_run(name: str, toml: str) -> Run:
    """Start a run under a new name. Raises RunError for a name that is no plain name or taken, a bad spec, or while another run goes on."""
    require("train")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise RunError(f"{name!r:.50} cannot name a run: use letters, digits, - and _, at most 40.")
    if (RUNS / name).exists():
        raise RunError(f"There is a run called {name} already: choose another name, or select it on the right and resume it.")
    busy = [run.folder.name for run in runs() if run.running]
    if len(busy) >= MOST_AT_ONCE:
        raise RunError(f"{busy[0]} is training already, and this machine trains one at a time: stop it first.")
    run = Run(RUNS / name)
    run.launch(toml, data_folder())
    return run


def resume_run(run: Run) -> None:
    """Go on with a run that stopped. Raises NotAllowedError where visitors may not train."""
    require("train")
    run.launch((run.folder / "spec.toml").read_text(), data_folder())
