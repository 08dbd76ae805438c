"""What a sweep is going to look at: the tiles of a plan as outlines on a picture of the raster."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .pictures import Pixels
from .theme import SERIES

LEAST_PX = 5
"""Tiles smaller than this on the picture are tinted rather than outlined: their lines would hide the ground."""

FADED = 0.62


def plan_picture(pixels: Pixels, boxes: Sequence[NDArray[np.float64]]) -> Pixels:
    """Draw groups of boxes (n, 4) left, top, width, height as shares 0..1 of the picture (h, w, 3), a colour for each group.

    Ground under no box fades; boxes of no extent are places, drawn as dots.
    """
    height, width = pixels.shape[:2]
    drawn = pixels.copy()
    covered = np.zeros((height, width), np.uint8)
    scaled = [np.round(group * [width, height, width, height]).astype(int) for group in boxes]
    for group in scaled:
        for left, top, w, h in group.tolist():
            covered[top : top + max(h, 1), left : left + max(w, 1)] = 1
    if any((group[:, 2:] > 0).any() for group in scaled):
        drawn[covered == 0] = drawn[covered == 0] * (1 - FADED) + 128 * FADED
    for index, group in sorted(
        enumerate(scaled), key=lambda item: item[1][:, 2].min(initial=0), reverse=False
    ):
        _outline(drawn, group, colour_of(index))
    return drawn


def colour_of(group: int) -> tuple[int, int, int]:
    """The colour of a group of boxes."""
    text = SERIES[group % len(SERIES)]
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _outline(drawn: Pixels, boxes: NDArray[np.int64], colour: tuple[int, int, int]) -> None:
    """Draw one group of boxes in pixels, or tint it where its boxes are too small for lines."""
    places, tinted = (boxes[:, 2:] == 0).all(axis=1), (boxes[:, 2:] < LEAST_PX).any(axis=1)
    for left, top, _, _ in boxes[places].tolist():
        cv2.circle(drawn, (left, top), 1, colour, -1, cv2.LINE_AA)
    tint = drawn.copy()
    for left, top, w, h in boxes[tinted & ~places].tolist():
        cv2.rectangle(tint, (left, top), (left + w, top + h), colour, -1)
    cv2.addWeighted(tint, 0.25, drawn, 0.75, 0, drawn)
    for left, top, w, h in boxes[~tinted].tolist():
        cv2.rectangle(drawn, (left, top), (left + w - 1, top + h - 1), colour, 1)
