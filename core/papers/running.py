"""Run one paper's experiment: measure the speed, fix the number of images, train both arms, score, record.

Everything is stored in one folder: `plan.json`, one run of core.engine.training.train for each arm and seed,
vectors and scores, `<name>.json` at the end. An interrupted command resumes there: finished runs are not
trained again, and the number of images stays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..engine.candidates import Candidate, candidate
from ..engine.device import device
from ..engine.training.batches import draw_batch
from ..engine.training.runs import RunError, TrainingRun, TrainSpec
from ..engine.training.train import Training, train
from ..evaluation.cache import Cache
from ..evaluation.claims import STATEMENTS, Claim, TrainedArm, TrainedRun, write_claim
from ..files import write_atomic
from ..geo.imagery import Imagery
from ..models.registry import read_card
from .experiments import Experiment
from .pictures import pictures_for
from .scoring import SAY_SECONDS, comparisons

PACE_SECONDS = 6.0


@dataclass(frozen=True)
class Budget:
    """How long the runs are: pictures of each (equal in both arms), and the pictures per second of (ours,
    other) that this follows from."""

    pictures: int
    minutes_per_run: float
    paces: tuple[float, float]


def run_claim(
    experiment: Experiment,
    out: Path,
    folders: tuple[Path, ...],
    *,
    minutes_per_run: float = 20.0,
    pictures: int | None = None,
    limit: int | None = None,
    command: str = "",
) -> Iterator[str | Claim]:
    """Compare a paper's method with its baseline.

    Yields progress sentences, then the Claim, which is also written to `out`.

    `pictures` overrides what the pace allows in `minutes_per_run`; `limit` images of each class and split for
    the scores. Raises RunError where a run was asked to stop or belongs to another spec, and what reading the
    pictures raises.
    """
    folder = out / experiment.name
    found = pictures_for(experiment, folders, limit)
    budget = yield from _budget(experiment, folder, found.imagery, minutes_per_run, pictures)
    planned = experiment.of(max(1, budget.pictures // experiment.ours.batch))
    names = tuple(kind.name for kind in found.imagery)
    arms: list[tuple[TrainedArm, list[Candidate]]] = []
    statement = STATEMENTS[experiment.name]
    for label, base in ((statement.ours, planned.ours), (statement.other, planned.other)):
        runs: list[TrainedRun] = []
        subjects: list[Candidate] = []
        for seed in planned.seeds:
            run = TrainingRun(folder / f"{base.name}-{seed}")
            yield from _trained(replace(base, seed=seed, data=names), run, found.imagery)
            weights = run.folder / "weights" / f"{base.name}.safetensors"
            runs.append(_told(seed, weights))
            subjects.append(candidate(weights))
        plain = asdict(replace(base, data=names))
        arms.append((TrainedArm(label, _without_paths(plain), tuple(runs)), subjects))
    rows = yield from comparisons(planned, found.sets, arms[0][1], arms[1][1], Cache(folder / "scores"))
    claim = Claim(
        experiment.name,
        command,
        device().name,
        planned.ours.steps * planned.ours.batch,
        found.gallery,
        limit,
        arms[0][0],
        arms[1][0],
        rows,
    )
    write_claim(claim, out)
    yield claim


def pace(spec: TrainSpec, imagery: tuple[Imagery, ...]) -> float:
    """Pictures per second that training reaches here, drawing included.

    The first two steps warm up and do not count.
    """
    training = Training(spec)
    for step in range(2):
        training.advance(draw_batch(spec, imagery, training.network.patch_size, training.enlarge, step))
    began, seen, step = time.perf_counter(), training.seen, 2
    while time.perf_counter() - began < PACE_SECONDS:
        training.advance(draw_batch(spec, imagery, training.network.patch_size, training.enlarge, step))
        step += 1
    return (training.seen - seen) / (time.perf_counter() - began)


def _budget(
    experiment: Experiment, folder: Path, imagery: tuple[Imagery, ...], minutes: float, pictures: int | None
) -> Generator[str, None, Budget]:
    """The folder's budget where it has one, else a new one."""
    kept = folder / "plan.json"
    if kept.is_file():
        found = _read_budget(kept)
        yield (
            f"Resuming in {folder} with {found.pictures:,} images per run, as planned there. "
            "Choose another --out to start over."
        )
        return found
    yield f"Measuring the training speed of both arms, {2 * PACE_SECONDS:.0f} s."
    paces = (pace(experiment.ours, imagery), pace(experiment.other, imagery))
    batch = experiment.ours.batch
    target = pictures or minutes * 60 * min(paces)
    whole = max(1, round(target / batch)) * batch
    budget = Budget(whole, minutes, (round(paces[0], 1), round(paces[1], 1)))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(kept, json.dumps(asdict(budget)).encode())
    hours = len(experiment.seeds) * sum(whole / rate for rate in paces) / 3600
    yield (
        f"{whole:,} pictures a run in both arms ({paces[0]:.0f} and {paces[1]:.0f} pictures/s here): "
        f"{experiment.runs} runs, about {60 * hours:.0f} min of training in all."
    )
    return budget


def _read_budget(kept: Path) -> Budget:
    try:
        values = json.loads(kept.read_text())
        return Budget(
            int(values["pictures"]),
            float(values["minutes_per_run"]),
            (float(values["paces"][0]), float(values["paces"][1])),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as problem:
        raise RunError(
            f"{kept} cannot be read ({problem}): remove it, or choose another folder with --out."
        ) from problem


def _trained(spec: TrainSpec, run: TrainingRun, imagery: tuple[Imagery, ...]) -> Iterator[str]:
    """Train one arm to its end, or find it done."""
    log = run.log()
    if log and log[-1]["step"] >= spec.steps and run.spec() == spec:
        yield f"{run.folder.name}: trained already."
        return
    reported_at = 0.0
    for step in train(spec, run.folder, imagery):
        if time.monotonic() - reported_at > SAY_SECONDS or step.step == spec.steps:
            reported_at = time.monotonic()
            yield (
                f"{run.folder.name}: {step.step}/{step.steps}, loss {step.loss:.3f}, "
                f"{step.images_per_s:.0f} pictures/s, "
                f"{step.seconds_left / 60:.1f} min left"
            )
    if run.asked_to_stop:
        raise RunError(f"{run.folder.name} was stopped and is saved: run the same command again to resume.")


def _told(seed: int, weights: Path) -> TrainedRun:
    card = read_card(weights.with_suffix(".json")).weights
    assert card is not None
    return TrainedRun(seed, card.images_seen, card.steps, card.hours, card.sha256)


def _without_paths(plain: dict[str, Any]) -> dict[str, Any]:
    """A spec for a record that others read: files are named without their folders."""
    options: Sequence[tuple[str, Any]] = plain["objective"]
    named = {key: Path(value).name if key == "teacher" else value for key, value in options}
    return json.loads(json.dumps({**plain, "objective": named, "sizes": dict(plain["sizes"])}))
