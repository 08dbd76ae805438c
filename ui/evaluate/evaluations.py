"""Evaluations started from a page: one at a time in a background thread, every result stored on disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ExplorerError
from core.evaluation.baselines.colours import COLOUR_HISTOGRAM, FLOORS
from core.evaluation.cache import Cache, default_cache
from core.evaluation.data.crops import APP_GALLERY, SCENE_SETS
from core.evaluation.data.datasets import DataSpec, LabelledSet, data_folders, is_available, open_set
from core.evaluation.data.duplicates import Duplicate, split_duplicates
from core.evaluation.data.images import Skipped, area_resize, centred_square, read_picture
from core.evaluation.data.masked import SCENES
from core.evaluation.data.published import PUBLISHED, SPACENET
from core.evaluation.data.spacenet import spacenet_path
from core.evaluation.errors import LabelledSetError, RecipeError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.progress import EvaluationProgress
from core.evaluation.recipes import EvaluationRecipe, parse_recipe
from core.evaluation.recorded_numbers import read_numbers
from core.evaluation.rerun import explain, fill_of, plan_of
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.stats.mistakes import Mistake, confusion, worst_mistakes
from core.evaluation.subjects import ColourHistogram, Subject
from ui.evaluate.own_sets import own_sets
from ui.shell import cached

PICTURE_PX = 112
PAIRS_SHOWN = 8


@dataclass
class EvaluationJob:
    """One evaluation: its thread writes, pages read.

    `recipe` is the recipe to run again, if any, and `rerun_summary` the outcome. `started_by` is the
    `ownership.visitor()` who may stop it. `completed` counts results.
    """

    plans: tuple[EvaluationPlan, ...]
    models: tuple[str, ...]
    recipe: EvaluationRecipe | None = None
    started_by: str = ""
    rerun_summary: str = ""
    notices: list[str] = field(default_factory=list)
    progress: EvaluationProgress | None = None
    completed: int = 0
    problem: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    done: bool = False


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Confusion counts by class, and the most confident mistakes with their images (h, w, 3)."""

    counts: NDArray[np.int64]
    classes: tuple[str, ...]
    mistakes: tuple[tuple[Mistake, NDArray[np.uint8]], ...]


@dataclass(frozen=True, eq=False)
class SplitDuplicates:
    """Duplicates of a set across its split; `tests` counts its test images.

    `pictures` shows the first pairs, test beside training image (h, 2h, 3).
    """

    tests: int
    pairs: tuple[Duplicate, ...]
    pictures: tuple[NDArray[np.uint8], ...]


_log = logging.getLogger(__name__)
_lock = threading.Lock()
_current: list[EvaluationJob] = []


def cache() -> Cache:
    """Return the server's cache of results, which the command line also uses."""
    return default_cache()


def numbers() -> dict[str, tuple[Result, ...]]:
    """Return stored results by origin: computed here (newest first) and recorded with the program.

    Origins without results are left out. Raises RecipeError for a damaged record.
    """
    origins = {"This machine": cache().results(), "Recorded": read_numbers()}
    return {origin: results for origin, results in origins.items() if results}


def published_sets(protocol: str) -> tuple[str, ...]:
    """Return the names of the published sets that this server has for a protocol."""
    scenes = any((folder / "scenes.zip").is_file() for folder in data_folders())
    if protocol == "segmentation":
        spacenet = (SPACENET,) if spacenet_path(SPACENET, data_folders()) else ()
        return (tuple(SCENES) if scenes else ()) + spacenet
    labelled = tuple(name for name in PUBLISHED if is_available(name, data_folders()))
    if protocol not in ("reconstruction", "gsd"):
        return labelled
    return labelled + (SCENE_SETS if scenes else ()) + (APP_GALLERY,)


def available_sets(protocol: str) -> dict[str, str]:
    """Return every set that this server has for a protocol, published ones first: its name and its source.

    The source is what `open_set` takes: a published name, or the path of a user's own set.
    """
    published = {name: name for name in published_sets(protocol)}
    own = {name: path for name, path in own_sets(protocol).items() if name not in published}
    return published | own


def baselines() -> tuple[str, ...]:
    """Return the baselines of the protocols that embed images: floors, and teachers that were fetched."""
    from core.engine.candidates import fetched_teachers  # imports torch

    return (*FLOORS, *fetched_teachers())


def source_of(data: str, protocol: str) -> str | None:
    """Return the source of the set that a recipe names, or None if this server does not have it."""
    available = available_sets(protocol)
    return available.get(
        data, next((source for source in available.values() if Path(source).stem == data), None)
    )


def has_arrays(result: Result) -> bool:
    """Return whether the predictions behind a result are stored, as comparisons and mistakes need them."""
    return cache().holds_arrays(result.recipe)


def read_recipe_upload(name: str, content: bytes) -> tuple[EvaluationRecipe, EvaluationPlan]:
    """Read an uploaded recipe and return it with the plan that reproduces its result.

    Raises RecipeError for an invalid file, or a set or model that this server does not have.
    """
    recipe = parse_recipe(content, name)
    source = source_of(recipe.data, recipe.protocol)
    plan = plan_of(recipe, source)  # invalid settings are reported before a missing set
    if source is None:
        raise RecipeError(
            f"The set '{recipe.data:.80}' of this recipe is not on this server: "
            "put it into a folder and give that folder in EARTH_MAE_DATA."
        )
    models = {*baselines(), *cached.cards(), *cached.weight_files()}
    if not fill_of(recipe) and recipe.model not in models:
        raise RecipeError(
            f"The model '{recipe.model:.80}' of this recipe is not on this server: "
            "put its weights into a folder of EARTH_MAE_DATA."
        )
    return recipe, plan


