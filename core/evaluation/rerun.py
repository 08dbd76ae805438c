"""A recipe file becomes a plan again, and what came out differently is named."""

from __future__ import annotations

from core.evaluation.errors import RecipeError
from core.evaluation.knn import KnnSpec
from core.evaluation.plan import Plan
from core.evaluation.recipes import Recipe, differences


def plan_of(recipe: Recipe) -> Plan:
    """Give the plan that asks for exactly this recipe's number; the data are found by their name on this machine."""
    if recipe.data.startswith("mean of "):
        raise RecipeError("This recipe is a mean over sets; run the recipes of the single sets again.")
    manual = f"manual-{recipe.res!r}" if recipe.res is not None else None
    return Plan(
        protocol="knn" if recipe.protocol == "sweep" else recipe.protocol,
        data=(recipe.data,),
        scales=(recipe.scale,),
        policies=(recipe.policy or manual,),
        normalisation=recipe.normalisation if recipe.normalisation in ("card", "dataset") else "card",
        pooling=None if recipe.policy is None else recipe.pooling,
        limit=recipe.limit,
        seed=recipe.seed,
        knn=KnnSpec(recipe.k or KnnSpec.k, recipe.tau or KnnSpec.tau, recipe.overwrite_batch),
        fit_k=False,
        shots=(recipe.shots,) if recipe.shots else (1,),
        draws=recipe.draws or 20,
        ratios=(recipe.ratio,) if recipe.ratio else (0.75,),
        size_px=recipe.size_px,
    )


def explain(asked: Recipe, found: Recipe) -> str:
    """Say in one sentence whether this machine ran the same recipe, and what differs where it did not."""
    unlike = {name: pair for name, pair in differences(asked, found).items() if name != "protocol"}
    if not unlike:
        return "The recipe was followed in every setting."
    listed = "; ".join(f"{name} {theirs!r} became {ours!r}" for name, (theirs, ours) in unlike.items())
    return f"The recipe could not be followed in every setting: {listed}."
