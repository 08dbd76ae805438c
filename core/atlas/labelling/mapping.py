"""From labelled rows to a value with its uncertainty for every row of a table."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..store.table import EmbeddingTable
from .area import AreaEstimate, covered_km2, estimate_areas, tile_areas
from .sampling import Samples
from .validation import (
    DEFAULTS,
    Assessment,
    FitProgress,
    ModelSpec,
    assess,
    fitted,
    predicted_by,
    softened,
    thinned,
)

CHUNK = 65_536
LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A value for every row of a table: `values` (n,) float32, NaN without a vector.

    Values are numbers, or positions in `samples.classes`. `uncertainty` (n,) is the half width of a 90 %
    interval for numbers, and the entropy of the probabilities, from 0 to 1, for classes. `probability` (n, c)
    is calibrated. `areas` are the classes' areas with intervals.
    """

    samples: Samples
    spec: ModelSpec
    assessment: Assessment
    values: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    probability: NDArray[np.float32] | None
    areas: AreaEstimate | None
    problems: tuple[str, ...]


def label_map(
    table: EmbeddingTable, samples: Samples, spec: ModelSpec = DEFAULTS
) -> Generator[FitProgress, None, LabelMap]:
    """Validate, fit to all labelled rows, and predict every row, yielding progress. Raises LabelError."""
    keep, thinning = thinned(samples)
    if thinning:
        samples = Samples(
            samples.rows[keep], samples.values[keep], samples.regions[keep], samples.kind, samples.classes,
            samples.region_names, samples.title, (*samples.problems, thinning),
        )  # fmt: skip
    assessment = yield from assess(table, samples, spec)
    total = -(-len(table) // CHUNK)
    yield FitProgress(0, total, "Mapping every tile")
    model = fitted(table, samples, spec)
    spread = _spread(table, samples, assessment) if samples.kind == "number" else None
    values = np.full(len(table), np.nan, np.float32)
    uncertainty = np.full(len(table), np.nan, np.float32)
    width = len(samples.classes)
    probability = np.full((len(table), width), np.nan, np.float32) if samples.kind == "class" else None
    for number in range(total):
        rows = np.arange(number * CHUNK, min(len(table), (number + 1) * CHUNK))
        rows = rows[table.stored.usable[rows]]
        if len(rows):
            units = table.unit_rows(rows)
            if probability is None:
                assert spread is not None
                values[rows] = predicted_by(model.predict, units)
                uncertainty[rows] = spread(units)
            else:
                found = _probabilities(model, units, width, assessment.temperature)
                probability[rows] = found
                values[rows] = found.argmax(axis=1)
                entropy = -(found * np.log(np.maximum(found, 1e-12))).sum(axis=1)
                uncertainty[rows] = entropy / np.log(width)
        yield FitProgress(number + 1, total, "Mapping every tile")
    return LabelMap(
        samples, spec, assessment, values, uncertainty, probability, _areas(table, values, assessment),
        (*samples.problems, *assessment.problems),
    )  # fmt: skip


def finish(steps: Generator[Any, None, Any]) -> Any:
    """Run steps to their end and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _probabilities(
    model: Any, units: NDArray[np.float32], width: int, temperature: float
) -> NDArray[np.float32]:
    """Return calibrated probabilities (m, c)."""
    found = predicted_by(model.predict_proba, units)
    whole = np.zeros((len(units), width))
    whole[:, model.classes_] = found
    return softened(whole, temperature).astype(np.float32)


def _spread(table: EmbeddingTable, samples: Samples, assessment: Assessment) -> Any:
    """Return a function of unit vectors (m, d): the half width (m,) of an interval that holds LEVEL.

    Held-out errors are fitted by ridge regression, and scaled so that LEVEL of them lie inside (locally
    weighted conformal intervals: Lei et al. 2018, section 5.2).
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = assessment.strictest.predicted
    known = np.isfinite(predicted)
    error = np.abs(samples.values - predicted)[known]
    units = table.unit_rows(samples.rows[known])
    floor = max(0.25 * float(error.mean()), 1e-12)
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=(100.0, 1000.0, 10_000.0)))
    folds = min(5, len(error))
    guessed: Any = cross_val_predict(model, units, error, cv=folds)
    expected = np.maximum(guessed, floor)
    level = min(1.0, LEVEL * (1 + 1 / len(error)))
    factor = float(np.quantile(error / expected, level))
    model.fit(units, error)
    return lambda more: factor * np.maximum(model.predict(more), floor)


def _areas(table: EmbeddingTable, values: NDArray[np.float32], assessment: Assessment) -> AreaEstimate | None:
    """Estimate the area of each class; tiles without an outline all count the same.

    The errors are those of random folds: if the labels are a random sample of the ground, they are the errors
    of this map on this ground, which is what the estimator asks for.
    """
    confusion = assessment.ways[0].confusion
    if confusion is None:
        return None
    areas = tile_areas(table)
    total = covered_km2(table, areas)
    weight = areas if total is not None else np.ones(len(table))
    known = np.isfinite(values)
    width = len(confusion)
    mapped = np.bincount(values[known].astype(int), weight[known], width)
    return estimate_areas(confusion, mapped / max(mapped.sum(), 1e-12), total)
