"""Find images that are on both sides of a split: equal pixels, or nearly equal thumbnails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .datasets import LabelledSet
from .images import Skipped, area_resize, centred_square, read_picture

THUMBNAIL_PX = 16
NEAR_RMS = 4 / 255  # mean difference of two thumbnails, in 0..1
NEAR_CORRELATION = 0.95  # of their structure, so that two images of plain water do not count
BLOCK = 512
PROGRESS_EVERY = 64


@dataclass(frozen=True)
class Duplicate:
    """A test image that is also a training image: files, whether exactly equal, and class numbers."""

    test: str
    train: str
    exact: bool
    test_label: int
    train_label: int


def split_duplicates(
    data: LabelledSet, *, near: bool = True, progress: Callable[[float], object] | None = None
) -> tuple[Duplicate, ...]:
    """Find test images with an exact or near duplicate among the training images.

    Exact: equal decoded pixels (SHA-256). Near: thumbnails of 16 x 16 pixels that differ by less than
    NEAR_RMS, and whose deviations from their mean colour correlate above NEAR_CORRELATION. For every test
    image the closest training image is reported. Unreadable images are skipped. `progress` is called with the
    share of images read.
    """
    rows, digests, thumbnails = _describe(data, progress or (lambda _: None))
    first: dict[str, int] = {}
    is_train = data.splits[rows] == "train"
    for place in np.flatnonzero(is_train):
        first.setdefault(digests[place], int(place))
    pairs = {int(p): (first[digests[p]], True) for p in np.flatnonzero(~is_train) if digests[p] in first}
    if near:
        for test, train in _near(thumbnails, np.flatnonzero(~is_train), np.flatnonzero(is_train)):
            pairs.setdefault(test, (train, False))
    return tuple(
        _duplicate(data, int(rows[t]), int(rows[g]), exact) for t, (g, exact) in sorted(pairs.items())
    )


def _describe(
    data: LabelledSet, progress: Callable[[float], object]
) -> tuple[NDArray[np.int64], list[str], NDArray[np.float32]]:
    rows, digests, thumbnails = [], [], []
    for row, name in enumerate(data.files):
        if row % PROGRESS_EVERY == 0:
            progress(row / len(data.files))
        picture = read_picture(data.store, name)
        if isinstance(picture, Skipped):
            continue
        rows.append(row)
        digests.append(hashlib.sha256(picture.tobytes()).hexdigest())
        thumbnails.append(area_resize(centred_square(picture), THUMBNAIL_PX))
    shape = (len(rows), 3, THUMBNAIL_PX * THUMBNAIL_PX)
    return np.array(rows, np.int64), digests, np.array(thumbnails, np.float32).reshape(shape)


def _near(
    thumbnails: NDArray[np.float32], tests: NDArray[np.int64], trains: NDArray[np.int64]
) -> list[tuple[int, int]]:
    if not (tests.size and trains.size):
        return []
    flat = thumbnails.reshape(len(thumbnails), -1)
    structure = (thumbnails - thumbnails.mean(axis=2, keepdims=True)).reshape(len(thumbnails), -1)
    structure = structure / np.maximum(np.linalg.norm(structure, axis=1, keepdims=True), 1e-6)
    square = np.einsum("nd,nd->n", flat, flat)
    limit = NEAR_RMS**2 * flat.shape[1]
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(tests), BLOCK):
        part = tests[start : start + BLOCK]
        distance = square[part, None] + square[trains] - 2 * flat[part] @ flat[trains].T
        alike = structure[part] @ structure[trains].T
        distance[(alike < NEAR_CORRELATION) | (distance > limit)] = np.inf
        best = distance.argmin(axis=1)
        close = np.isfinite(distance[np.arange(len(part)), best])
        pairs += [(int(part[i]), int(trains[best[i]])) for i in np.flatnonzero(close)]
    return pairs


def _duplicate(data: LabelledSet, test: int, train: int, exact: bool) -> Duplicate:
    return Duplicate(
        data.files[test], data.files[train], exact, int(data.labels[test]), int(data.labels[train])
    )
