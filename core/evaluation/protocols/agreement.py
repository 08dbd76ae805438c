"""Similarity of two embeddings of the same images, of any widths: neighbour overlap and linear CKA."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from .knn import most_similar


def neighbour_overlap(a: NDArray[np.float32], b: NDArray[np.float32], k: int = 20) -> NDArray[np.float64]:
    """Return the share of each image's k nearest neighbours that both embeddings agree on: (n,) in 0..1."""
    _same_images(a, b)
    return np.array(
        [
            len(set(x) & set(y)) / k
            for x, y in zip(_neighbours(a, k).tolist(), _neighbours(b, k).tolist(), strict=True)
        ]
    )


def linear_cka(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the linear centred kernel alignment of two embeddings, 0..1 (Kornblith et al., 2019)."""
    _same_images(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    if scale == 0:
        raise FeatureError("One of the two embeddings is the same for every image; choose another model.")
    return float(np.linalg.norm(x.T @ y) ** 2 / scale)


def _neighbours(features: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    if k + 1 > len(features):
        raise FeatureError(f"{k} neighbours were requested among {len(features)} images; choose a smaller k.")
    _, rows = most_similar(features, features, k + 1)
    itself = rows == np.arange(len(rows))[:, None]
    itself[~itself.any(axis=1), -1] = True  # equal images displaced the image itself: drop the last instead
    return rows[~itself].reshape(len(rows), k)


def _same_images(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    if len(a) != len(b):
        raise FeatureError(
            f"Both embeddings must be of the same images, but one has {len(a)} rows and the other {len(b)}."
        )
