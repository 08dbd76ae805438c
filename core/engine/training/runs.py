"""Training runs on disk: spec, folder and log."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from filelock import FileLock, Timeout

from ... import background
from ...errors import ExplorerError
from ...files import write_atomic
from ...geo.imagery import Imagery
from ...untrusted.text import MAX_BYTES, parse
from .spec_checks import problems_of

ROOT = background.ROOT
PRESETS = {path.stem: path for path in sorted(Path(__file__).with_name("presets").glob("*.toml"))}
"""Training specs that come with the program: name -> file."""


LOGGED = ("seen", "loss", "lr", "images_per_s", "hours", "psnr", "fill_psnr")
"""The numbers that a row of a run's log holds beside the step, the last two where previews were made."""


class RunError(ExplorerError):
    """A training spec or run folder that cannot be used as asked."""


@dataclass(frozen=True)
class TrainSpec:
    """Everything that decides what a run computes; plain values, one TOML file.

    `sizes` and `objective` hold named options of the model's builder and of its objective. `sides_px` are the
    input sides that batches take in turn (drawn with `side_shares`), `ratios` the hidden shares, `mask_kinds`
    the kinds of mask with their shares. `batch` counts images at the first side; larger sides get
    proportionally fewer. The learning rate rises over `warmup_steps`, then falls as a half cosine to `floor`
    times itself at `steps`; `floor` = 1 holds it; the encoder takes `encoder_rate` times that (a high rate
    makes the encoder collapse: docs/models.md). `targets_px` are the sides of the true images that each of
    `sides_px` is compared with (empty: what the objective asks for, twice the side for Scale-MAE); no crop is
    enlarged, so a side serves only sources that are as large as its target. `coarser` bounds how many times
    coarser than their files crops are (0: what each source allows). Under the policy training_range a source
    counts as `native_factor` times coarser than its files. A share of `shuffled_bands` of the crops has its
    bands in another order, so that false colour is not new to the network. `optimizer` is adamw, or muon for
    the matrices of transformer blocks and adamw for the rest. A run may continue from weights alone
    (`start_from`).
    """

    name: str
    model: str
    steps: int
    data: tuple[str, ...] = ()
    sizes: tuple[tuple[str, Any], ...] = ()
    objective: tuple[tuple[str, Any], ...] = ()
    sides_px: tuple[int, ...] = (64,)
    side_shares: tuple[float, ...] = (1.0,)
    targets_px: tuple[int, ...] = ()
    ratios: tuple[float, ...] = (0.75,)
    mask_kinds: tuple[tuple[str, float], ...] = (("random", 1.0),)
    batch: int = 64
    lr: float = 1.5e-3
    encoder_rate: float = 1.0
    betas: tuple[float, ...] = (0.9, 0.95)
    weight_decay: float = 0.05
    warmup_steps: int = 200
    floor: float = 0.0
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0
    policy: str = "log_gsd"
    native_factor: float = 1.0
    coarser: float = 0.0
    shuffled_bands: float = 0.0
    optimizer: str = "adamw"
    start_from: str = ""
    checkpoint_minutes: float = 3.0
    preview_every: int = 250

    def __post_init__(self) -> None:
        if wrong := problems_of(self):
            raise RunError(f"The training spec cannot be used: {'; '.join(wrong)}.")


def read_spec(path: Path) -> TrainSpec:
    """A spec from its TOML file, or from a preset's name.

    Raises RunError for a missing file, bad TOML, an unknown key or a value of the wrong type.
    """
    path = PRESETS.get(str(path), path)
    known = ", ".join(PRESETS)
    if not path.is_file():
        raise RunError(
            f"There is no training spec at {path}: give one of the presets ({known}) or a TOML file."
        )
    with path.open("rb") as file:
        return parse_spec(file.read(MAX_BYTES + 1), path.name)


def parse_spec(text: bytes | str, where: str = "the spec") -> TrainSpec:
    """A spec from the text of a TOML file, or of a run's JSON file. Raises RunError."""
    return spec_from(_parsed(text, where), where)


_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "text"}


def _parsed(text: bytes | str, where: str) -> dict[str, Any]:
    return parse(text, where, "json" if where.endswith(".json") else "toml", RunError)


