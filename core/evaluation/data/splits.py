"""Train and test splits: from published lists, or at random within each class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import LabelledSetError
from .storage import ImageStore

TEST_SHARE = 0.1  # as in the Scale-MAE evaluation of sets without lists (models.md 2.1)


@dataclass(frozen=True)
class ListedSplits:
    """A split for every file ("" if on no list) and the names of the lists; both empty without lists."""

    splits: tuple[str, ...]
    origin: str


def random_splits(labels: NDArray[np.int64], seed: int) -> NDArray[np.str_]:
    """Mark a tenth of each class as test, at least one image."""
    rng = np.random.default_rng(seed)
    splits = np.full(len(labels), "train")
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        splits[rng.permutation(rows)[: max(1, round(TEST_SHARE * len(rows)))]] = "test"
    return splits


def listed_splits(
    store: ImageStore, files: Sequence[str], title: str, other_names: Sequence[str]
) -> ListedSplits:
    """Read train / val / test lists among or beside the images; val is used as test if there is no test.

    A list has one image per line: its path below the parent of the class folders, a longer path that ends in
    it, or its file name if that is unique. Raises LabelledSetError if lists exist but name none of the
    images.
    """
    lists = _find_lists(store, (title, *other_names))
    if "train" not in lists or not lists.keys() & {"val", "test"}:
        return ListedSplits(("",) * len(files), "")
    test = "test" if "test" in lists else "val"
    by_end = _by_end(files)
    splits = [""] * len(files)
    for key, split in ((test, "test"), ("train", "train")):
        for line in lists[key][1].splitlines():
            parts = PurePosixPath(line.strip()).parts
            row = next(
                (by_end[parts[start:]] for start in range(len(parts)) if parts[start:] in by_end), None
            )
            if row is not None:
                splits[row] = split
    if not {"train", "test"} <= set(splits):
        raise LabelledSetError(
            f"The lists {lists['train'][0]} and {lists[test][0]} of '{title}' do not match its images; "
            "write one image per line as class/file."
        )
    return ListedSplits(tuple(splits), f"lists {lists['train'][0]} and {lists[test][0]}")


def _by_end(files: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Return the rows of files by path and, if it is unique, by file name."""
    names = [PurePosixPath(file).parts for file in files]
    bare = Counter(parts[-1] for parts in names)
    return {parts: row for row, parts in enumerate(names)} | {
        parts[-1:]: row for row, parts in enumerate(names) if bare[parts[-1]] == 1
    }


def _find_lists(store: ImageStore, titles: Sequence[str]) -> dict[str, tuple[str, str]]:
    names = "|".join(re.escape(title.lower().replace("-", "_")) for title in titles)
    pattern = re.compile(rf"(?:(?:{names})_)?(train|val|test)(?:_(?:{names}))?\.txt")
    lists: dict[str, tuple[str, str]] = {}
    beside = sorted(store.path.parent.glob("*.txt")) if store.path.is_dir() else []
    for path in beside:
        match = pattern.fullmatch(path.name.lower().replace("-", "_"))
        if match and path.stem.lower() not in {
            "train",
            "val",
            "test",
        }:  # a bare train.txt may belong to anything
            lists[match[1]] = (path.name, _text(path))
    for name in store.names:
        match = pattern.fullmatch(PurePosixPath(name).name.lower().replace("-", "_"))
        if match:
            lists[match[1]] = (name, store.read(name).decode("utf-8", "replace"))
    return lists


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")
