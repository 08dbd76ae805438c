"""Compare two results on the same images: a paired test, and the similarity of the two embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cache import Cache
from .errors import FeatureError
from .protocols.agreement import linear_cka, neighbour_overlap
from .protocols.gsd import GSD_GAIN
from .protocols.segmentation import compare_miou
from .protocols.vectors import stored_vectors
from .recipes import EvaluationRecipe
from .results import Result
from .stats.intervals import Interval, Paired, bootstrap_mean, compare

NEIGHBOURS = 20


@dataclass(frozen=True)
class ResultComparison:
    """Second minus first on the same test images; overlap and CKA are None without cached embeddings."""

    first: Result
    second: Result
    paired: Paired
    neighbours: int | None
    overlap: Interval | None
    cka: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
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
        """Return the comparison as one line; models are named with their policies."""
        a, b, difference = self.first.recipe, self.second.recipe, self.paired.difference
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
        p_value = "" if self.paired.p_value is None else f", McNemar p = {self.paired.p_value:.2g}"
        similarity = (
            ""
            if self.overlap is None
            else f"; {100 * self.overlap.mean:.0f} % of {self.neighbours} neighbours shared, "
            f"linear CKA {self.cka:.2f}"
        )
        return (
            f"{where}: {names[1]} minus {names[0]}: {self.first.metric} {difference.mean:+.3f} "
            f"[{difference.low:+.3f}, {difference.high:+.3f}]{p_value}{similarity}"
        )


def comparable(first: Result, second: Result) -> bool:
    """Return whether two results have the same images, metric, protocol, k, temperature, shots and draws.

    A scale series counts as kNN; scales, policies and poolings may differ.
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
    """Compare every model with the first one on the same set, at the same scale, under the same protocol.

    If the first model has results under several policies, the one with the same policy is used, else the
    first.
    """
    first: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        recipe = result.recipe
        key = (recipe.data_hash, recipe.protocol, recipe.scale, recipe.shots, recipe.ratio)
        references = first.setdefault(key, [result])
        if references[0].recipe.model == recipe.model:
            references.append(result)
            continue
        matches = [other for other in references if comparable(other, result)]
        partner = next(
            (other for other in matches if other.recipe.policy == recipe.policy),
            matches[0] if matches else None,
        )
        if partner is not None:
            yield compare_results(partner, result, cache)


def compare_results(first: Result, second: Result, cache: Cache) -> ResultComparison:
    """Compare two stored results. Raises FeatureError if their arrays are missing or of different images."""
    a, b = (cache.arrays(result.recipe) for result in (first, second))
    if a is None or b is None:
        raise FeatureError(
            "The arrays of one of the two results are no longer in the cache: evaluate it again."
        )
    if first.metric == "miou":
        return ResultComparison(
            first, second, compare_miou(a["confusions"], b["confusions"]), None, None, None
        )
    name = {"psnr": "psnr", GSD_GAIN: "gain"}.get(first.metric, "right")
    if "rows" in a and not np.array_equal(a["rows"], b["rows"]):
        raise FeatureError(
            "The two results are not on the same images, because some could not be read: evaluate both again."
        )
    neighbours, overlap, cka = _similarity(first, second, a.get("rows"), cache)
    return ResultComparison(first, second, compare(a[name], b[name]), neighbours, overlap, cka)


def _named(recipe: EvaluationRecipe) -> str:
    return f"{recipe.model} ({recipe.policy})" if recipe.policy else recipe.model


def _similarity(
    first: Result, second: Result, rows: NDArray[np.int64] | None, cache: Cache
) -> tuple[int | None, Interval | None, float | None]:
    """Return k, overlap and CKA over test images; None without embeddings, or if they are constant."""
    a, b = (stored_vectors(result.recipe, "test", cache) for result in (first, second))
    if rows is None or a is None or b is None or not np.array_equal(a.rows, b.rows):
        return None, None, None
    x, y = a.features, b.features
    count = min(NEIGHBOURS, (len(x) - 1) // 2)  # with all others as neighbours, any two models agree
    if count < 1:
        return None, None, None
    try:
        return count, bootstrap_mean(neighbour_overlap(x, y, count)), linear_cka(x, y)
    except FeatureError:
        return None, None, None
