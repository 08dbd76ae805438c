"""Reconstruction results compared with the fills on the same hidden pixels, and averaged over sets."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..baselines.fills import FILLS
from ..data.crops import SCENE_SETS
from ..recipes import MEAN_OF
from ..results import Result
from ..stats.intervals import bootstrap_mean_of_sets, compare
from .reconstruction import pooled_psnr
from .scoring import Scored

SEEN_GROUND = SCENE_SETS[1]  # excluded from means: its area was seen in training, in other years


def with_fills(scored: Scored, others: Sequence[Scored]) -> Result:
    """Add the fills' scores on the same images and masks to a model's result, and its lead over the best."""
    fills = {
        other.result.recipe.model: other
        for other in others
        if other.result.recipe.model in FILLS and _same_images(other, scored)
    }
    if not fills:
        return scored.result
    best = max(fills, key=lambda name: fills[name].result.value)
    lead = compare(
        fills[best].arrays["psnr"], scored.arrays["psnr"], seed=scored.result.recipe.seed
    ).difference
    details = {
        **scored.result.details,
        "fills": {name: _summary(fill.result) for name, fill in fills.items()},
        "best_fill": best,
        "lead_over_best_fill": {"mean": lead.mean, "low": lead.low, "high": lead.high},
    }
    return replace(scored.result, details=details)


def mean_over_sets(all_scored: Sequence[Scored], seed: int) -> Iterator[Result]:
    """Yield each model's mean over sets, without NAIP 2020, where two or more sets were scored alike."""
    groups: dict[tuple[str, str | None, float | None], list[Scored]] = defaultdict(list)
    for scored in all_scored:
        recipe = scored.result.recipe
        if recipe.protocol == "reconstruction" and recipe.data != SEEN_GROUND:
            groups[recipe.model, recipe.policy, recipe.ratio].append(scored)
    for members in groups.values():
        distinct = list({m.result.recipe.data: m for m in members}.values())
        if len(distinct) > 1:
            yield _mean(distinct, seed)


def _mean(members: list[Scored], seed: int) -> Result:
    psnr = bootstrap_mean_of_sets([m.arrays["psnr"] for m in members], seed=seed)
    results = [m.result for m in members]
    keys = "".join(result.recipe.key for result in results)
    name = MEAN_OF + ", ".join(result.recipe.data for result in results)
    recipe = replace(
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
    count = sum(result.count for result in results)
    return Result(recipe, "psnr", psnr.mean, psnr.low, psnr.high, count, details=details)


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
