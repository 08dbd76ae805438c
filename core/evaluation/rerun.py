"""A recipe file becomes a plan again, and what came out differently is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from .baselines.fills import FILLS
from .data.crops import SCENE_SETS
from .data.datasets import set_beneath
from .data.masked import SCENES
from .data.published import PUBLISHED
from .errors import RecipeError
from .plan import EvaluationPlan
from .protocols.knn import KnnSpec
from .recipes import EvaluationRecipe, differences
from .subjects import FillBaseline

MAX_PATCH_PX = 512
T = TypeVar("T")


def plan_of(recipe: EvaluationRecipe, data: str | None = None) -> EvaluationPlan:
    """Give the plan that asks for exactly this recipe's number, on `data` (a name, folder or zip), else on the set of the recipe's name.

    Raises RecipeError for a mean over sets, and for settings that cannot be meant.
    """
    if recipe.is_mean:
        raise RecipeError("This recipe is a mean over sets; run the recipes of the single sets again.")
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
        size_px=recipe.size_px,
    )


def located(name: str, folders: Sequence[Path]) -> str:
    """Give where the set that a recipe names lies: a published name as it is, else the folder or zip of that name in one of `folders`."""
    if name in (*PUBLISHED, *SCENE_SETS, *SCENES):
        return name
    found = set_beneath(name, folders)
    return name if found is None else str(found)


def fill_of(recipe: EvaluationRecipe) -> FillBaseline | None:
    """Give the fill whose number a recipe is of, on the patches that its mask names; None for a model's. Raises RecipeError."""
    if recipe.model not in FILLS or recipe.protocol != "reconstruction":
        return None
    found = re.search(r"patches of (\d{1,4}) px", recipe.mask or "")
    if found is None or not 1 <= int(found[1]) <= MAX_PATCH_PX:
        raise RecipeError(
            f"The recipe of the fill '{recipe.model}' does not say of which patches its mask is; write it anew with --out."
        )
    return FillBaseline(recipe.model, int(found[1]))


def explain(asked: EvaluationRecipe, found: EvaluationRecipe) -> str:
    """Say in one sentence whether this machine ran the same recipe, and what differs where it did not."""
    unlike = {name: pair for name, pair in differences(asked, found).items() if name != "protocol"}
    if "data_hash" not in unlike:
        unlike.pop("data", None)  # the same images, labels and splits under another name
    if not unlike:
        return "The recipe was followed in every setting."
    content = unlike.pop("data_hash", None)
    listed = (
        [
            f"its images, labels or splits are not those of the recipe (fingerprint {content[0]}, here {content[1]})"
        ]
        if content
        else []
    )
    listed += [f"{name} {theirs!r} became {ours!r}" for name, (theirs, ours) in unlike.items()]
    return f"The recipe could not be followed in every setting: {'; '.join(listed)}."


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
