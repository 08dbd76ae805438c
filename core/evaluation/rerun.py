"""Run a recipe again: turn it into a plan, and report settings that could not be followed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from .baselines.fills import FILLS
from .data.crops import APP_GALLERY, SCENE_SETS
from .data.datasets import set_beneath
from .data.masked import SCENES
from .data.published import PUBLISHED
from .errors import RecipeError
from .plan import HEADS, EvaluationPlan
from .protocols.knn import KnnSpec
from .recipes import EvaluationRecipe, differences
from .subjects import FillBaseline

MAX_PATCH_PX = 512
T = TypeVar("T")


def plan_of(recipe: EvaluationRecipe, data: str | None = None) -> EvaluationPlan:
    """Return the plan for exactly this recipe, on `data` (name, folder or zip), by default its own set.

    Raises RecipeError for a mean over sets and for invalid settings.
    """
    if recipe.is_mean:
        raise RecipeError("This recipe is a mean over sets; run the recipe of each set instead.")
    manual = f"manual-{recipe.res!r}" if recipe.res is not None else None
    return EvaluationPlan(
        protocol=recipe.scored_as.protocol,
        data=(data or recipe.data,),
        scales=(recipe.scale,),
        policies=(recipe.policy or manual,),
        normalisation=recipe.normalisation if recipe.normalisation in ("card", "dataset") else "card",
        pooling=None if recipe.policy is None else recipe.pooling,
        limit=recipe.limit,
        gsd_m=recipe.stated_gsd_m,
        seed=recipe.seed,
        knn=KnnSpec(_or(recipe.k, KnnSpec.k), _or(recipe.tau, KnnSpec.tau), recipe.overwrite_batch),
        fit_k=False,
        shots=(_or(recipe.shots, 1),),
        fit_shots=False,
        draws=_or(recipe.draws, EvaluationPlan.draws),
        ratios=(_or(recipe.ratio, 0.75),),
        size_px=recipe.size_px if recipe.gallery_px in (None, recipe.size_px) else None,
        gallery=recipe.gallery or "scaled",
        head=next((name for name, text in HEADS.items() if text == recipe.head), "linear"),
        steps=_or(recipe.steps, EvaluationPlan.steps),
    )


def located(name: str, folders: Sequence[Path]) -> str:
    """Locate a recipe's set: a published name, else a folder or zip of that name in `folders`."""
    if name in (*PUBLISHED, *SCENE_SETS, *SCENES, APP_GALLERY):
        return name
    path = set_beneath(name, folders)
    return name if path is None else str(path)


def fill_of(recipe: EvaluationRecipe) -> FillBaseline | None:
    """Return the fill that a recipe scores, with its patch size; None for a model. Raises RecipeError."""
    if recipe.model not in FILLS or recipe.protocol != "reconstruction":
        return None
    match = re.search(r"patches of (\d{1,4}) px", recipe.mask or "")
    if match is None or not 1 <= int(match[1]) <= MAX_PATCH_PX:
        raise RecipeError(
            f"The recipe of the fill '{recipe.model}' does not state the patch size of its mask; "
            "evaluate again and write a new recipe with --out."
        )
    return FillBaseline(recipe.model, int(match[1]))


def explain(requested: EvaluationRecipe, actual: EvaluationRecipe) -> str:
    """Return a sentence that says whether a recipe was followed, and what differs if not."""
    different = {name: pair for name, pair in differences(requested, actual).items() if name != "protocol"}
    if "data_hash" not in different:
        different.pop("data", None)  # the same images, labels and splits under another name
    if not different:
        return "The recipe was followed in every setting."
    content = different.pop("data_hash", None)
    listed = (
        [
            "its images, labels or splits are not those of the recipe "
            f"(fingerprint {content[0]}, here {content[1]})"
        ]
        if content
        else []
    )
    listed += [f"{name} was {before!r}, now {after!r}" for name, (before, after) in different.items()]
    return f"The recipe could not be followed in every setting: {'; '.join(listed)}."


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
