"""How alike two embeddings of the same images are, whatever their widths: neighbour overlap and linear CKA."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureError
from .knn import most_similar


def neighbour_overlap(a: NDArray[np.float32], b: NDArray[np.float32], k: int = 20) -> NDArray[np.float64]:
    """Give, for every image, the share of its k nearest other images that both embeddings agree on: (n,) in 0..1."""
    _same_images(a, b)
    return np.array(
        [
            len(set(x) & set(y)) / k
            for x, y in zip(_others(a, k).tolist(), _others(b, k).tolist(), strict=True)
        ]
    )


def linear_cka(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Give the linear centred kernel alignment of two embeddings, 0..1 (Kornblith et al., 2019, in its feature form)."""
    _same_images(a, b)
    x, y = a.astype(np.float64), b.astype(np.float64)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    if scale == 0:
        raise FeatureError(
            "One of the two embeddings gives the same vector for every image; there is nothing to compare."
        )
    return float(np.linalg.norm(x.T @ y) ** 2 / scale)


def _others(features: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    if k + 1 > len(features):
        raise FeatureError(
            f"{k} neighbours were asked for among {len(features)} images; choose k below the number of images."
        )
    _, rows = most_similar(features, features, k + 1)
    itself = rows == np.arange(len(rows))[:, None]
    itself[~itself.any(axis=1), -1] = (
        True  # equal images may have pushed the image itself out: drop the last instead
    )
    return rows[~itself].reshape(len(rows), k)


def _same_images(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    if len(a) != len(b):
        raise FeatureError(
            f"Two embeddings of the same images are needed; one has {len(a)} rows, the other {len(b)}."
        )