def spec_from(values: dict[str, Any], where: str) -> TrainSpec:
    """A spec from plain values, every key and type checked."""
    if not isinstance(values, dict):
        raise RunError(f"{where} must hold settings by name: write them as name = value.")
    known = get_type_hints(TrainSpec)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise RunError(
            f"{where} has unknown keys: {', '.join(unknown):.200}. Known are: {', '.join(sorted(known))}."
        )
    for key in ("name", "model", "steps"):
        if key not in values:
            raise RunError(f"{where} has no key {key!r}: add it.")
    plain: dict[str, Any] = {}
    for key, value in values.items():
        try:
            plain[key] = _plain(known[key], value)
        except (TypeError, RecursionError) as problem:
            raise RunError(f"{where}: {key} {problem!s:.200}. Correct it.") from problem
    return TrainSpec(**plain)


def _plain(kind: Any, value: Any) -> Any:
    if kind in _KINDS:
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise TypeError(f"must be {_KINDS[kind]}, not {value!r:.60}")
        try:
            return kind(value)
        except OverflowError:
            raise TypeError("is too large") from None
    if isinstance(value, dict):
        return tuple((key, _frozen(v)) for key, v in sorted(value.items()))
    if not isinstance(value, list | tuple):
        raise TypeError(f"must be a list or a table, not {value!r:.60}")
    return _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class TrainStep:
    """One step as seen from outside: losses by name and their sum, learning rate, images per second,
    seconds left.

    `unsaved` says why a checkpoint that was due could not be written; training continues and tries again.
    """

    step: int
    steps: int
    seen: int
    losses: dict[str, float]
    loss: float
    lr: float
    images_per_s: float
    seconds_left: float
    saved: bool = False
    unsaved: str = ""


def _as_json(spec: TrainSpec) -> bytes:
    return json.dumps(asdict(spec), indent=1).encode()


