"""The train images of a labelled set as training imagery: whole pictures, resized to one side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...geo.imagery import NOT_STATED, Imagery, LazyPictures, Picture
from ..errors import LabelledSetError
from .datasets import DataSpec, native_gsd, open_set
from .storage import ImageStore, decode


class SetPictures(LazyPictures):
    """Centred squares of a set's images, resized to `side_px`: averaged if larger, bicubic if smaller."""

    def __init__(self, store: ImageStore, names: Sequence[str], side_px: int) -> None:
        super().__init__(names)
        self.store, self.side_px = store, side_px

    def decoded(self, name: str) -> Picture | None:
        """Return the square of a file, uint8 (side_px, side_px, 3), None if it cannot be decoded."""
        import cv2

        try:
            picture = decode(self.store.read(name), name)
        except LabelledSetError:
            return None
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = picture[top : top + side, left : left + side]
        way = cv2.INTER_AREA if side > self.side_px else cv2.INTER_CUBIC
        return cv2.resize(square, (self.side_px, self.side_px), interpolation=way).astype("uint8")


def training_imagery(spec: DataSpec, folders: Sequence[Path], side_px: int) -> Imagery:
    """Open a labelled set and use its train images, `side_px` pixels per side, as training imagery.

    Its split is the one that evaluation and fine-tuning use, so test images are never seen. A set that states
    no GSD, of photographs for example, counts as 1 m a pixel. Raises LabelledSetError.
    """
    data = open_set(spec, folders)
    names = [data.files[row] for row in data.rows("train")]
    gsd_m = native_gsd(data) * data.native_px / side_px
    return Imagery(
        data.name,
        data.published.licence if data.published else NOT_STATED,
        SetPictures(data.store, names, side_px),
        (1.0 if math.isnan(gsd_m) else gsd_m,) * len(names),
        coarser=1.0,
        upright=True,
        sides_px=np.full(len(names), side_px, np.int64),
        digest=f"{data.fingerprint}, {side_px} px",
    )
