"""The tiles of a planned embedding run, outlined on a picture of the raster."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .pictures import Pixels
from .theme import MID_GREY, SERIES, rgb

LEAST_PX = 5
"""Tiles smaller than this are tinted rather than outlined, as outlines would cover them."""

FADED = 0.62


def plan_picture(pixels: Pixels, boxes: Sequence[NDArray[np.float64]]) -> Pixels:
    """Draw groups of boxes on a picture (h, w, 3), one colour per group, and fade what no box covers.

    Boxes (n, 4) are left, top, width and height as shares 0..1 of the picture; boxes without extent become
    dots.
    """
    height, width = pixels.shape[:2]
    canvas = pixels.copy()
    covered = np.zeros((height, width), np.uint8)
    scaled = [np.round(group * [width, height, width, height]).astype(int) for group in boxes]
    for group in scaled:
        for left, top, w, h in group.tolist():
            covered[top : top + max(h, 1), left : left + max(w, 1)] = 1
    if any((group[:, 2:] > 0).any() for group in scaled):
        canvas[covered == 0] = canvas[covered == 0] * (1 - FADED) + MID_GREY * FADED
    for index, group in sorted(
        enumerate(scaled), key=lambda item: item[1][:, 2].min(initial=0), reverse=False
    ):
        _outline(canvas, group, colour_of(index))
    return canvas


def colour_of(group: int) -> tuple[int, int, int]:
    """Return the colour of a group of boxes."""
    return rgb(SERIES[group % len(SERIES)])


def _outline(canvas: Pixels, boxes: NDArray[np.int64], colour: tuple[int, int, int]) -> None:
    """Outline one group of boxes (in pixels); tint those too small for an outline."""
    places, tinted = (boxes[:, 2:] == 0).all(axis=1), (boxes[:, 2:] < LEAST_PX).any(axis=1)
    for left, top, _, _ in boxes[places].tolist():
        cv2.circle(canvas, (left, top), 1, colour, -1, cv2.LINE_AA)
    tint = canvas.copy()
    for left, top, w, h in boxes[tinted & ~places].tolist():
        cv2.rectangle(tint, (left, top), (left + w, top + h), colour, -1)
    cv2.addWeighted(tint, 0.25, canvas, 0.75, 0, canvas)
    for left, top, w, h in boxes[~tinted].tolist():
        cv2.rectangle(canvas, (left, top), (left + w - 1, top + h - 1), colour, 1)
