"""Evaluations started from a page: one at a time in the background, followed by a fragment, every number kept on disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from core.errors import ExplorerError
from core.evaluation.baselines.colours import COLOUR_HISTOGRAM
from core.evaluation.cache import Cache, default_cache
from core.evaluation.data.crops import SCENE_SETS
from core.evaluation.data.datasets import DataSpec, LabelledSet, data_folders, find_set, open_set
from core.evaluation.data.duplicates import Duplicate, split_duplicates
from core.evaluation.data.images import Skipped, area_resize, centred_square, read_picture
from core.evaluation.data.masked import SCENES
from core.evaluation.data.published import PUBLISHED
from core.evaluation.errors import LabelledSetError, RecipeError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.protocols.segmentation import Learn
from core.evaluation.recipes import EvaluationRecipe, parse_recipe
from core.evaluation.recorded_numbers import read_numbers
from core.evaluation.rerun import explain, fill_of, plan_of
from core.evaluation.results import Result
from core.evaluation.running import EvaluationProgress, evaluate
from core.evaluation.stats.mistakes import Mistake, confusion, worst_mistakes
from core.evaluation.subjects import ColourHistogram, Subject
from ui.evaluate.own_sets import own_sets
from ui.shell import cached

PICTURE_PX = 112
PAIRS_SHOWN = 8


@dataclass
class EvaluationJob:
    """One evaluation under way: its thread writes, pages read. `asked` is the recipe that it runs again, `said` what came of it, `started_by`
    the `ownership.visitor()` who may stop it."""

    plans: tuple[EvaluationPlan, ...]
    models: tuple[str, ...]
    asked: EvaluationRecipe | None = None
    started_by: str = ""
    said: str = ""
    notices: list[str] = field(default_factory=list)
    progress: EvaluationProgress | None = None
    finished: int = 0
    problem: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    over: bool = False


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Where a result went wrong: confusion counts by class, and its most confident mistakes with their pictures (h, w, 3)."""

    counts: NDArray[np.int64]
    classes: tuple[str, ...]
    mistakes: tuple[tuple[Mistake, NDArray[np.uint8]], ...]


@dataclass(frozen=True, eq=False)
class SplitDuplicates:
    """Duplicates of a set across its split, among `tests` test images; the first of them as pictures, test beside train (h, 2h, 3)."""

    tests: int
    pairs: tuple[Duplicate, ...]
    pictures: tuple[NDArray[np.uint8], ...]


_log = logging.getLogger(__name__)
_lock = threading.Lock()
_current: list[EvaluationJob] = []


def cache() -> Cache:
    """The server's results, shared with the command line."""
    return default_cache()


def numbers() -> dict[str, tuple[Result, ...]]:
    """What this machine has found, newest first, and what comes with the program; either only where there is some. Raises RecipeError."""
    return {
        place: found
        for place, found in {"This machine": cache().results(), "Recorded": read_numbers()}.items()
        if found
    }


def sets_here(protocol: str) -> tuple[str, ...]:
    """Names of the published sets that this server finds for a protocol."""
    scenes = any((folder / "scenes.zip").is_file() for folder in data_folders())
    if protocol == "segmentation":
        return tuple(SCENES) if scenes else ()
    labelled = tuple(name for name in PUBLISHED if _is_here(name))
    return labelled + (SCENE_SETS if scenes and protocol == "reconstruction" else ())


def offered(protocol: str) -> dict[str, str]:
    """Every set of this server for a protocol, published ones first: its name, and what opens it."""
    published = {name: name for name in sets_here(protocol)}
    return published | {name: place for name, place in own_sets(protocol).items() if name not in published}


def place_of(data: str, protocol: str) -> str | None:
    """What opens the set that a recipe names; None where this server has none of that name."""
    here = offered(protocol)
    return here.get(data, next((place for place in here.values() if Path(place).stem == data), None))


def is_kept(result: Result) -> bool:
    """Whether what a number was computed from is still here, to compare it and to show its mistakes."""
    return cache().holds_arrays(result.recipe)


def read_asked(name: str, content: bytes) -> tuple[EvaluationRecipe, EvaluationPlan]:
    """A recipe that a user laid in, and the plan for its number. Raises RecipeError for a bad file, or what this server does not hold."""
    recipe = parse_recipe(content, name)
    place = place_of(recipe.data, recipe.protocol)
    plan = plan_of(recipe, place)  # what cannot be meant is said before what is not here
    if place is None:
        raise RecipeError(
            f"The set '{recipe.data:.80}' of this recipe is not on this server: put it into a folder and name that in EARTH_MAE_DATA."
        )
    if not fill_of(recipe) and recipe.model not in {
        COLOUR_HISTOGRAM,
        *cached.cards(),
        *cached.weight_files(),
    }:
        raise RecipeError(
            f"The model '{recipe.model:.80}' of this recipe is not on this server: put its weights into a folder of EARTH_MAE_DATA."
        )
    return recipe, plan


