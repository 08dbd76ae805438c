"""Images of an experiment: training splits to train on, whole test splits to score on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..evaluation.data.datasets import DataSpec, LabelledSet, open_set
from ..evaluation.data.storage import decode, fingerprint
from ..evaluation.errors import LabelledSetError
from ..geo.imagery import Imagery
from ..geo.imagery_packs import find_imagery
from .experiments import Experiment

SUBSET_SEED = 2_000
CACHE = Path("cache") / "crops"


@dataclass(frozen=True)
class ExperimentData:
    """Imagery to train on, and the labelled sets to score on with their galleries."""

    imagery: tuple[Imagery, ...]
    sets: tuple[LabelledSet, ...]
    gallery: str


def pictures_for(
    experiment: Experiment, folders: tuple[Path, ...], limit: int | None = None
) -> ExperimentData:
    """Open what an experiment trains on and is scored on.

    `limit` images of each class and split for the scores.

    Raises LabelledSetError and GeoError where a pack is missing.
    """
    if not folders:
        raise LabelledSetError(
            "The papers' comparisons need EuroSAT and UC Merced: "
            "put their packs into a folder and name it with --data."
        )
    sets = tuple(open_set(DataSpec(name, limit), folders) for name in experiment.sets)
    if experiment.subset is None:
        found = find_imagery(folders[0], cache=CACHE).imagery
        gallery = "every training picture of the set"
        if len(experiment.scales) > 1:
            native = experiment.gallery == "native"
            gallery += " at full size" if native else ", scaled like the test images"
        return ExperimentData(found, sets, gallery)
    whole = open_set(DataSpec(experiment.sets[0]), folders)
    rows = subset_rows(whole, experiment.subset)
    imagery = training_pictures(whole, rows)
    return ExperimentData(
        (imagery,),
        tuple(_with_gallery(data, whole, rows) for data in sets),
        f"the {len(rows):,} pictures that were trained on",
    )


def subset_rows(data: LabelledSet, count: int) -> tuple[int, ...]:
    """The same `count` training rows on every machine, in order of the files."""
    rows = data.rows("train")
    if count > len(rows):
        raise LabelledSetError(
            f"'{data.name}' has {len(rows):,} training images, fewer than the {count:,} of this "
            "comparison: fetch the whole set."
        )
    return tuple(sorted(np.random.default_rng(SUBSET_SEED).choice(rows, count, replace=False).tolist()))


def training_pictures(data: LabelledSet, rows: tuple[int, ...]) -> Imagery:
    """Decode rows of a set as imagery to train on.

    Raises LabelledSetError for a row that is not of the training split.
    """
    if not all(data.splits[row] == "train" for row in rows):
        raise LabelledSetError(
            f"Rows of the test split of '{data.name}' were asked for as training pictures: "
            "take rows of its training split."
        )
    decoded = tuple(decode(data.store.read(data.files[row]), data.files[row]) for row in rows)
    licence = data.published.licence if data.published else "see its publisher"
    return Imagery(
        f"{data.name}, {len(rows):,} pictures",
        licence,
        decoded,
        tuple(data.gsd_m[list(rows)].tolist()),
        coarser=1.0,
    )


def _with_gallery(data: LabelledSet, whole: LabelledSet, rows: tuple[int, ...]) -> LabelledSet:
    """The test images of `data`, with the given rows of `whole` as all there is to learn classes from."""
    tests = {data.files[row] for row in data.rows("test")}
    keep = np.array(
        sorted({*rows, *(row for row in whole.rows("test").tolist() if whole.files[row] in tests)}),
        dtype=np.int64,
    )
    files = tuple(whole.files[row] for row in keep)
    origin = f"{whole.split_origin}; {len(rows):,} training images, seed {SUBSET_SEED}"
    return replace(
        whole, files=files, labels=whole.labels[keep], splits=whole.splits[keep], gsd_m=whole.gsd_m[keep],
        split_origin=origin,
        fingerprint=fingerprint(whole.store, files),
    )  # fmt: skip
