"""Labelled image sets: found by name, folder or zip, with classes, splits and GSD, and checked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...geo.catalogue import DATA_VARIABLE, SHARED_DATA
from ..errors import LabelledSetError
from . import world_regions
from .archives import READERS, packed
from .layouts import listed
from .published import PUBLISHED, PublishedSet, published_set
from .releases import FETCHED_FOLDER, dataset_release
from .splits import TEST_SHARE, random_splits
from .storage import ImageStore, decode, fingerprint


@dataclass(frozen=True)
class DataSpec:
    """Which set, how many images per class and split (None: all), and the GSD if not stated by files."""

    data: str
    limit: int | None = None
    gsd_m: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class LabelledSet:
    """Images with classes and splits; `labels` index `classes`, `gsd_m` is NaN where unknown.

    `fingerprint` depends on the images, and on labels and splits stated in an index.csv or list files.
    """

    name: str
    store: ImageStore
    files: tuple[str, ...]
    labels: NDArray[np.int64]  # (n,)
    splits: NDArray[np.str_]  # (n,) "train" or "test"
    gsd_m: NDArray[np.float64]  # (n,) metres per native pixel
    classes: tuple[str, ...]
    native_px: int
    split_origin: str  # how the images were split, for the recipe
    fingerprint: str
    published: PublishedSet | None = None

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows of one split, in file order."""
        return np.flatnonzero(self.splits == split)


class StatesGsd(Protocol):
    """A set whose images state metres per native pixel, NaN where unknown."""

    @property
    def gsd_m(self) -> NDArray[np.float64]:
        """One number for each image."""
        ...


def native_gsd(data: StatesGsd) -> float:
    """Return the median GSD of a set's native pixels, NaN if none is stated."""
    known = data.gsd_m[~np.isnan(data.gsd_m)]
    return float(np.median(known)) if known.size else float("nan")


def data_folders(extra: str | os.PathLike[str] | None = None) -> tuple[Path, ...]:
    """Return the folders that are searched for sets: `extra`, $EARTH_MAE_DATA, shared and fetched data."""
    named = [str(extra)] if extra else []
    named += [text for text in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if text]
    folders = [*(Path(text).expanduser() for text in named), SHARED_DATA, FETCHED_FOLDER]
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def find_set(data: str, folders: Sequence[Path]) -> tuple[Path, PublishedSet | None]:
    """Find a set by its published name, its path, or its name in one of `folders`.

    Returns its path, and its entry in PUBLISHED or None. Raises LabelledSetError if there is no such set.
    """
    known = published_set(data)
    if known is not None and known.name == world_regions.NAME:
        return world_regions.world_regions(), known
    if known is not None:
        for candidate in (folder / place for folder in folders for place in known.found_as):
            if candidate.exists():
                return packed(known.name, candidate) if known.name in READERS else candidate, known
    path = own_path(data) or (None if known else set_beneath(data, folders))
    if path is not None:
        return path, _recognise(path)
    if known is not None:
        fetchable = (release := dataset_release(known.name)) is not None and release.archives
        raise LabelledSetError(
            f"{known.title} was not found: put {' or '.join(known.found_as[:2])} into a folder, "
            f"and give that folder with --data or {DATA_VARIABLE}"
            + (f", or download it with python -m core fetch {known.name}." if fetchable else ".")
        )
    raise LabelledSetError(
        f"There is no labelled set '{data:.80}': give a folder with one sub-folder per class, a zip with "
        f"index.csv, the name of a set in the folder of --data, or one of {', '.join(PUBLISHED)}."
    )


def is_available(name: str, folders: Sequence[Path]) -> bool:
    """Return whether a published set is here; nothing is opened or made for that."""
    if name == world_regions.NAME:
        return world_regions.is_available()
    return any((folder / place).exists() for folder in folders for place in PUBLISHED[name].found_as)


def own_path(data: str) -> Path | None:
    """Return the existing folder or file that a text names, or None."""
    try:
        path = Path(data).expanduser()
        return path if data and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, an unknown home folder
        return None


