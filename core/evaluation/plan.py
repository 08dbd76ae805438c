"""Plans: models x sets x scales x policies, turned into a recipe for every result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..policy import POLICIES, policy_from_text
from .bounds import MAX_SIZE_PX, check_settings
from .data.datasets import LabelledSet, native_gsd
from .data.masked_set import MaskedSet
from .data.published import LABELLED_TABLE
from .errors import FeatureError, LabelledSetError, RecipeError
from .protocols.knn import KnnSpec
from .recipes import PROTOCOLS, UPERNET_FROZEN, UPERNET_TUNED, EvaluationRecipe, author_recipe
from .subjects import Subject

SCALE_SERIES = (0.125, 0.25, 0.5, 1.0)
"""Default relative scales of the protocol `sweep`, which people see as the scale series."""
GALLERIES = ("native", "scaled")
LINEAR_HEAD = (
    "linear over standardised patch tokens, bilinear, rate and balance chosen on every 4th train piece"
)
HEADS = {"linear": LINEAR_HEAD, "upernet": UPERNET_FROZEN, "upernet-tuned": UPERNET_TUNED}
"""Heads of the segmentation protocol, each with its text in recipes."""


@dataclass(frozen=True)
class EvaluationPlan:
    """What to evaluate, on which sets and under which settings. Raises RecipeError for invalid settings.

    `scales` are relative to the native size. With `gallery` "native", as in the Scale-MAE paper, only test
    images are scaled and classes are learnt from train images at full size; "scaled" scales both. `policies`
    are texts such as "log_gsd" or "manual-2.5", None for the model card's. `feed` is "native" for images at
    their scaled size, rounded up to whole patches, or "input" for the model's input size; `size_px` replaces
    both. `limit` is the number of images per class and split, None for all (reconstruction and gsd: 20). With
    `fit_k`, k is reduced to a gallery that the limit made smaller; with `fit_shots`, shots are reduced to the
    smallest class. `gsd_m` is the GSD of a native pixel, for sets that do not state it. `head` (segmentation)
    is "linear" on frozen patch tokens, "upernet" on frozen blocks, or "upernet-tuned", fine-tuned with the
    encoder; UperNet is trained for `steps` steps.
    """

    protocol: str = "knn"
    data: tuple[str, ...] = LABELLED_TABLE
    scales: tuple[float, ...] = (1.0,)
    policies: tuple[str | None, ...] = (None,)
    gallery: str = "native"
    feed: str = "native"
    author: str | None = None
    normalisation: str = "card"
    pooling: str | None = None
    limit: int | None = None
    gsd_m: float | None = None
    seed: int = 0
    knn: KnnSpec = field(default_factory=KnnSpec)
    fit_k: bool = True
    shots: tuple[int, ...] = (1, 5, 10)
    fit_shots: bool = True
    draws: int = 20
    ratios: tuple[float, ...] = (0.75, 0.5)
    size_px: int | None = None
    head: str = "linear"
    steps: int = 1_000

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise RecipeError(
                f"There is no protocol '{self.protocol}'; choose one of {', '.join(PROTOCOLS)}."
            )
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise RecipeError(
                "Scales must be above 0 and at most 100 % of the native size, such as 12.5,25,50,100."
            )
        if not self.ratios or not all(0 < ratio < 1 for ratio in self.ratios):
            raise RecipeError("Mask ratios must be between 0 and 1; give for example 0.75,0.5.")
        if self.gallery not in GALLERIES:
            raise RecipeError(
                f"The gallery is 'native' or 'scaled', not '{self.gallery}'; choose one of them."
            )
        if self.feed not in ("native", "input"):
            raise RecipeError(
                f"Images are fed at 'native' or 'input' size, not '{self.feed}'; choose one of them."
            )
        if self.normalisation not in ("card", "dataset"):
            raise RecipeError(
                f"The normalisation is 'card' or 'dataset', not '{self.normalisation}'; choose one of them."
            )
        if not self.shots:
            raise RecipeError("No number of shots was given; choose for example 1,5,10.")
        knn = self.knn
        check_settings(
            seed=self.seed,
            k=knn.k,
            tau=knn.tau,
            overwrite_batch=knn.overwrite_batch,
            draws=self.draws,
            size_px=self.size_px,
            gsd_m=self.gsd_m,
            steps=self.steps,
        )
        if self.head not in HEADS:
            raise RecipeError(f"There is no head '{self.head}'; choose one of {', '.join(HEADS)}.")
        for shots in self.shots:
            check_settings(shots=shots)


def embedding_recipes(
    plan: EvaluationPlan, subject: Subject, data: LabelledSet | MaskedSet
) -> Iterator[EvaluationRecipe]:
    """Yield a recipe for every scale, policy and (few-shot) number of shots of one model on one set.

    Raises EvaluationError if the set has too few images for k or the shots, or its images are too large.
    """
    seen: set[str] = set()
    for scale in plan.scales:
        for policy in (
            plan.policies if subject.default_policy is not None and plan.author is None else (None,)
        ):
            for shots in _shots(plan, data) if plan.protocol == "few-shot" else (None,):
                recipe = _embedding_recipe(plan, subject, data, scale, policy, shots)
                if recipe.key not in seen:  # the card's policy may also be named explicitly
                    seen.add(recipe.key)
                    yield recipe


def resolve_res(
    subject: Subject,
    policy: str,
    *,
    gsd_m: float,
    native_gsd_m: float,
    ratio: float,
    input_px: int,
    data: str,
) -> float:
    """Return the res of a policy. Raises LabelledSetError if it needs a GSD that the set does not state, and
    the network uses it.

    `ratio` is native px over fed px, which takes the place of the two GSDs where they are NaN.
    """
    chosen = policy_from_text(policy)
    if math.isnan(gsd_m):
        if POLICIES[chosen.name].needs_gsd and subject.gsd_aware:
            raise LabelledSetError(
                f"'{data}' states no ground sample distance, which the policy {chosen.name} needs; "
                "give it with --gsd-m, or choose the policy training_range or author_eval."
            )
        gsd_m, native_gsd_m = ratio, 1.0
    return subject.res(chosen, gsd_m, input_px, native_gsd_m)


def whole_patches(size_px: int, patch_px: int) -> int:
    """Round a size up to a multiple of the patch."""
    return max(1, math.ceil(size_px / patch_px)) * patch_px


def _embedding_recipe(
    plan: EvaluationPlan,
    subject: Subject,
    data: LabelledSet | MaskedSet,
    scale: float,
    policy: str | None,
    shots: int | None,
) -> EvaluationRecipe:
    author = author_recipe(plan.author, data.published) if plan.author else None
    known = data.published
    native_px = (known and known.full_scale_px) or data.native_px
    scaled_px = max(1, round(native_px * scale))
    default_px = subject.input_px if plan.feed == "input" and subject.default_policy else scaled_px
    size_px = whole_patches(plan.size_px or (author and author.size_px) or default_px, subject.patch_px)
    if size_px > MAX_SIZE_PX and subject.default_policy is not None:
        raise LabelledSetError(
            f"Images of '{data.name}' would be fed at {size_px:,} px, more than the limit of "
            f"{MAX_SIZE_PX:,} px; feed them smaller with --size, or with --feed input."
        )
    native_m = native_gsd(data) * data.native_px / native_px
    gsd_m = native_m * native_px / size_px
    policy = f"manual-{author.res!r}" if author else policy or subject.default_policy
    res = None
    if policy is not None and subject.default_policy is not None:
        res = resolve_res(
            subject, policy, gsd_m=gsd_m, native_gsd_m=native_m, ratio=native_px / size_px, input_px=size_px,
            data=data.name,
        )  # fmt: skip
    dense = plan.protocol == "segmentation"
    knn = plan.knn if plan.protocol in ("knn", "sweep") else None
    recipe = EvaluationRecipe(
        protocol="knn" if plan.protocol == "sweep" else plan.protocol,
        data=data.name,
        data_hash=data.fingerprint,
        model=subject.name,
        weights=subject.weights,
        scale=scale,
        native_px=native_px,
        scaled_px=scaled_px,
        size_px=size_px,
        normalisation=_normalisation(plan, subject, data),
        gsd_m=None if math.isnan(gsd_m) else gsd_m,
        stated_gsd_m=plan.gsd_m,
        policy=policy if res is not None else None,
        res=res,
        pooling="patches"
        if dense
        else "cls"
        if author and plan.pooling is None and subject.default_policy
        else (subject.default_policy and plan.pooling) or subject.pooling,
        split=data.split_origin,
        limit=plan.limit,
        seed=plan.seed,
        k=_neighbours(plan, subject, data) if knn else None,
        tau=knn.tau if knn else None,
        overwrite_batch=knn.overwrite_batch if knn else None,
        shots=shots,
        draws=plan.draws if shots is not None else None,
        head=HEADS[plan.head] if dense else None,
        steps=plan.steps if dense and plan.head != "linear" else None,
    )
    if plan.gallery == "scaled" or scale == 1:
        return recipe
    full = _embedding_recipe(plan, subject, data, 1.0, policy, shots)
    return replace(recipe, gallery="native", gallery_px=full.size_px, gallery_res=full.res)


def _neighbours(plan: EvaluationPlan, subject: Subject, data: LabelledSet | MaskedSet) -> int:
    """Return k, reduced to the gallery if allowed; checked before anything is embedded."""
    gallery = len(data.rows("train"))
    if plan.knn.k <= gallery:
        return plan.knn.k
    if plan.fit_k and plan.limit is not None:
        return gallery
    raise FeatureError(
        f"{subject.name} on '{data.name}': k is {plan.knn.k} but the gallery holds {gallery} images; "
        f"choose k from 1 to {gallery}, or a larger gallery."
    )


def _shots(plan: EvaluationPlan, data: LabelledSet | MaskedSet) -> tuple[int, ...]:
    """Return the numbers of shots that every class has images for; checked before anything is embedded."""
    assert isinstance(data, LabelledSet)  # few-shot classifies whole images
    fewest = int(np.unique(data.labels[data.rows("train")], return_counts=True)[1].min())
    if plan.fit_shots:
        return tuple(dict.fromkeys(min(shots, fewest) for shots in plan.shots))
    if max(plan.shots) > fewest:
        raise FeatureError(
            f"{max(plan.shots)} shots were requested, but the smallest class of '{data.name}' has "
            f"{fewest} training images; choose 1 to {fewest}."
        )
    return plan.shots


def _normalisation(plan: EvaluationPlan, subject: Subject, data: LabelledSet | MaskedSet) -> str:
    if plan.normalisation == "dataset" and (data.published is None or data.published.mean is None):
        raise LabelledSetError(
            f"No colour statistics are known for '{data.name}'; use the card's (--normalisation card)."
        )
    return plan.normalisation if subject.default_policy is not None else "none"
