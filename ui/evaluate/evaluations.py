"""Evaluations of this server: the one started from the page, what it needs, and the results on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.evaluation.baselines.colours import FLOORS
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
from core.evaluation.process import EvaluationRequest, EvaluationRun
from core.evaluation.recipes import EvaluationRecipe, parse_recipe
from core.evaluation.recorded_numbers import read_numbers
from core.evaluation.rerun import fill_of, plan_of
from core.evaluation.results import Result
from core.evaluation.stats.mistakes import Mistake, confusion, worst_mistakes
from ui.evaluate.own_sets import own_sets
from ui.shell import cached, ownership

PICTURE_PX = 112
PAIRS_SHOWN = 8
FOLDER = "running"
"""Folder in the cache of the evaluation that runs, or ran last."""


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


def run() -> EvaluationRun:
    """Return this server's evaluation, running or ended; `exists` is False before the first."""
    return EvaluationRun(cache().folder / FOLDER)


def start(
    plans: tuple[EvaluationPlan, ...],
    models: tuple[str, ...],
    recipe: EvaluationRecipe | None = None,
) -> None:
    """Start an evaluation in a process of its own. Raises RecipeError while another one is running."""
    files = cached.weight_files()
    run().start(EvaluationRequest(plans, tuple(str(files.get(name, name)) for name in models), recipe))
    ownership.record_starter(run().folder)


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


def _thumbnail(data: LabelledSet, row: int) -> NDArray[np.uint8]:
    """One image of a set (PICTURE_PX, PICTURE_PX, 3), grey if it cannot be read."""
    picture = read_picture(data.store, data.files[row])
    if isinstance(picture, Skipped):
        return np.full((PICTURE_PX, PICTURE_PX, 3), 128, np.uint8)
    resized = area_resize(centred_square(picture), PICTURE_PX)
    return (resized * 255).round().astype(np.uint8).transpose(1, 2, 0)
