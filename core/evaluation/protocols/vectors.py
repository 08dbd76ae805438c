"""Embed the images of a set under a recipe: resized, normalised, in batches, and cached."""

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
    """Features (n, d) of the readable images, their rows in the set, and the images that were skipped."""

    features: NDArray[np.float32]
    rows: NDArray[np.int64]
    skipped: tuple[Skipped, ...]

    def split(
        self, data: LabelledSet, split: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Return features, labels and rows of one split."""
        in_split = data.splits[self.rows] == split
        return self.features[in_split], data.labels[self.rows[in_split]], self.rows[in_split]


def vectors(
    recipe: EvaluationRecipe, subject: Subject, data: LabelledSet, cache: Cache | None
) -> Generator[int, None, ImageVectors]:
    """Embed every image of a set, and yield how many are done. Raises FeatureError if not finite.

    If the gallery is "native", train images are embedded at full size and test images at the recipe's scale.
    """
    gallery = recipe.of_gallery if recipe.gallery else recipe
    train = yield from _of_split(gallery, subject, data, "train", cache, 0)
    test = yield from _of_split(recipe, subject, data, "test", cache, len(data.rows("train")))
    if not (len(train.rows) or len(test.rows)):
        raise all_skipped([*train.skipped, *test.skipped], data.name)
    rows = np.concatenate([train.rows, test.rows])
    order = np.argsort(rows)
    filled = [part.features for part in (train, test) if len(part.rows)]
    return ImageVectors(np.concatenate(filled)[order], rows[order], (*train.skipped, *test.skipped))


def stored_vectors(recipe: EvaluationRecipe, split: str, cache: Cache) -> ImageVectors | None:
    """Return the cached embeddings of one split behind a recipe's result, or None."""
    if recipe.gallery and split == "train":
        recipe = recipe.of_gallery
    keys = (vectors_key(recipe, split, gsd_aware=gsd_aware) for gsd_aware in (True, False))
    return next((found for key in keys if (found := _stored(cache, key)) is not None), None)


def _of_split(
    recipe: EvaluationRecipe,
    subject: Subject,
    data: LabelledSet,
    split: str,
    cache: Cache | None,
    done: int,
) -> Generator[int, None, ImageVectors]:
    """Embed the images of a split or read them from the cache; yield how many are done, from `done` on."""
    key = vectors_key(recipe, split, gsd_aware=subject.gsd_aware)
    stored = _stored(cache, key) if cache else None
    if stored is not None:
        yield done + len(data.rows(split))
        return stored
    embedded = yield from _embed(recipe, subject, data, data.rows(split), done)
    if cache:
        pairs = np.array([(s.file, s.reason) for s in embedded.skipped], dtype=np.str_).reshape(-1, 2)
        cache.keep_vectors({"features": embedded.features, "rows": embedded.rows, "skipped": pairs}, *key)
    return embedded


def _stored(cache: Cache, key: tuple[object, ...]) -> ImageVectors | None:
    arrays = cache.vectors(*key)
    if arrays is None:
        return None
    return ImageVectors(
        arrays["features"], arrays["rows"], tuple(Skipped(*pair) for pair in arrays["skipped"].tolist())
    )


def vectors_key(recipe: EvaluationRecipe, split: str, *, gsd_aware: bool) -> tuple[object, ...]:
    """Return what determines the embeddings of a split; res only for a GSD-aware model."""
    res = recipe.res if gsd_aware else None
    return (
        recipe.data_hash,
        recipe.weights if recipe.weights not in ("untrained", "none") else f"{recipe.weights} {recipe.model}",
        recipe.scaled_px,
        recipe.size_px,
        recipe.normalisation,
        recipe.pooling,
        res,
        recipe.version,
        split,
    )


def _embed(
    recipe: EvaluationRecipe, subject: Subject, data: LabelledSet, which: NDArray[np.int64], done: int
) -> Generator[int, None, ImageVectors]:
    assert recipe.size_px is not None and recipe.scaled_px is not None
    size = max(recipe.size_px, recipe.scaled_px)
    step = max(4, min(MAX_BATCH, BATCH_PIXELS // size**2))
    parts: list[NDArray[np.float32]] = []
    rows: list[NDArray[np.int64]] = []
    skipped: list[Skipped] = []
    for batch in batches(data.store, data.files, which, recipe.scaled_px, step):
        done += len(batch.rows) + len(batch.skipped)
        skipped += batch.skipped
        if len(batch.rows):
            images = _renormalised(area_resize(batch.images, recipe.size_px), recipe, subject, data)
            res = np.full(len(images), recipe.res if recipe.res is not None else 1.0)
            features = subject.embed(images, res, recipe.pooling or subject.pooling)
            check_finite(features, model=subject.name, names=[data.files[row] for row in batch.rows])
            parts.append(features)
            rows.append(batch.rows)
        yield done
    if not parts:
        return ImageVectors(np.empty((0, 0), np.float32), np.empty(0, np.int64), tuple(skipped))
    return ImageVectors(np.concatenate(parts), np.concatenate(rows), tuple(skipped))


def _renormalised(
    images: NDArray[np.float32], recipe: EvaluationRecipe, subject: Subject, data: LabelledSet
) -> NDArray[np.float32]:
    """Transform colours so that the card's normalisation, applied later, amounts to that of the set."""
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
