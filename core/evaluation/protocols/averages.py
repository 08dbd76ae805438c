"""Reconstruction results compared with the fills on the same hidden pixels, and averages over sets."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..baselines.fills import FILLS
from ..data.crops import APP_GALLERY, FEW_IMAGES, SCENE_SETS
from ..recipes import MEAN_OF, EvaluationRecipe
from ..results import Result
from ..stats.intervals import bootstrap_mean, bootstrap_mean_of_sets
from .gsd import GSD_GAIN, WRONG_BY
from .reconstruction import pooled_psnr
from .scoring import Scored

NOT_HELD_OUT = (SCENE_SETS[1], APP_GALLERY)
"""Left out of means: the area of the first was seen in training, in other years; the second may be, too."""
LEAST_LEAD = 0.1
"""dB; a smaller lead over the best fill does not show in a picture."""


def with_fills(scored: Scored, others: Sequence[Scored]) -> Scored:
    """Add the fills' scores on the same images and masks to a model's, and what it adds to the best of them.

    Details gain `lead_over_best_fill` (dB) and `detail_over_best_fill` (correlation of the detail finer than
    a patch), paired by image with intervals, and `image_leads` where there are fewer than FEW_IMAGES.
    """
    fills = {
        other.result.recipe.model: other
        for other in others
        if other.result.recipe.model in FILLS and _same_images(other, scored)
    }
    if not fills:
        return scored
    best, seed = max(fills, key=lambda name: fills[name].result.value), scored.result.recipe.seed
    leads, detail = (scored.arrays[name] - fills[best].arrays[name] for name in ("psnr", "correlation"))
    details = {
        **scored.result.details,
        "fills": {name: _summary(fill.result) for name, fill in fills.items()},
        "best_fill": best,
        "lead_over_best_fill": bootstrap_mean(leads, seed=seed).plain(),
    }
    if not np.isnan(detail).all():  # flat images have none
        details["detail_over_best_fill"] = bootstrap_mean(detail, seed=seed).plain()
    names = scored.arrays.get("names", ())
    if 0 < len(names) < FEW_IMAGES:
        details["image_leads"] = {str(name): float(lead) for name, lead in zip(names, leads, strict=True)}
    return Scored(replace(scored.result, details=details), {**scored.arrays, "detail": detail})


def small_leads(result: Result) -> tuple[str, ...] | None:
    """Return the images whose lead over the best fill is below LEAST_LEAD; None if leads are not listed."""
    leads = result.details.get("image_leads")
    return None if leads is None else tuple(name for name, lead in leads.items() if lead < LEAST_LEAD)


def gains(result: Result) -> str:
    """Say what a network adds to the best fill, or the right GSD to a wrong one; "" for other results."""
    details, sentences = result.details, list[str]()
    if lead := details.get("lead_over_best_fill"):
        sentences.append(f"{signed(lead, 2)} dB over the best fill ({details['best_fill']})")
    if detail := details.get("detail_over_best_fill"):
        sentences.append(f"detail finer than a patch correlates {signed(detail, 3)} more than that fill's")
    if (small := small_leads(result)) is not None:
        count = len(details["image_leads"])
        sentences.append(f"{len(small)} of {count} images have a lead below +{LEAST_LEAD:g} dB")
    for wrong, gain in details.get("gain_over", {}).items():
        sentences.append(f"{signed(gain, 2)} dB over a GSD {WRONG_BY:g} times {wrong}")
    return "; ".join(sentences)


def signed(found: dict[str, float] | None, digits: int) -> str:
    """Write a difference with its sign and, where there is one, its interval; "" for None."""
    if found is None:
        return ""
    interval = f" [{found['low']:+.{digits}f}, {found['high']:+.{digits}f}]" if "low" in found else ""
    return f"{found['mean']:+.{digits}f}{interval}"


def mean_over_sets(all_scored: Sequence[Scored], seed: int) -> Iterator[Result]:
    """Yield each model's mean over sets of held-out images, where two or more were scored alike."""
    groups: dict[tuple[str, str | None, float | None], list[Scored]] = defaultdict(list)
    for scored in all_scored:
        recipe = scored.result.recipe
        if recipe.protocol in _MEANS and recipe.data not in NOT_HELD_OUT:
            groups[recipe.model, recipe.policy, recipe.ratio].append(scored)
    for members in groups.values():
        distinct = list({m.result.recipe.data: m for m in members}.values())
        if len(distinct) > 1:
            recipe = _mean_recipe([m.result for m in distinct])
            yield _MEANS[recipe.protocol](recipe, distinct, seed)


def _mean_recipe(results: Sequence[Result]) -> EvaluationRecipe:
    keys = "".join(result.recipe.key for result in results)
    name = MEAN_OF + ", ".join(result.recipe.data for result in results)
    return replace(
        results[0].recipe,
        data=name,
        data_hash=hashlib.sha256(keys.encode()).hexdigest()[:16],
        native_px=None,
        size_px=None,
        gsd_m=None,
        crops=None,
        split="as each set",
        interpolation="as each set",
    )


def _mean_gsd(recipe: EvaluationRecipe, members: list[Scored], seed: int) -> Result:
    gain = bootstrap_mean_of_sets([m.arrays["gain"] for m in members], seed=seed)
    count = sum(m.result.count for m in members)
    details = {
        "ratio": recipe.ratio,
        "wrong_by": WRONG_BY,
        "sets": {m.result.recipe.data: m.result.value for m in members},
    }
    return Result(recipe, GSD_GAIN, gain.mean, gain.low, gain.high, count, details=details)


def _mean_reconstruction(recipe: EvaluationRecipe, members: list[Scored], seed: int) -> Result:
    psnr = bootstrap_mean_of_sets([m.arrays["psnr"] for m in members], seed=seed)
    results = [m.result for m in members]
    details: dict[str, Any] = {
        "ratio": recipe.ratio,
        "pooled_psnr": float(np.mean([pooled_psnr(m.arrays["squared_error"]) for m in members])),
        "ssim": float(np.mean([result.details["ssim"] for result in results])),
        "l1": float(np.mean([result.details["l1"] for result in results])),
        "sets": {result.recipe.data: result.value for result in results},
    }
    if all("fills" in result.details for result in results):
        fills = {
            fill: {"psnr": float(np.mean([result.details["fills"][fill]["psnr"] for result in results]))}
            for fill in FILLS
            if all(fill in result.details["fills"] for result in results)
        }
        best = max(fills, key=lambda fill: fills[fill]["psnr"])
        details |= {
            "fills": fills,
            "best_fill": best,
            "lead_over_best_fill": {"mean": psnr.mean - fills[best]["psnr"]},
        }
    if all("detail_over_best_fill" in result.details for result in results):
        detail = [m.arrays["detail"] for m in members]
        details["detail_over_best_fill"] = bootstrap_mean_of_sets(detail, seed=seed).plain()
    count = sum(result.count for result in results)
    return Result(recipe, "psnr", psnr.mean, psnr.low, psnr.high, count, details=details)


_MEANS = {"reconstruction": _mean_reconstruction, "gsd": _mean_gsd}


def _same_images(a: Scored, b: Scored) -> bool:
    same = ("data_hash", "size_px", "ratio", "seed", "limit", "crops", "interpolation")
    alike = all(getattr(a.result.recipe, name) == getattr(b.result.recipe, name) for name in same)
    return alike and len(a.arrays["psnr"]) == len(b.arrays["psnr"])


def _summary(result: Result) -> dict[str, float]:
    return {
        "psnr": result.value,
        "low": result.low,
        "high": result.high,
        "ssim": result.details["ssim"],
        "l1": result.details["l1"],
    }