class TrainingRun:
    """A run's folder: spec.json, state.pt, log.jsonl, previews/, weights/.

    Where a page started it, asked.json and output.txt too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec_file, self.state_file = folder / "spec.json", folder / "state.pt"
        self.asked_file = folder / "asked.json"
        self.log_file, self.stop_file = folder / "log.jsonl", folder / "stop"
        self.previews, self.data_file = folder / "previews", folder / "data.json"
        self._lock = FileLock(folder / "lock")

    def open(self, spec: TrainSpec) -> None:
        """Claim the folder for `spec`. Raises RunError with the difference where the folder holds another
        spec."""
        if self.spec_file.is_file():
            held = self.spec()
            changed = [f.name for f in fields(TrainSpec) if getattr(held, f.name) != getattr(spec, f.name)]
            if changed:
                differences = "; ".join(
                    f"{key} was {getattr(held, key)!r}, now {getattr(spec, key)!r}" for key in changed
                )
                raise RunError(
                    f"The run in {self.folder} was started with another spec ({differences}): "
                    "use another folder or the old spec."
                )
        else:
            write_atomic(self.spec_file, _as_json(spec))
        self.stop_file.unlink(missing_ok=True)

    def open_data(self, imagery: Sequence[Imagery]) -> None:
        """Note which imagery the run learns from.

        Raises RunError with the difference where the folder was trained on other imagery.
        """
        now = {source.name: {"pictures": len(source.pictures), "digest": source.digest} for source in imagery}
        if not self.data_file.is_file():
            write_atomic(self.data_file, json.dumps(now, indent=1).encode())
            return
        held = json.loads(self.data_file.read_text())
        changed = [
            _data_change(name, held.get(name), now.get(name)) for name in sorted(held.keys() | now.keys())
        ]
        if any(changed):
            raise RunError(
                f"The imagery of the run in {self.folder} has changed "
                f"({'; '.join(filter(None, changed))}): restore the old imagery, "
                "or start another run."
            )

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Hold the folder for one training process; the claim dies with the process.

        Raises RunError where another one trains in it.
        """
        try:
            with self._lock.acquire(timeout=0):
                yield
        except Timeout:
            raise RunError(
                f"Another process is training in {self.folder}: follow it on the page, or stop it first."
            ) from None

    @property
    def running(self) -> bool:
        """Whether a process trains in this folder now, or is on its way there."""
        if background.alive(self.folder):
            return True
        try:
            with self._lock.acquire(timeout=0):
                return False
        except Timeout:
            return True

    def launch(self, spec: TrainSpec, *options: str) -> None:
        """Start `python -m core train` on a spec in a process of its own, which outlives this one."""
        write_atomic(self.asked_file, _as_json(spec))
        self.relaunch(*options)

    def relaunch(self, *options: str) -> None:
        """Resume the run of this folder in a process of its own.

        Raises RunError where the folder holds no spec.
        """
        self.spec()
        self.stop_file.unlink(missing_ok=True)
        file = self.spec_file if self.spec_file.is_file() else self.asked_file
        background.launch(self.folder, ["train", str(file), "--run", str(self.folder), *options])

    def last_words(self) -> str:
        """The last line that a launched run printed: why it ended, where it ended early."""
        return background.last_words(self.folder).removeprefix("core: ")

    def failure(self) -> str:
        """Why the run ended before its last step without being asked to.

        "" while it runs, and after a stop or the last step.
        """
        if self.running or self.asked_to_stop or self.steps_done() >= self.spec().steps:
            return ""
        return self.last_words()

    def steps_done(self) -> int:
        """The last logged step."""
        log = self.log()
        return log[-1]["step"] if log else 0

    def spec(self) -> TrainSpec:
        """The spec this folder was started with; what was asked for until the training process has begun."""
        file = self.spec_file if self.spec_file.is_file() else self.asked_file
        try:
            return spec_from(json.loads(file.read_text()), file.name)
        except (OSError, ValueError, TypeError, RecursionError) as problem:
            raise RunError(
                f"{self.folder} holds no readable run ({problem!s:.200}): choose another folder."
            ) from problem

    def weights_file(self) -> Path | None:
        """The weights of the last checkpoint, a self-describing file; None before the first."""
        return next(iter(sorted((self.folder / "weights").glob("*.safetensors"))), None)

    def log(self) -> list[dict[str, Any]]:
        """Every logged step in order; a half-written last line is skipped."""
        return list(_lines(self.log_file))

    def preview_files(self) -> dict[int, Path]:
        """The picture of every preview by its step, in order."""
        files = {int(path.stem): path for path in self.previews.glob("*.png") if path.stem.isdecimal()}
        return dict(sorted(files.items()))

    def append(self, row: dict[str, Any]) -> None:
        """Add one line to the log."""
        with self.log_file.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def truncate_log(self, step: int) -> None:
        """Forget logged steps after `step`, so that a resumed run does not log them twice."""
        rows = self.log()
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) == len(rows):
            return
        write_atomic(self.log_file, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def ask_to_stop(self) -> None:
        """Have the running process save and end after its current step."""
        self.stop_file.touch()

    @property
    def asked_to_stop(self) -> bool:
        return self.stop_file.exists()


def _data_change(name: str, held: dict[str, Any] | None, now: dict[str, Any] | None) -> str:
    """How a source differs from what a run was started with, in words; empty where it does not."""
    if held == now:
        return ""
    if held is None or now is None:
        return f"{name} is new" if held is None else f"{name} is missing"
    if held["pictures"] != now["pictures"]:
        return f"{name} had {held['pictures']:,} images, now {now['pictures']:,}"
    return f"{name} holds different images than before"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if (
            isinstance(row, dict)
            and isinstance(row.get("step"), int)
            and all(isinstance(row.get(key, 0.0), int | float) for key in LOGGED)
        ):
            yield {"seen": 0, "loss": math.nan, "images_per_s": 0.0, "hours": 0.0} | row


def list_runs(folder: Path) -> tuple[TrainingRun, ...]:
    """Every run below a folder, newest first.

    Also one that was launched and has not begun to train, or never did.
    """
    times: dict[Path, float] = {}
    for pattern in ("*/spec.json", "*/asked.json"):
        for path in folder.glob(pattern):
            with suppress(OSError):  # deleted meanwhile
                times[path.parent] = max(times.get(path.parent, 0.0), path.stat().st_mtime)
    return tuple(TrainingRun(path) for path in sorted(times, key=lambda path: times[path], reverse=True))
