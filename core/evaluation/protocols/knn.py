"""Weighted k-nearest-neighbour classification, exact, as the Scale-MAE evaluation defines it.

Cosine similarity, k = 20; each neighbour votes with the weight exp(similarity / 0.07), and the class with the
largest sum wins (models.md 2.1; Reed et al., Scale-MAE, ICCV 2023). Similarities are blocked float32 matrix
products. The k largest of a row are found through the maxima of groups of columns: each of them is in one of
the k groups with the largest maxima, so most columns are read only once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError

GROUP = 64  # columns per group: 27,000 columns give about 420 maxima per row
SMALL_TAU = 0.005  # below it exp((similarity - 1) / tau) may vanish for all neighbours
BLOCK_BYTES = 64 << 20  # of similarities in memory at a time


@dataclass(frozen=True)
class KnnSpec:
    """How neighbours vote; `overwrite_batch` reproduces the rows that the original code loses."""

    k: int = 20
    tau: float = 0.07
    overwrite_batch: int | None = None


@dataclass(frozen=True)
class KnnPrediction:
    """Predicted classes, neighbours by decreasing similarity (ties: lower row first), shares of votes."""

    labels: NDArray[np.int64]  # (m,)
    neighbours: NDArray[np.int64]  # (m, k) rows of the gallery
    similarity: NDArray[np.float32]  # (m, k)
    votes: NDArray[np.float64]  # (m, classes), rows sum to 1


def weighted_knn(
    gallery: NDArray[np.float32],
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    spec: KnnSpec | None = None,
) -> KnnPrediction:
    """Predict the class of every query from its k most similar gallery rows.

    gallery (n, d), labels (n,) from 0, queries (m, d). The classes are 0 .. max(labels). Raises FeatureError
    for mismatched shapes, a k larger than the gallery, or values that are not finite.
    """
    spec = spec or KnnSpec()
    _check(gallery, labels, queries, spec)
    bank, bank_labels = unit_rows(gallery), np.asarray(labels, dtype=np.int64)
    if spec.overwrite_batch is not None:
        bank, bank_labels = overwrite_rows(bank, bank_labels, spec.overwrite_batch)
    similarity, neighbours = _most_similar_unit(bank, unit_rows(queries), spec.k)
    votes = _votes(similarity, bank_labels[neighbours], int(labels.max()) + 1, spec.tau)
    return KnnPrediction(votes.argmax(axis=1), neighbours, similarity, votes)


def most_similar(
    gallery: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the k largest cosine similarities of each query and their rows, (m, k), largest first."""
    _check(gallery, np.zeros(len(gallery), np.int64), queries, KnnSpec(k=k))
    return _most_similar_unit(unit_rows(gallery), unit_rows(queries), k)


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale every row to length 1 in float32; rows of zeros stay zeros."""
    features = np.ascontiguousarray(features, dtype=np.float32)
    length = np.sqrt(np.einsum("nd,nd->n", features, features))
    return np.divide(features, np.where(length > 0, length, 1)[:, None], dtype=np.float32)


def overwrite_rows(
    gallery: NDArray[np.float32], labels: NDArray[np.int64], batch: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the gallery as the original code stores it, with a smaller last batch written over earlier rows.

    The original writes batch b at row b x (its own size). A last batch of m < `batch` rows is therefore
    written at b x m, and the last m rows stay zero with label 0 (models.md 2.1).
    """
    if batch < 1:
        raise FeatureError(
            f"The batch size of --overwrite-batch is {batch}; choose a whole number, 1 or more."
        )
    whole, rest = divmod(len(gallery), batch)
    if rest == 0:
        return gallery, labels
    start, end = whole * rest, whole * batch
    bank, bank_labels = gallery.copy(), labels.copy()
    bank[end:], bank_labels[end:] = 0, 0
    bank[start : start + rest], bank_labels[start : start + rest] = gallery[end:], labels[end:]
    return bank, bank_labels


