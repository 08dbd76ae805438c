"""Embeddings of colour statistics, a baseline without a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 8
CELL_PX = 8  # side of a cell, equal to a patch of the small networks
COLOUR_HISTOGRAM = "colour_histogram"
UNTRAINED = "untrained_scale_mae_tiny"
FLOORS = (COLOUR_HISTOGRAM, UNTRAINED)
"""Model names, in results, of what every trained network should beat."""


def colour_histogram(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the square roots of 8 x 8 x 8 colour histograms of images (n, 3, h, w) in 0..1: (n, 512).

    The cosine of two such vectors is the Bhattacharyya coefficient of the histograms.
    """
    cells = np.clip((images * BINS).astype(np.int64), 0, BINS - 1)
    flat = ((cells[:, 0] * BINS + cells[:, 1]) * BINS + cells[:, 2]).reshape(len(images), -1)
    flat += np.arange(len(images))[:, None] * BINS**3
    counts = np.bincount(flat.ravel(), minlength=len(images) * BINS**3).reshape(len(images), BINS**3)
    return np.sqrt(counts / flat.shape[1]).astype(np.float32)


def cell_colours(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mean and standard deviation of each colour in cells of images (n, 3, s, s): (n, g, g, 6).

    Cells have a side of CELL_PX; pixels beyond the last whole cell are ignored.
    """
    grid = images.shape[-1] // CELL_PX
    cut = images[:, :, : grid * CELL_PX, : grid * CELL_PX]
    cells = cut.reshape(len(images), 3, grid, CELL_PX, grid, CELL_PX)
    both = np.concatenate([cells.mean(axis=(3, 5)), cells.std(axis=(3, 5))], axis=1)
    return np.ascontiguousarray(both.transpose(0, 2, 3, 1))
