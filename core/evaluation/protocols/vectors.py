"""Vectors of a set as a recipe asks for them: resized, normalised, embedded in batches, kept in the cache."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cache import Cache
from ..data.datasets import LabelledSet
from ..data.images import Skipped, all_skipped, area_resize, batches
from ..recipes import EvaluationRecipe
from ..subjects import Subject
from .knn import check_finite

BATCH_PIXELS = 2 << 20
MAX_BATCH = 256


@dataclass(frozen=True)
class ImageVectors:
    """Features (n, d) of the images that could be read, their rows in the set, and those that could not."""

    features: NDArray[np.float32]
    rows: NDArray[np.int64]
    skipped: tuple[Skipped, ...]

    def split(
        self, data: LabelledSet, split: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Give features, labels and rows of one split."""
        here = data.splits[self.rows] == split
        return self.features[here], data.labels[self.rows[here]], self.rows[here]


def vectors(
    recipe: EvaluationRecipe, subject: Subject, data: LabelledSet, cache: Cache | None
) -> Generator[int, None, ImageVectors]:
    """Embed every image of a set, yielding how many are done; raises FeatureError for vectors that are not finite."""
    key = vectors_key(recipe, heard=subject.gsd_aware)
    stored = _stored(cache, key) if cache else None
    if stored is not None:
        yield len(data.files)
        return stored
    made = yield from _embedded(recipe, subject, data)
    if cache:
        pairs = np.array([(s.file, s.reason) for s in made.skipped], dtype=np.str_).reshape(-1, 2)
        cache.keep_vectors({"features": made.features, "rows": made.rows, "skipped": pairs}, *key)
    return made


def stored_vectors(recipe: EvaluationRecipe, cache: Cache) -> ImageVectors | None:
    """Give the vectors that a recipe's number was scored from where the cache still holds them, whoever computed them."""
    return _stored(cache, vectors_key(recipe, heard=True)) or _stored(cache, vectors_key(recipe, heard=False))


def _stored(cache: Cache, key: tuple[object, ...]) -> ImageVectors | None:
    found = cache.vectors(*key)
    if found is None:
        return None
    return ImageVectors(
        found["features"], found["rows"], tuple(Skipped(*pair) for pair in found["skipped"].tolist())
    )


def vectors_key(recipe: EvaluationRecipe, *, heard: bool) -> tuple[object, ...]:
    """Give what decides the vectors of a recipe; res only where the model has `heard` it."""
    res = recipe.res if heard else None
    return (
        recipe.data_hash,
        recipe.weights if recipe.weights not in ("untrained", "none") else f"{recipe.weights} {recipe.model}",
        recipe.scaled_px,
        recipe.size_px,
        recipe.normalisation,
        recipe.pooling,
        res,
        recipe.version,
    )


def _embedded(
    recipe: EvaluationRecipe, subject: Subject, data: LabelledSet
) -> Generator[int, None, ImageVectors]:
    assert recipe.size_px is not None and recipe.scaled_px is not None
    size = max(recipe.size_px, recipe.scaled_px)
    step = max(4, min(MAX_BATCH, BATCH_PIXELS // size**2))
    parts: list[NDArray[np.float32]] = []
    rows: list[NDArray[np.int64]] = []
    skipped: list[Skipped] = []
    done = 0
    for batch in batches(data.store, data.files, np.arange(len(data.files)), recipe.scaled_px, step):
        done += len(batch.rows) + len(batch.skipped)
        skipped += batch.skipped
        if len(batch.rows):
            images = _recoloured(area_resize(batch.images, recipe.size_px), recipe, subject, data)
            res = np.full(len(images), recipe.res if recipe.res is not None else 1.0)
            features = subject.embed(images, res, recipe.pooling or subject.pooling)
            check_finite(features, model=subject.name, names=[data.files[row] for row in batch.rows])
            parts.append(features)
            rows.append(batch.rows)
        yield done
    if not parts:
        raise all_skipped(skipped, data.name)
    return ImageVectors(np.concatenate(parts), np.concatenate(rows), tuple(skipped))


def _recoloured(
    images: NDArray[np.float32], recipe: EvaluationRecipe, subject: Subject, data: LabelledSet
) -> NDArray[np.float32]:
    """Colours such that the card's normalisation, which follows in the engine, amounts to the set's own."""
    if (
        recipe.normalisation != "dataset"
        or data.published is None
        or not (data.published.mean and data.published.std)
    ):
        return images
    mean, std, card_mean, card_std = (
        np.asarray(values, np.float32)[:, None, None]
        for values in (data.published.mean, data.published.std, subject.mean, subject.std)
    )
    return (images - mean) / std * card_std + card_mean
