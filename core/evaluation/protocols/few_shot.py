"""Few-shot classification by the nearest class mean of a few training images, over many draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from .knn import unit_rows


@dataclass(frozen=True)
class FewShot:
    """Share of right draws (m,), accuracy of each draw (draws,), most frequent answer (m,)."""

    right: NDArray[np.float64]
    draws: NDArray[np.float64]
    labels: NDArray[np.int64]


def few_shot(
    train: NDArray[np.float32],
    labels: NDArray[np.int64],
    test: NDArray[np.float32],
    truth: NDArray[np.int64],
    *,
    shots: int,
    draws: int = 20,
    seed: int = 0,
) -> FewShot:
    """Classify test embeddings (m, d) by cosine similarity to class means of `shots` training embeddings.

    Training images are drawn `draws` times. Raises FeatureError if a class has fewer than `shots`.
    """
    bank, queries = unit_rows(train), unit_rows(test)
    classes = np.unique(labels)
    rows = [np.flatnonzero(labels == label) for label in classes]
    fewest = min(len(members) for members in rows)
    if not 1 <= shots <= fewest:
        raise FeatureError(
            f"{shots} shots were requested, but the smallest class has {fewest} training images; "
            f"choose 1 to {fewest}."
        )
    rng = np.random.default_rng(seed)
    answers = np.empty((draws, len(queries)), np.int64)
    for draw in range(draws):
        means = np.stack([bank[rng.choice(members, shots, replace=False)].mean(axis=0) for members in rows])
        answers[draw] = classes[(queries @ unit_rows(means).T).argmax(axis=1)]
    right = answers == truth
    counts = (answers[:, :, None] == classes).sum(axis=0)
    return FewShot(right.mean(axis=0), right.mean(axis=1), classes[counts.argmax(axis=1)])
