"""Two numbers on the same images side by side: a paired test, and how alike the two models' embeddings are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cache import Cache
from .errors import FeatureError
from .protocols.agreement import linear_cka, neighbour_overlap
from .protocols.segmentation import compare_miou
from .protocols.vectors import stored_vectors
from .recipes import EvaluationRecipe
from .results import Result
from .stats.intervals import Interval, Paired, bootstrap_mean, compare

NEIGHBOURS = 20


@dataclass(frozen=True)
class ResultComparison:
    """Second minus first on the same test images; overlap of nearest neighbours and linear CKA where both models' vectors are kept."""

    first: Result
    second: Result
    paired: Paired
    neighbours: int | None
    overlap: Interval | None
    cka: float | None

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "first": self.first.recipe.key,
            "second": self.second.recipe.key,
            "data": self.first.recipe.data,
            "models": [self.first.recipe.model, self.second.recipe.model],
            "scales": [self.first.recipe.scale, self.second.recipe.scale],
            "policies": [self.first.recipe.policy, self.second.recipe.policy],
            "metric": self.first.metric,
            **asdict(self.paired),
            "neighbours": self.neighbours,
            "overlap": self.overlap and asdict(self.overlap),
            "cka": self.cka,
        }

    def sentence(self) -> str:
        """Say what was found in one line; a model is named with the policy that its positions heard."""
        a, b, apart = self.first.recipe, self.second.recipe, self.paired.difference
        same = a.model == b.model
        names = (
            (f"{a.policy or 'no GSD'} {100 * a.scale:g} %", f"{b.policy or 'no GSD'} {100 * b.scale:g} %")
            if same
            else (_named(a), _named(b))
        )
        where = a.data if same else f"{a.data} at {100 * a.scale:g} %"
        where += (
            f", {a.shots} shot{'s' * (a.shots > 1)}"
            if a.shots
            else f", {100 * a.ratio:g} % hidden"
            if a.ratio
            else ""
        )
        sure = "" if self.paired.p_value is None else f", McNemar p = {self.paired.p_value:.2g}"
        alike = (
            ""
            if self.overlap is None
            else f"; {100 * self.overlap.mean:.0f} % of {self.neighbours} neighbours shared, linear CKA {self.cka:.2f}"
        )
        return f"{where}: {names[1]} minus {names[0]}: {self.first.metric} {apart.mean:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]{sure}{alike}"


def comparable(first: Result, second: Result) -> bool:
    """Whether two numbers were scored on the same images by the same metric and protocol, with the same k, temperature, shots and draws.

    A sweep is kNN at several scales; scales, policies and poolings may differ.
    """
    a, b = first.recipe.scored_as, second.recipe.scored_as
    same = (
        "protocol",
        "data_hash",
        "split",
        "limit",
        "seed",
        "ratio",
        "shots",
        "draws",
        "crops",
        "k",
        "tau",
        "overwrite_batch",
    )
    metrics = first.metric == second.metric and (
        first.metric == "accuracy" or a.size_px == b.size_px or first.metric == "miou"
    )
    return a != b and metrics and all(getattr(a, name) == getattr(b, name) for name in same)


def comparisons(results: Sequence[Result], cache: Cache) -> Iterator[ResultComparison]:
    """Compare every model with the first one that was scored alike: on the same set, at the same scale, by the same protocol.

    Where the first one was scored under several policies, the one that the other was scored under too is its partner, else its first.
    """
    first: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        recipe = result.recipe
        key = (recipe.data_hash, recipe.protocol, recipe.scale, recipe.shots, recipe.ratio)
        opponents = first.setdefault(key, [result])
        if opponents[0].recipe.model == recipe.model:
            opponents.append(result)
            continue
        alike = [other for other in opponents if comparable(other, result)]
        partner = next(
            (other for other in alike if other.recipe.policy == recipe.policy), alike[0] if alike else None
        )
        if partner is not None:
            yield compare_results(partner, result, cache)


def compare_results(first: Result, second: Result, cache: Cache) -> ResultComparison:
    """Compare two stored numbers. Raises FeatureError where what they were scored from is not kept, or is of other images."""
    a, b = (cache.arrays(result.recipe) for result in (first, second))
    if a is None or b is None:
        raise FeatureError(
            "What one of the two numbers was computed from is no longer kept: evaluate it again."
        )
    if first.metric == "miou":
        return ResultComparison(
            first, second, compare_miou(a["confusions"], b["confusions"]), None, None, None
        )
    name = "psnr" if first.metric == "psnr" else "right"
    if "rows" in a and not np.array_equal(a["rows"], b["rows"]):
        raise FeatureError(
            "The two were not scored on the same images one by one: some could not be read under one of them."
        )
    neighbours, overlap, cka = _alike(first, second, a.get("rows"), cache)
    return ResultComparison(first, second, compare(a[name], b[name]), neighbours, overlap, cka)


def _named(recipe: EvaluationRecipe) -> str:
    return f"{recipe.model} ({recipe.policy})" if recipe.policy else recipe.model


def _alike(
    first: Result, second: Result, rows: NDArray[np.int64] | None, cache: Cache
) -> tuple[int | None, Interval | None, float | None]:
    """Neighbours asked for, overlap and CKA over test images; nothing where vectors are not kept or one model gives all images the same."""
    a, b = (stored_vectors(result.recipe, cache) for result in (first, second))
    if rows is None or a is None or b is None or not np.array_equal(a.rows, b.rows):
        return None, None, None
    here = np.isin(a.rows, rows)
    x, y = a.features[here], b.features[here]
    count = min(NEIGHBOURS, (len(x) - 1) // 2)  # all the others are shared by any two models
    if count < 1:
        return None, None, None
    try:
        return count, bootstrap_mean(neighbour_overlap(x, y, count)), linear_cka(x, y)
    except FeatureError:
        return None, None, None
