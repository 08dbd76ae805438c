"""Evaluations started from a page: one at a time in the background, followed by a fragment, every number kept on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import ExplorerError
from core.evaluation.cache import Cache, default_cache
from core.evaluation.crops import SCENE_SETS
from core.evaluation.datasets import DataSpec, LabelledSet, data_folders, find_set, open_set
from core.evaluation.duplicates import Duplicate, split_duplicates
from core.evaluation.errors import LabelledSetError
from core.evaluation.floors import COLOUR_HISTOGRAM
from core.evaluation.images import Skipped, area_resize, centred_square, read_picture
from core.evaluation.masked import SCENES
from core.evaluation.mistakes import Mistake, confusion, worst_mistakes
from core.evaluation.plan import Plan
from core.evaluation.published import PUBLISHED
from core.evaluation.recorded_numbers import read_numbers
from core.evaluation.results import Result
from core.evaluation.running import Progress, evaluate
from core.evaluation.segmentation import Learn
from core.evaluation.subjects import ColourFloor, Subject
from ui import cached

PICTURE_PX = 96
PAIRS_SHOWN = 8


@dataclass
class Job:
    """One evaluation under way: its thread writes, pages read."""

    plan: Plan
    models: tuple[str, ...]
    progress: Progress | None = None
    finished: int = 0
    problem: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    over: bool = False


@dataclass(frozen=True, eq=False)
class Wrong:
    """Where a result went wrong: confusion counts by class, and its most confident mistakes with their pictures (h, w, 3)."""

    counts: NDArray[np.int64]
    classes: tuple[str, ...]
    mistakes: tuple[tuple[Mistake, NDArray[np.uint8]], ...]


@dataclass(frozen=True, eq=False)
class Twice:
    """Duplicates of a set across its split, among `tests` test images; the first of them as pictures, test beside train (h, 2h, 3)."""

    tests: int
    pairs: tuple[Duplicate, ...]
    pictures: tuple[NDArray[np.uint8], ...]


_lock = threading.Lock()
_current: list[Job] = []


def cache() -> Cache:
    """The server's results, shared with the command line."""
    return default_cache()


def numbers() -> dict[str, tuple[Result, ...]]:
    """What this machine has found, newest first, and what comes with the program; either only where there is some. Raises RecipeError."""
    return {place: found for place, found in {"This machine": cache().results(), "Recorded": read_numbers()}.items() if found}


def sets_here(protocol: str) -> tuple[str, ...]:
    """Names of the sets that this server finds for a protocol."""
    scenes = any((folder / "scenes.zip").is_file() for folder in data_folders())
    if protocol == "segmentation":
        return tuple(SCENES) if scenes else ()
    labelled = tuple(name for name in PUBLISHED if _is_here(name))
    return labelled + (SCENE_SETS if scenes and protocol == "reconstruction" else ())


def current() -> Job | None:
    """The evaluation under way or last done, if any."""
    return _current[0] if _current else None


def under_way() -> bool:
    """Whether an evaluation runs now."""
    return bool(_current) and not _current[0].over


def start(plan: Plan, models: tuple[str, ...]) -> Job:
    """Start an evaluation in the background. Raises LabelledSetError while another one runs."""
    with _lock:
        if under_way():
            raise LabelledSetError("An evaluation is under way on this server already: stop it or wait until it is done.")
        job = Job(plan, models)
        _current[:] = [job]
    threading.Thread(target=_run, args=(job,), daemon=True).start()
    return job


def wrong(result: Result) -> Wrong | None:
    """Confusion and worst mistakes of a stored classification; None where its arrays or its images are not here."""
    arrays = cache().arrays(result.recipe)
    if arrays is None or "predicted" not in arrays:
        return None
    try:
        data = open_set(DataSpec(result.recipe.data, result.recipe.limit, None, result.recipe.seed), data_folders())
    except LabelledSetError:
        return None
    if data.fingerprint != result.recipe.data_hash:
        return None
    found = worst_mistakes(arrays["rows"], arrays["truth"], arrays["predicted"], arrays["confidence"], 12)
    pictures = tuple((mistake, _picture(data, mistake.row)) for mistake in found)
    counts = confusion(arrays["truth"], arrays["predicted"], len(data.classes))
    return Wrong(counts, data.classes, pictures)


def twice(name: str, tell: Callable[[float], object]) -> Twice:
    """Test images of a set that are also among its training images. Raises LabelledSetError."""
    data = open_set(DataSpec(name), data_folders())
    found = split_duplicates(data, tell=tell)
    row = {file: number for number, file in enumerate(data.files)}
    pictures = tuple(np.concatenate([_picture(data, row[d.test]), _picture(data, row[d.train])], axis=1) for d in found[:PAIRS_SHOWN])
    return Twice(len(data.rows("test")), found, pictures)


def _run(job: Job) -> None:
    try:
        for event in evaluate(job.plan, [_subject(name) for name in job.models], cache=cache(), learn=_learn(job.plan)):
            if isinstance(event, Result):
                job.finished += 1
            else:
                job.progress = event
            if job.stop.is_set():
                break
    except ExplorerError as problem:
        job.problem = str(problem)
    finally:
        job.over = True


def _subject(name: str) -> Subject:
    if name == COLOUR_HISTOGRAM:
        return ColourFloor()
    from core.engine.evaluate import candidate

    return candidate(cached.weight_files().get(name, name))


def _learn(plan: Plan) -> Learn | None:
    if plan.protocol != "segmentation":
        return None
    from core.engine.segment import train_head

    return train_head


def _is_here(name: str) -> bool:
    try:
        find_set(name, data_folders())
    except LabelledSetError:
        return False
    return True


def _picture(data: LabelledSet, row: int) -> NDArray[np.uint8]:
    picture = read_picture(data.store, data.files[row])
    if isinstance(picture, Skipped):
        return np.full((PICTURE_PX, PICTURE_PX, 3), 128, np.uint8)
    return (area_resize(centred_square(picture), PICTURE_PX) * 255).round().astype(np.uint8).transpose(1, 2, 0)