def check_finite(features: NDArray[np.float32], *, model: str, names: Sequence[str]) -> None:
    """Raise FeatureError with the model and the first image whose features are not finite."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        others = f" and {bad.size - 1} more" if bad.size > 1 else ""
        raise FeatureError(
            f"Model '{model}' gives values that are not finite for image '{names[int(bad[0])]}'{others}; "
            "check its weights file, or run in float32."
        )


def _check(
    gallery: NDArray[np.float32], labels: NDArray[np.int64], queries: NDArray[np.float32], spec: KnnSpec
) -> None:
    if gallery.ndim != 2 or queries.ndim != 2 or gallery.shape[1] != queries.shape[1]:
        raise FeatureError(
            f"Gallery {gallery.shape} and queries {queries.shape} do not match; both must be (images, width)."
        )
    if len(labels) != len(gallery):
        raise FeatureError(
            f"{len(gallery)} gallery vectors came with {len(labels)} labels; give one label per vector."
        )
    if not 1 <= spec.k <= len(gallery):
        raise FeatureError(
            f"k is {spec.k} but the gallery holds {len(gallery)} images; choose k from 1 to {len(gallery)}, "
            "or a larger gallery."
        )
    if not (spec.tau > 0 and math.isfinite(spec.tau)):
        raise FeatureError(f"The temperature is {spec.tau}; choose one above 0 (the paper's is 0.07).")
    for name, features in (("gallery", gallery), ("query", queries)):
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if bad.size:
            raise FeatureError(
                f"The vector of {name} image {int(bad[0])} is not finite; leave it out or embed it again."
            )


def _most_similar_unit(
    bank: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    count = len(queries)
    similarity, rows = np.empty((count, k), np.float32), np.empty((count, k), np.int64)
    block = max(16, BLOCK_BYTES // (4 * len(bank)))
    product = np.empty((min(block, count), len(bank)), np.float32)
    for start in range(0, count, block):
        part = queries[start : start + block]
        sims = np.matmul(part, bank.T, out=product[: len(part)])
        block_rows = slice(start, start + len(part))
        rows[block_rows] = _largest(sims, k)
        similarity[block_rows] = np.take_along_axis(sims, rows[block_rows], axis=1)
    return similarity, rows


def _largest(sims: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the columns of the k largest values of each row, largest first, lower column first if equal."""
    groups = sims.shape[1] // GROUP
    if groups <= 2 * k:
        candidates = np.broadcast_to(np.arange(sims.shape[1]), sims.shape)
        beyond = np.zeros(len(sims), bool)
        values = sims
    else:
        maxima = sims[:, : groups * GROUP].reshape(len(sims), GROUP, groups).max(axis=1)
        best = np.argpartition(maxima, groups - k, axis=1)[:, groups - k :]
        floor = np.take_along_axis(maxima, best, axis=1).min(axis=1, keepdims=True)
        beyond = (maxima >= floor).sum(axis=1) > k  # equal group maxima: the choice of groups was arbitrary
        members = (best[:, :, None] + groups * np.arange(GROUP)).reshape(len(sims), -1)
        tail = np.broadcast_to(np.arange(groups * GROUP, sims.shape[1]), (len(sims), sims.shape[1] % GROUP))
        candidates = np.concatenate([members, tail], axis=1)
        values = np.take_along_axis(sims, candidates, axis=1)
    width = values.shape[1]
    chosen = np.argpartition(values, width - k, axis=1)[:, width - k :]
    top = np.take_along_axis(values, chosen, axis=1)
    tied = beyond | ((values >= top.min(axis=1, keepdims=True)).sum(axis=1) > k)
    columns = np.take_along_axis(candidates, chosen, axis=1)
    order = np.lexsort((columns, -top), axis=1)
    columns = np.take_along_axis(columns, order, axis=1)
    for row in np.flatnonzero(tied):
        columns[row] = np.argsort(-sims[row], kind="stable")[:k]
    return columns


def _votes(
    similarity: NDArray[np.float32], labels: NDArray[np.int64], classes: int, tau: float
) -> NDArray[np.float64]:
    # A common factor does not change which class wins.
    reference = 1.0 if tau >= SMALL_TAU else similarity[:, :1].astype(np.float64)
    weights = np.exp((similarity.astype(np.float64) - reference) / tau)
    votes = np.zeros((len(labels), classes))
    rows = np.arange(len(labels))
    for rank in range(labels.shape[1]):
        votes[rows, labels[:, rank]] += weights[:, rank]
    return votes / votes.sum(axis=1, keepdims=True)
