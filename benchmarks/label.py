"""Label by example: from ten marks to new colours of a million places, and their quality on labelled sets.

    python benchmarks/label.py [--rows 1000000] [--dim 192] [--anyway]   times, beside one read of the vectors
    python benchmarks/label.py --sets eurosat harvey [--draws 10]        average precision and calibration

For every class of a set, rows of the test split are marked with their true class, and all other rows of the
split are ranked. Times are measured only if the load average is at most 0.3, or with --anyway. The last line
printed is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

import numpy as np
from _quiet import load_or_leave
from _timing import median_ms
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from core.atlas import EmbeddingTable
from core.atlas.analysis.label import Marks, expected_calibration_error, fit, suggest
from core.atlas.schema import SCALE, make_rows, vector_column
from core.atlas.search.neighbors import example_query, similarities

LIMIT_MS = 150.0


def million(rows: int, dim: int, precision: str) -> EmbeddingTable:
    """Return a table of vectors around a few thousand centres, as float32 or int8."""
    import pyarrow as pa

    generator = np.random.default_rng(0)
    centres = generator.standard_normal((4000, dim), dtype=np.float32)
    vectors = np.empty((rows, dim), np.float32 if precision == "float32" else np.int8)
    for at in range(0, rows, 100_000):
        count = min(100_000, rows - at)
        block = centres[generator.integers(0, 4000, count)] + 0.5 * generator.standard_normal(
            (count, dim), dtype=np.float32
        )
        vectors[at : at + count] = block if precision == "float32" else np.rint(block * 20).clip(-127, 127)
    if precision == "float32":
        return EmbeddingTable.from_rows(make_rows(vectors, {}), precision)
    known = make_rows(np.zeros((rows, 1), np.float32), {}).drop_columns(["embedding"])
    return EmbeddingTable.from_rows(
        known.append_column("embedding", vector_column(vectors)).append_column(
            SCALE, pa.array(np.full(rows, 0.05, np.float32))
        ),
        precision,
    )


def times(rows: int, dim: int) -> dict[str, object]:
    """Measure the fit, the scores, the colours for the browser, and all three together as on the page."""
    from ui.globe.panels.label import colours_of

    found: dict[str, object] = {
        "load": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "rows": rows,
        "dim": dim,
        "limit_ms": LIMIT_MS,
    }
    marks = Marks(tuple(range(5)), tuple(range(rows - 5, rows)))
    for precision in ("int8", "float32"):
        table = million(rows, dim, precision)
        values = table.stored.values
        flat = values.view(np.float32 if precision == "float32" else np.int64).reshape(-1)
        labeller, read = fit(table, marks), median_ms(lambda f=flat: f.max(), 7)
        share = labeller.scores(table)
        whole = median_ms(lambda t=table: colours_of(fit(t, marks).scores(t)))
        found[precision] = {
            "fit_ms": median_ms(lambda t=table: fit(t, marks)),
            "scores_ms": median_ms(lambda t=table, one=labeller: one.scores(t)),
            "colours_ms": median_ms(lambda s=share: colours_of(s)),
            "marks_to_colours_ms": whole,
            "times_one_read": whole / read,
            "suggest_ms": median_ms(lambda t=table, one=labeller, s=share: suggest(t, one, probability=s), 5),
            "within_limit": whole <= LIMIT_MS,
        }
    return found


def accuracy(name: str, model: str | None, draws: int, seed: int = 0) -> dict[str, object]:
    """Return the mean average precision of classifier and baseline rule, and the calibration error.

    Means are over the classes of the test split of a set, and over draws of marks.
    """
    from core.engine.candidates import candidate
    from core.evaluation.cache import default_cache
    from core.evaluation.data.datasets import DataSpec, data_folders, open_set
    from core.evaluation.plan import EvaluationPlan, embedding_recipes
    from core.evaluation.protocols.vectors import vectors
    from core.models import default_embedder

    subject, data = candidate(model or default_embedder()), open_set(DataSpec(name), data_folders())
    recipe = next(iter(embedding_recipes(EvaluationPlan(protocol="knn", data=(name,)), subject, data)))
    steps = vectors(recipe, subject, data, default_cache())
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            features, labels, _ = finished.value.split(data, "test")
            break
    table, generator = EmbeddingTable.from_rows(make_rows(features, {})), np.random.default_rng(seed)
    scored: dict[str, list[tuple[float, float, float]]] = {}
    for kind in np.unique(labels):
        for _ in range(draws):
            for way, marks in ways(table, labels == kind, generator).items():
                scored.setdefault(way, []).append(quality(table, labels == kind, marks))
    means = {way: np.mean(values, axis=0) for way, values in scored.items()}
    named = ("map", "map_of_rule", "expected_calibration_error")
    summary = {
        way: dict(zip(named, (round(float(v), 4) for v in mean), strict=True)) for way, mean in means.items()
    }
    return {
        "model": subject.name,
        "test_rows": len(labels),
        "classes": len(data.classes),
        "draws_per_class": draws,
        **summary,
    }


def ways(table: EmbeddingTable, truth: NDArray[np.bool_], generator: np.random.Generator) -> dict[str, Marks]:
    """Return ways of marking: five or ten random rows of each kind, or five and then ten more.

    The ten more are either suggested by the classifier or random.
    """
    yes, no = (generator.choice(np.flatnonzero(kind), 10, replace=False).tolist() for kind in (truth, ~truth))
    few = Marks(tuple(yes[:5]), tuple(no[:5]))
    free = np.setdiff1d(np.arange(len(truth)), [*few.yes, *few.no])
    more = {
        "suggested": suggest(table, fit(table, few), 10).tolist(),
        "random": generator.choice(free, 10, replace=False).tolist(),
    }
    grown = {
        f"5+5, then 10 {how}": Marks(
            (*few.yes, *(r for r in rows if truth[r])), (*few.no, *(r for r in rows if not truth[r]))
        )
        for how, rows in more.items()
    }
    return {"5+5": few, "10+10": Marks(tuple(yes), tuple(no)), **grown}


def quality(table: EmbeddingTable, truth: NDArray[np.bool_], marks: Marks) -> tuple[float, float, float]:
    """Return average precision of classifier and baseline rule, and calibration error, of unmarked rows."""
    rest = np.ones(len(truth), bool)
    rest[[*marks.yes, *marks.no]] = False
    probability = fit(table, marks).scores(table)[rest]
    rule = similarities(table, example_query(table, marks.yes, marks.no))[rest]
    precision, of_rule = (
        float(average_precision_score(truth[rest], scores)) for scores in (probability, rule)
    )
    return precision, of_rule, expected_calibration_error(probability, truth[rest])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument(
        "--sets", nargs="+", metavar="SET", help="measure the quality on these sets instead of times"
    )
    parser.add_argument("--model", help="default: the default embedding model")
    parser.add_argument("--draws", type=int, default=10, help="draws of marks for each class (default: 10)")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    if args.sets:
        print(json.dumps({name: accuracy(name, args.model, args.draws) for name in args.sets}, indent=1))
        return 0
    load_or_leave(args.anyway)
    print(json.dumps(times(args.rows, args.dim), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
