"""Sets of images with a class for every pixel: the types, and what scenes and folders share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .datasets import DataSpec
from .images import Skipped

UNLABELLED = 255
TEST_EVERY = 4  # every fourth column of tiles of a scene, or a quarter of a folder's images, is for test

Classes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class MaskedTile:
    """A square image (3, t, t) in 0..1 and the class of every pixel (t, t), UNLABELLED if unknown."""

    name: str
    image: NDArray[np.float32]
    classes: Classes


@dataclass(frozen=True, eq=False)
class MaskedSet:
    """Square tiles with masks: `groups` (n,) is the image of each, `gsd_m` (n,) metres per pixel or NaN."""

    name: str
    names: tuple[str, ...]
    splits: NDArray[np.str_]
    groups: NDArray[np.int64]
    gsd_m: NDArray[np.float64]
    classes: tuple[str, ...]
    native_px: int
    split_origin: str
    fingerprint: str
    read: Callable[[int], MaskedTile | Skipped]
    published: None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the tiles, under the same name as the files of a labelled set."""
        return self.names

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows of one split."""
        return np.flatnonzero(self.splits == split)


def masked_set(
    name: str,
    listed: Sequence[tuple[str, str, int]],
    spec: DataSpec,
    gsd_m: float,
    read: Callable[[str], MaskedTile | Skipped],
    **fields: Any,
) -> MaskedSet:
    """Make a set from tiles listed as (name, split, group), reduced to the limit of the spec."""
    splits = np.array([split for _, split, _ in listed])
    groups = np.array([group for _, _, group in listed], np.int64)
    keep = _limited(splits, groups, spec.limit)
    names = tuple(listed[row][0] for row in keep)
    return MaskedSet(
        name,
        names,
        splits[keep],
        groups[keep],
        np.full(len(keep), gsd_m),
        read=lambda row: read(names[row]),
        **fields,
    )


def _limited(splits: NDArray[np.str_], groups: NDArray[np.int64], limit: int | None) -> NDArray[np.int64]:
    """Return the rows of at most `limit` groups of each split, evenly spaced."""
    keep: list[int] = []
    for split in ("train", "test"):
        chosen = np.unique(groups[splits == split])
        if limit is not None and limit < len(chosen):
            chosen = chosen[np.linspace(0, len(chosen) - 1, limit).round().astype(int)]
        keep += np.flatnonzero((splits == split) & np.isin(groups, chosen)).tolist()
    return np.array(sorted(keep), np.int64)
