"""Fills: baselines that fill hidden pixels without a network.

Every fill takes an image (c, h, w), float32 in 0..1, and `hidden` (h, w), True for hidden pixels, and returns
the image with those pixels filled. Hidden pixels are never read, and visible ones are unchanged. If
everything is hidden, the result is mid grey, 0.5.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import distance_transform_edt
from scipy.sparse.linalg import splu

Image = NDArray[np.float32]
Hidden = NDArray[np.bool_]
MID_GREY = 0.5


def fill_visible_mean(image: Image, hidden: Hidden) -> Image:
    """Fill with each channel's mean over the visible pixels."""
    return _fill(image, hidden, lambda: image[:, ~hidden].mean(axis=1, dtype=np.float64)[:, None])


def fill_nearest(image: Image, hidden: Hidden) -> Image:
    """Fill each hidden patch with a copy of the nearest visible one (Euclidean distance in the patch grid).

    The patch is the largest square that tiles the mask: 16 px for masks of a patch-16 network, one pixel for
    a mask of free form.
    """
    return _fill(image, hidden, lambda: _nearest(image, hidden))


def fill_harmonic(image: Image, hidden: Hidden) -> Image:
    """Fill with the harmonic continuation of the visible pixels (Laplace's equation, mirrored borders).

    Solved exactly, by one sparse factorisation for all channels.
    """
    return _fill(image, hidden, lambda: _harmonic(image, hidden))


def fill_telea(image: Image, hidden: Hidden) -> Image:
    """Fill by Telea's fast marching method (2004) with a radius of 5 px, as implemented in OpenCV."""
    return _fill(image, hidden, lambda: _telea(image, hidden))


FILLS: dict[str, Callable[[Image, Hidden], Image]] = {
    "visible_mean": fill_visible_mean,
    "nearest": fill_nearest,
    "harmonic": fill_harmonic,
    "telea": fill_telea,
}


def _fill(image: Image, hidden: Hidden, values: Callable[[], NDArray[np.floating]]) -> Image:
    """Put `values()`, (c, n) or (c, 1), into the n hidden pixels of a copy."""
    if image.ndim != 3 or image.shape[1:] != hidden.shape:
        raise ValueError(f"image {image.shape} is not (c, h, w) for a mask of {hidden.shape}")
    filled = image.astype(np.float32, copy=True)
    if hidden.all():
        filled[:] = MID_GREY
    elif hidden.any():
        filled[:, hidden] = values()
    return filled


def _nearest(image: Image, hidden: Hidden) -> Image:
    side = _patch_side(hidden)
    row, col = np.asarray(
        distance_transform_edt(hidden[::side, ::side], return_distances=False, return_indices=True)
    )
    r, c = np.nonzero(hidden)
    patch = r // side, c // side
    return image[:, row[patch] * side + r % side, col[patch] * side + c % side]


def _patch_side(hidden: Hidden) -> int:
    """Return the largest side of squares that tile the mask, each entirely hidden or entirely visible."""
    down = np.flatnonzero((hidden[1:] != hidden[:-1]).any(axis=1)) + 1
    across = np.flatnonzero((hidden[:, 1:] != hidden[:, :-1]).any(axis=0)) + 1
    return math.gcd(*hidden.shape, *down.tolist(), *across.tolist())


def _harmonic(image: Image, hidden: Hidden) -> NDArray[np.float64]:
    count = int(hidden.sum())
    number = np.full(hidden.shape, -1)
    number[hidden] = np.arange(count)
    neighbours = np.zeros(count)
    known = np.zeros((count, len(image)))
    pairs: list[NDArray[np.int64]] = []
    before, after = slice(0, -1), slice(1, None)
    every = slice(None)
    for first, second in ((before, every), (after, every)), ((every, before), (every, after)):
        for place, other in ((first, second), (second, first)):
            inside = hidden[place]
            neighbours[number[place][inside]] += 1
            rim = inside & ~hidden[other]
            known[number[place][rim]] += image[(every, *other)][:, rim].T
            both = inside & hidden[other]
            pairs.append(np.stack([number[place][both], number[other][both]]))
    row, col = np.concatenate(pairs, axis=1)
    laplacian = sparse.diags_array(neighbours) - sparse.coo_array(
        (np.ones(len(row)), (row, col)), shape=(count, count)
    )
    # Symmetric and diagonally dominant: without pivoting, the solution is as exact and twice as fast.
    factors = splu(
        laplacian.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return factors.solve(known).T


def _telea(image: Image, hidden: Hidden) -> NDArray[np.floating]:
    # 16 bits, because OpenCV gives noise for floats in 0..1.
    deep = np.where(hidden, 0, np.clip(image, 0, 1) * 65535).round().astype(np.uint16)
    mask = hidden.astype(np.uint8)
    return np.stack([cv2.inpaint(channel, mask, 5, cv2.INPAINT_TELEA)[hidden] for channel in deep]) / 65535
