"""Floors that need no network: what colour statistics alone can tell apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 8
CELL_PX = 8  # side of a cell, as large as a patch of the small networks
COLOUR_HISTOGRAM = "colour_histogram"  # the name under which a table lists this floor


def colour_histogram(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Describe images (n, 3, h, w) in 0..1 by the square roots of an 8 x 8 x 8 histogram of their colours: (n, 512).

    The cosine of two such vectors is the Bhattacharyya coefficient of the histograms.
    """
    cells = np.clip((images * BINS).astype(np.int64), 0, BINS - 1)
    flat = ((cells[:, 0] * BINS + cells[:, 1]) * BINS + cells[:, 2]).reshape(len(images), -1)
    flat += np.arange(len(images))[:, None] * BINS**3
    counts = np.bincount(flat.ravel(), minlength=len(images) * BINS**3).reshape(len(images), BINS**3)
    return np.sqrt(counts / flat.shape[1]).astype(np.float32)


def cell_colours(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Describe cells of CELL_PX pixels of images (n, 3, s, s) by mean and deviation of each colour: (n, g, g, 6); a rest of the side is cut off."""
    grid = images.shape[-1] // CELL_PX
    cut = images[:, :, : grid * CELL_PX, : grid * CELL_PX]
    cells = cut.reshape(len(images), 3, grid, CELL_PX, grid, CELL_PX)
    both = np.concatenate([cells.mean(axis=(3, 5)), cells.std(axis=(3, 5))], axis=1)
    return np.ascontiguousarray(both.transpose(0, 2, 3, 1))