def current() -> EvaluationJob | None:
    """The evaluation under way or last done, if any."""
    return _current[0] if _current else None


def under_way() -> bool:
    """Whether an evaluation runs now."""
    return bool(_current) and not _current[0].over


def start(
    plans: tuple[EvaluationPlan, ...],
    models: tuple[str, ...],
    asked: EvaluationRecipe | None = None,
    *,
    started_by: str = "",
) -> EvaluationJob:
    """Start an evaluation in the background. Raises LabelledSetError while another one runs."""
    with _lock:
        if under_way():
            raise LabelledSetError(
                "An evaluation is under way on this server already: stop it or wait until it is done."
            )
        job = EvaluationJob(plans, models, asked, started_by)
        _current[:] = [job]
    threading.Thread(target=_run, args=(job,), daemon=True).start()
    return job


def mistakes_of(result: Result) -> Mistakes | None:
    """Confusion and worst mistakes of a stored classification; None where its arrays or its images are not here."""
    arrays = cache().arrays(result.recipe)
    if arrays is None or "predicted" not in arrays:
        return None
    try:
        place = place_of(result.recipe.data, result.recipe.protocol) or result.recipe.data
        data = open_set(DataSpec(place, result.recipe.limit, None, result.recipe.seed), data_folders())
    except LabelledSetError:
        return None
    if data.fingerprint != result.recipe.data_hash:
        return None
    found = worst_mistakes(arrays["rows"], arrays["truth"], arrays["predicted"], arrays["confidence"], 12)
    pictures = tuple((mistake, _picture(data, mistake.row)) for mistake in found)
    counts = confusion(arrays["truth"], arrays["predicted"], len(data.classes))
    return Mistakes(counts, data.classes, pictures)


def find_duplicates(name: str, tell: Callable[[float], object]) -> SplitDuplicates:
    """Test images of a set that are also among its training images. Raises LabelledSetError."""
    data = open_set(DataSpec(name), data_folders())
    found = split_duplicates(data, tell=tell)
    row = {file: number for number, file in enumerate(data.files)}
    pictures = tuple(
        np.concatenate([_picture(data, row[d.test]), _picture(data, row[d.train])], axis=1)
        for d in found[:PAIRS_SHOWN]
    )
    return SplitDuplicates(len(data.rows("test")), found, pictures)


def _run(job: EvaluationJob) -> None:
    try:
        with _results(job) as kept:
            _follow(job, kept)
    except ExplorerError as problem:
        job.problem = str(problem)
    except Exception as problem:
        _log.exception("An evaluation of %s failed unexpectedly", job.models)
        job.problem = f"The evaluation failed unexpectedly ({type(problem).__name__}): the server's log tells where. Start it again, or with fewer models."
    finally:
        job.over = True


def _follow(job: EvaluationJob, kept: Cache) -> None:
    """Compute a job's plans one after the other, telling it how far they are."""
    fill = fill_of(job.asked) if job.asked else None
    subjects = [fill] if fill else [_subject(name) for name in job.models]
    for place, plan in enumerate(job.plans):
        for event in evaluate(plan, subjects, cache=kept, learn=_learn(plan)):
            if isinstance(event, Result):
                _found(job, event, kept)
            elif event.notice:
                job.notices.append(event.text)
            else:
                last = place + 1 == len(job.plans)
                left = event.seconds_left if last else None  # what comes after is not known yet
                job.progress = replace(event, share=(place + event.share) / len(job.plans), seconds_left=left)
            if job.stop.is_set():
                return


def _found(job: EvaluationJob, result: Result, kept: Cache) -> None:
    job.finished += 1
    if job.asked is None:
        return
    try:
        cache().keep_result(result, kept.arrays(result.recipe))
    except OSError as problem:
        job.notices.append(
            f"The number cannot be kept on this server ({problem.strerror}): free some space, or note it down."
        )
    if result.recipe.model == job.asked.model:
        job.said = f"{result.metric} {result.value:.4f} [{result.low:.4f}, {result.high:.4f}]. {explain(job.asked, result.recipe)}"


@contextmanager
def _results(job: EvaluationJob) -> Generator[Cache]:
    """Where a job looks for its numbers: what is run again is computed anew."""
    if job.asked is None:
        yield cache()
        return
    with TemporaryDirectory() as passing:
        yield Cache(Path(passing))


def _subject(name: str) -> Subject:
    if name == COLOUR_HISTOGRAM:
        return ColourHistogram()
    from core.engine.candidates import candidate

    return candidate(cached.weight_files().get(name, name))


def _learn(plan: EvaluationPlan) -> Learn | None:
    if plan.protocol != "segmentation":
        return None
    from core.engine.training.segment import train_head

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
    return (
        (area_resize(centred_square(picture), PICTURE_PX) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    )
