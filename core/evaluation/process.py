"""An evaluation in a process of its own, which outlives the server that started it.

Its folder holds what to compute (request.json), how far it is (status.json), the output of the process, and a
file `stop` once somebody asked it to stop. `python -m core evaluate --spec request.json` runs it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock

from ..background import OUTPUT, alive, launch
from ..files import write_atomic
from ..spec_values import read_values, spec_from_values
from .errors import RecipeError
from .plan import EvaluationPlan
from .progress import EvaluationProgress
from .recipes import EvaluationRecipe

REQUEST, STATUS, STOP = "request.json", "status.json", "stop"
SECONDS_BETWEEN_WRITES = 0.5
LATEST, MAX_LINE = 8, 300


@dataclass(frozen=True)
class EvaluationRequest:
    """Plans, and the models that each is evaluated with: names, or paths of weights files.

    `recipe` is the recipe to run again, if any: its result is recomputed, and compared with it.
    """

    plans: tuple[EvaluationPlan, ...]
    models: tuple[str, ...]
    recipe: EvaluationRecipe | None = None


@dataclass(frozen=True)
class EvaluationStatus:
    """How far an evaluation is: results so far, notices, what it computes now, and how it ended.

    `rerun_summary` is the outcome of a recipe that was run again, `problem` why it ended early. `ended` stays
    False if the process was killed. `latest` are the last LATEST results, a line each.
    """

    completed: int = 0
    notices: tuple[str, ...] = ()
    progress: EvaluationProgress | None = None
    rerun_summary: str = ""
    problem: str = ""
    ended: bool = False
    latest: tuple[str, ...] = ()


@dataclass
class EvaluationRun:
    """The folder of an evaluation: the process writes `status`, pages read it."""

    folder: Path
    _written: float = field(default=0.0, repr=False)

    @property
    def exists(self) -> bool:
        """Whether an evaluation was ever started in this folder."""
        return (self.folder / REQUEST).is_file()

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return alive(self.folder)

    @property
    def request(self) -> EvaluationRequest:
        """What to compute. Raises RecipeError for an invalid file."""
        return read_request(self.folder / REQUEST)

    @property
    def status(self) -> EvaluationStatus:
        """How far it is; an empty status before the process has begun."""
        try:
            values = read_values(self.folder / STATUS, RecipeError)
            return spec_from_values(EvaluationStatus, values, RecipeError, "status")
        except RecipeError:
            return EvaluationStatus()

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked it to stop."""
        return (self.folder / STOP).exists()

    @property
    def problem(self) -> str:
        """Why it ended early unasked; "" while it runs, and after its last result or a stop."""
        status = self.status
        if self.running or status.ended or self.stop_requested:
            return status.problem
        return "The evaluation was interrupted: resume it. Finished results are kept."

    def start(self, request: EvaluationRequest) -> None:
        """Replace what the folder holds by a new evaluation. Raises RecipeError while one runs."""
        self._launch(json.dumps(asdict(request), indent=1).encode())

    def resume(self) -> None:
        """Run the same evaluation again: finished results come from the cache. Raises like `start`."""
        self._launch((self.folder / REQUEST).read_bytes())

    def stop(self) -> None:
        """Have the process end after its current step; finished results are kept."""
        (self.folder / STOP).touch()

    def write(self, status: EvaluationStatus, *, now: bool = False) -> None:
        """Write the status, for the process itself: twice a second at most, at once with `now`."""
        if now or time.monotonic() - self._written > SECONDS_BETWEEN_WRITES:
            write_atomic(self.folder / STATUS, json.dumps(asdict(status)).encode())
            self._written = time.monotonic()

    def _launch(self, request: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "starting.lock", timeout=20):
            if self.running:
                raise RecipeError(
                    "An evaluation is already running on this server: stop it, or wait until it is done."
                )
            for name in (STOP, STATUS, OUTPUT):
                (self.folder / name).unlink(missing_ok=True)
            write_atomic(self.folder / REQUEST, request)
            launch(self.folder, ["evaluate", f"--spec={(self.folder / REQUEST).resolve()}"])


def read_request(file: Path) -> EvaluationRequest:
    """Read a request from its JSON file. Raises RecipeError, which names the file and the field."""
    try:
        return spec_from_values(EvaluationRequest, read_values(file, RecipeError), RecipeError, "request")
    except RecipeError as problem:
        raise RecipeError(f"{file.name}: {problem}") from problem


def advanced(
    status: EvaluationStatus, event: EvaluationProgress, plan_number: int, plans: int
) -> EvaluationStatus:
    """Return the status after progress within one of several plans, or after a notice."""
    if event.notice:
        return replace(status, notices=(*status.notices, event.text))
    is_last = plan_number + 1 == plans
    share = (plan_number + event.share) / plans
    seconds_left = event.seconds_left if is_last else None  # later plans have no estimate yet
    return replace(status, progress=replace(event, share=share, seconds_left=seconds_left))