def set_beneath(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the folder or zip called `name`, with or without suffix, that is or is in one of `folders`."""
    for folder in folders:
        for path in (folder, *sorted(folder.glob("*"))):
            if name in (path.name, path.stem) and (path.is_dir() or path.suffix.lower() == ".zip"):
                return path
    return None


def open_set(spec: DataSpec, folders: Sequence[Path] | None = None, *, labelled: bool = True) -> LabelledSet:
    """Open and check a labelled set. Raises LabelledSetError with a remedy.

    With `labelled` False (for reconstruction) a set may have one class or none, and every image is for test
    if it has no split. Corrupt images are not searched here; they are skipped and named when they are read.
    """
    if spec.limit is not None and spec.limit < 1:
        raise LabelledSetError(f"The limit is {spec.limit} images; choose 1 or more per class.")
    path, known = find_set(spec.data, data_folders() if folders is None else folders)
    store = ImageStore(path)
    title = known.name if known else path.stem
    listing = listed(store, title, known, labelled)
    if not listing.files:
        raise LabelledSetError(
            f"'{title}' has no images; put them in one folder per class, or list them in index.csv."
        )
    classes = tuple(sorted(set(listing.labels)))
    if len(classes) == 1 and labelled:
        raise LabelledSetError(f"'{title}' has the single class '{classes[0]}'; add images of another class.")
    labels = np.array([classes.index(label) for label in listing.labels], dtype=np.int64)
    splits, origin = np.array(listing.splits), listing.origin
    if not origin and not labelled:
        splits, origin = np.full(len(labels), "test"), "every image"
    if not origin:
        _check_divisible(title, classes, labels)
        splits = random_splits(labels, spec.seed)
        origin = f"random, {round(100 * TEST_SHARE)} % of each class for test, seed {spec.seed}"
    keep = _limited(labels, splits, spec)
    files = tuple(listing.files[row] for row in keep)
    gsd_m = np.array(listing.gsd_m)[keep]
    stated = spec.gsd_m if spec.gsd_m is not None else (known.gsd_m if known else None)
    if stated is not None:
        gsd_m = np.where(np.isnan(gsd_m) | (spec.gsd_m is not None), stated, gsd_m)
    labels, splits = labels[keep], splits[keep]
    if labelled:
        _check_splits(title, classes, labels, splits)
    native_px = known.native_px if known else _native_px(store, files, title)
    stated = listing.digest()
    content = fingerprint(store, files, "" if known and stated == known.packed else stated)
    return LabelledSet(title, store, files, labels, splits, gsd_m, classes, native_px, origin, content, known)


def _recognise(path: Path) -> PublishedSet | None:
    names = {path.name.lower(), f"{path.parent.name}/{path.name}".lower()}
    for entry in PUBLISHED.values():
        if names & {place.lower() for place in entry.found_as}:
            return entry
    return None


def _limited(labels: NDArray[np.int64], splits: NDArray[np.str_], spec: DataSpec) -> NDArray[np.int64]:
    used = np.isin(splits, ("train", "test"))
    if spec.limit is None:
        return np.flatnonzero(used)
    order = np.random.default_rng(spec.seed).permutation(len(labels))
    taken: Counter[tuple[int, str]] = Counter()
    keep: list[int] = []
    for row in order[used[order]]:
        key = (int(labels[row]), str(splits[row]))
        if taken[key] < spec.limit:
            taken[key] += 1
            keep.append(int(row))
    return np.sort(np.array(keep, dtype=np.int64))


def _check_divisible(title: str, classes: tuple[str, ...], labels: NDArray[np.int64]) -> None:
    alone = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 1)
    if alone.size:
        raise LabelledSetError(
            f"Class '{classes[int(alone[0])]}' of '{title}' has one image, which cannot be split into "
            "train and test: add images of it, or remove the class."
        )


def _check_splits(
    title: str, classes: tuple[str, ...], labels: NDArray[np.int64], splits: NDArray[np.str_]
) -> None:
    for split in ("train", "test"):
        if not (splits == split).any():
            raise LabelledSetError(
                f"'{title}' has no {split} images; mark some as {split} in its index.csv or folders."
            )
    unseen = sorted(set(labels[splits == "test"].tolist()) - set(labels[splits == "train"].tolist()))
    if unseen:
        raise LabelledSetError(
            f"Labels of '{title}' do not match: class '{classes[unseen[0]]}' is in the test images but not "
            "in the train images; use the same spelling, or add train images of it."
        )


def _native_px(store: ImageStore, files: tuple[str, ...], title: str) -> int:
    """Return the most common side of the centred square over some images. Raises LabelledSetError."""
    sides: Counter[int] = Counter()
    first = ""
    for name in files[:: max(1, len(files) // 25)]:
        try:
            height, width = decode(store.read(name), name).shape[:2]
        except LabelledSetError as problem:
            first = first or str(problem)
            continue
        sides[min(height, width)] += 1
    if not sides:
        raise LabelledSetError(
            f"None of the tested images of '{title}' can be read. The first error: {first}"
        )
    return sides.most_common(1)[0][0]
