"""The jobs of a plan: one for each result, in the order in which they are computed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..policy import POLICIES, policy_from_text
from .baselines.fills import FILLS
from .data.crops import PictureSet, crops_per_image, interpolation, open_pictures
from .data.datasets import DataSpec, LabelledSet, open_set
from .data.masked import open_masked
from .data.masked_set import MaskedSet
from .errors import RecipeError
from .plan import EvaluationPlan, embedding_recipes, whole_patches
from .recipes import EvaluationRecipe
from .subjects import FillBaseline, Subject

RECONSTRUCTION_LIMIT = 20  # images per class if the plan has no limit
MIN_GRID = 8  # smallest grid of patches at which small images are fed at their native size


@dataclass(frozen=True)
class NumberJob:
    """One result to compute; `subject` is None for a fill."""

    recipe: EvaluationRecipe
    data: LabelledSet | PictureSet | MaskedSet
    subject: Subject | None
    patch_px: int

    @property
    def work(self) -> float:
        """Approximate cost in pixels, to estimate the time left."""
        count = len(self.data.files) * (self.recipe.crops or 1)
        return count * float(self.recipe.size_px or 1) ** 2


def plan_jobs(
    plan: EvaluationPlan, subjects: Sequence[Subject], folders: Sequence[Path]
) -> Iterator[NumberJob]:
    """Yield the jobs of a plan. Raises EvaluationError for missing sets and unsuitable models."""
    if not subjects:
        raise RecipeError(
            "There is no model to evaluate: train one, or name a model or weights file with --model."
        )
    if plan.protocol in ("reconstruction", "gsd"):
        jobs = _reconstruction_jobs if plan.protocol == "reconstruction" else _gsd_jobs
        yield from jobs(plan, _reconstructors(subjects), folders)
        return
    for name in plan.data:
        spec = DataSpec(name, plan.limit, plan.gsd_m, plan.seed)
        data = open_masked(spec, folders) if plan.protocol == "segmentation" else open_set(spec, folders)
        for subject in subjects:
            for recipe in embedding_recipes(plan, subject, data):
                yield NumberJob(recipe, data, subject, subject.patch_px)


def _reconstruction_jobs(
    plan: EvaluationPlan, subjects: Sequence[Subject], folders: Sequence[Path]
) -> Iterator[NumberJob]:
    """Yield, for every set, model and mask ratio, the fills that were not scored yet, then the model."""
    limit = plan.limit if plan.limit is not None else RECONSTRUCTION_LIMIT
    for name in plan.data:
        pictures = open_pictures(name, folders, limit, plan.gsd_m, plan.seed)
        fill_keys: set[str] = set()
        for subject in subjects:
            is_fill = isinstance(subject, FillBaseline)
            for ratio in plan.ratios:
                recipe = _reconstruction_recipe(plan, subject, pictures, ratio, limit)
                for fill in (subject.name,) if is_fill else FILLS:
                    fill_recipe = _fill_recipe(recipe, fill, subject.patch_px)
                    if fill_recipe.key not in fill_keys:
                        fill_keys.add(fill_recipe.key)
                        yield NumberJob(fill_recipe, pictures, None, subject.patch_px)
                for policy in () if is_fill else plan.policies:
                    model_recipe = replace(recipe, policy=policy or subject.default_policy)
                    yield NumberJob(model_recipe, pictures, subject, subject.patch_px)


def _gsd_jobs(
    plan: EvaluationPlan, subjects: Sequence[Subject], folders: Sequence[Path]
) -> Iterator[NumberJob]:
    """Yield the GSD-aware models under every policy. Raises RecipeError where nothing depends on the GSD."""
    aware = [subject for subject in subjects if subject.gsd_aware]
    if not aware:
        raise RecipeError(
            f"{subjects[0].name} has static positions, so the GSD changes nothing; "
            "choose a GSD-aware model such as scale_mae_tiny."
        )
    limit = plan.limit if plan.limit is not None else RECONSTRUCTION_LIMIT
    for name in plan.data:
        pictures = open_pictures(name, folders, limit, plan.gsd_m, plan.seed)
        for subject in aware:
            for ratio in plan.ratios:
                recipe = _reconstruction_recipe(plan, subject, pictures, ratio, limit)
                for policy in dict.fromkeys(policy or subject.default_policy for policy in plan.policies):
                    if not POLICIES[policy_from_text(str(policy)).name].needs_gsd:
                        raise RecipeError(
                            f"The policy {policy} ignores the GSD, so a wrong one changes nothing; "
                            "choose another policy, such as log_gsd."
                        )
                    yield NumberJob(replace(recipe, policy=policy), pictures, subject, subject.patch_px)


def _reconstructors(subjects: Sequence[Subject]) -> list[Subject]:
    """Return the models that reconstruct. Raises RecipeError if there is none."""
    found = [subject for subject in subjects if subject.reconstructs]
    if not found:
        raise RecipeError(
            f"{subjects[0].name} has no decoder and cannot reconstruct; choose another model or protocol."
        )
    return found


def _reconstruction_recipe(
    plan: EvaluationPlan, subject: Subject, pictures: PictureSet, ratio: float, limit: int
) -> EvaluationRecipe:
    size_px = whole_patches(plan.size_px or _input_px(subject, pictures), subject.patch_px)
    return EvaluationRecipe(
        protocol=plan.protocol,
        data=pictures.name,
        data_hash=pictures.hash,
        model=subject.name,
        weights=subject.weights,
        native_px=pictures.native_px,
        size_px=size_px,
        interpolation=interpolation(pictures, size_px),
        policy=subject.default_policy,
        split=pictures.split,
        limit=limit,
        seed=plan.seed,
        stated_gsd_m=plan.gsd_m,
        mask="random, seed = image index",
        ratio=ratio,
        crops=crops_per_image(pictures),
        gsd_m=None if math.isnan(pictures.gsd_m) else pictures.gsd_m * min(1.0, pictures.native_px / size_px),
    )


def _input_px(subject: Subject, pictures: PictureSet) -> int:
    """Return the model's input size, or the native size of smaller images if the grid has MIN_GRID."""
    native_px, patch_px = pictures.native_px, subject.patch_px
    fits = native_px < subject.input_px and native_px % patch_px == 0 and native_px // patch_px >= MIN_GRID
    return native_px if fits else subject.input_px


def _fill_recipe(recipe: EvaluationRecipe, fill: str, patch_px: int) -> EvaluationRecipe:
    """Return the recipe of a fill on the same images and masks; of the model it needs only the patch size."""
    mask = f"{recipe.mask}, patches of {patch_px} px"
    return replace(recipe, model=fill, weights="none", policy=None, mask=mask)