def current() -> EvaluationJob | None:
    """Return the running or most recent evaluation, if any."""
    return _current[0] if _current else None


def under_way() -> bool:
    """Return whether an evaluation is running."""
    return bool(_current) and not _current[0].done


def start(
    plans: tuple[EvaluationPlan, ...],
    models: tuple[str, ...],
    recipe: EvaluationRecipe | None = None,
    *,
    started_by: str = "",
) -> EvaluationJob:
    """Start an evaluation in the background. Raises LabelledSetError while another one is running."""
    with _lock:
        if under_way():
            raise LabelledSetError(
                "An evaluation is already running on this server: stop it, or wait until it is done."
            )
        job = EvaluationJob(plans, models, recipe, started_by)
        _current[:] = [job]
    threading.Thread(target=_run, args=(job,), daemon=True).start()
    return job


def mistakes_of(result: Result) -> Mistakes | None:
    """Return confusion and worst mistakes of a classification, None if arrays or images are missing."""
    arrays = cache().arrays(result.recipe)
    if arrays is None or "predicted" not in arrays:
        return None
    try:
        source = source_of(result.recipe.data, result.recipe.protocol) or result.recipe.data
        data = open_set(DataSpec(source, result.recipe.limit, None, result.recipe.seed), data_folders())
    except LabelledSetError:
        return None
    if data.fingerprint != result.recipe.data_hash:
        return None
    worst = worst_mistakes(arrays["rows"], arrays["truth"], arrays["predicted"], arrays["confidence"], 12)
    pictures = tuple((mistake, _thumbnail(data, mistake.row)) for mistake in worst)
    counts = confusion(arrays["truth"], arrays["predicted"], len(data.classes))
    return Mistakes(counts, data.classes, pictures)


def find_duplicates(source: str, progress: Callable[[float], object]) -> SplitDuplicates:
    """Find test images of a set that are also among its training images. Raises LabelledSetError."""
    data = open_set(DataSpec(source), data_folders())
    pairs = split_duplicates(data, progress=progress)
    row_of = {file: row for row, file in enumerate(data.files)}
    pictures = tuple(
        np.concatenate([_thumbnail(data, row_of[pair.test]), _thumbnail(data, row_of[pair.train])], axis=1)
        for pair in pairs[:PAIRS_SHOWN]
    )
    return SplitDuplicates(len(data.rows("test")), pairs, pictures)


def _run(job: EvaluationJob) -> None:
    try:
        with _working_cache(job) as working:
            _compute(job, working)
    except ExplorerError as problem:
        job.problem = str(problem)
    except Exception as problem:
        _log.exception("An evaluation of %s failed unexpectedly", job.models)
        job.problem = (
            f"The evaluation failed unexpectedly ({type(problem).__name__}); the server's log has details. "
            "Start it again, or with fewer models."
        )
    finally:
        job.done = True


def _compute(job: EvaluationJob, working: Cache) -> None:
    """Compute a job's plans one after the other, and update its progress."""
    fill = fill_of(job.recipe) if job.recipe else None
    subjects = [fill] if fill else [_subject(name) for name in job.models]
    for number, plan in enumerate(job.plans):
        for event in evaluate(plan, subjects, cache=working, **_heads(plan)):
            if isinstance(event, Result):
                _add_result(job, event, working)
            elif event.notice:
                job.notices.append(event.text)
            else:
                is_last = number + 1 == len(job.plans)
                seconds_left = event.seconds_left if is_last else None  # later plans have no estimate yet
                share = (number + event.share) / len(job.plans)
                job.progress = replace(event, share=share, seconds_left=seconds_left)
            if job.stop.is_set():
                return


def _add_result(job: EvaluationJob, result: Result, working: Cache) -> None:
    job.completed += 1
    if job.recipe is None:
        return
    try:
        cache().keep_result(result, working.arrays(result.recipe))
    except OSError as problem:
        job.notices.append(
            f"The result could not be stored on this server ({problem.strerror}): "
            "free some space, or note it down."
        )
    if result.recipe.model == job.recipe.model:
        value = f"{result.metric} {result.value:.4f} [{result.low:.4f}, {result.high:.4f}]"
        job.rerun_summary = f"{value}. {explain(job.recipe, result.recipe)}"


@contextmanager
def _working_cache(job: EvaluationJob) -> Generator[Cache]:
    """The cache that a job reads and writes; an empty one where a recipe is to be recomputed."""
    if job.recipe is None:
        yield cache()
        return
    with TemporaryDirectory() as folder:
        yield Cache(Path(folder))


def _subject(name: str) -> Subject:
    if name == COLOUR_HISTOGRAM:
        return ColourHistogram()
    from core.engine.candidates import subject  # imports torch

    return subject(cached.weight_files().get(name, name))


def _heads(plan: EvaluationPlan) -> dict[str, Any]:
    """Return what trains the heads of the segmentation protocol, as arguments of `evaluate`."""
    if plan.protocol != "segmentation":
        return {}
    from core.engine.training.segment import train_head  # imports torch
    from core.engine.training.upernet import train_upernet

    return {"learn": train_head, "fit": train_upernet}


def _thumbnail(data: LabelledSet, row: int) -> NDArray[np.uint8]:
    """One image of a set (PICTURE_PX, PICTURE_PX, 3), grey if it cannot be read."""
    picture = read_picture(data.store, data.files[row])
    if isinstance(picture, Skipped):
        return np.full((PICTURE_PX, PICTURE_PX, 3), 128, np.uint8)
    resized = area_resize(centred_square(picture), PICTURE_PX)
    return (resized * 255).round().astype(np.uint8).transpose(1, 2, 0)
