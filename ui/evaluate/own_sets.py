"""Find users' own sets in the data folders.

A bounded number of file names is read, and the answer is cached until a file or folder changes.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

from core.evaluation.data.crops import APP_GALLERY, SCENE_SETS
from core.evaluation.data.datasets import data_folders, find_set
from core.evaluation.data.layouts import SPLIT_FOLDERS
from core.evaluation.data.masked import SCENES
from core.evaluation.data.published import PUBLISHED, SPACENET
from core.evaluation.data.storage import is_image
from core.evaluation.errors import LabelledSetError

MAX_ENTRIES = 200
"""Entries read from each folder: sets of a data folder, classes of a set, files of a class."""
MAX_WRAPPERS = 3
"""Folders with a single sub-folder that may enclose the class folders."""
INDEX_BYTES = 32 << 20
_PUBLISHED_FOLDERS = {
    PurePosixPath(place).parts[0] for known in PUBLISHED.values() for place in known.found_as
}


def own_sets(protocol: str) -> dict[str, str]:
    """Return the name and path of each set in the data folders that is not a published one."""
    kind, sets = "masked" if protocol == "segmentation" else "labelled", dict[str, str]()
    for path in (path for folder in data_folders() for path in _listed(folder)):
        if path.name not in _PUBLISHED_FOLDERS and _kind(path) == kind:
            name = (
                path.stem
                if path.stem not in {*sets, *PUBLISHED, *SCENES, *SCENE_SETS, APP_GALLERY}
                else path.name
            )
            sets.setdefault(name, str(path))
    return sets


def states_gsd(place: str) -> bool:
    """Return whether a set's GSD is known: published, of a scene or the gallery, or in its index.csv."""
    known = PUBLISHED.get(place)
    if place in {*SCENES, *SCENE_SETS, SPACENET, APP_GALLERY} or (known and known.gsd_m is not None):
        return True
    try:
        path, recognised = find_set(place, data_folders())
        index = _index_in(path) if path.is_dir() else path
        return bool(recognised and recognised.gsd_m is not None) or _index_has(path, "gsd_m", *_stamp(index))
    except (LabelledSetError, OSError):
        return False


def _kind(path: Path) -> str:
    """Return "labelled", "masked", or "" for neither."""
    try:
        if path.is_dir():
            return _folder_kind(path, tuple(_stamp(one) for one in (path, *_folders(path))))
        return _zip_kind(path, *_stamp(path)) if path.suffix.lower() == ".zip" else ""
    except OSError:
        return ""


@lru_cache(512)
def _folder_kind(path: Path, stamps: tuple[tuple[int, int], ...]) -> str:
    del stamps  # part of the cache key only
    if (index := _index_in(path)).is_file():
        return "labelled" if _index_has(path, "label", *_stamp(index)) else ""
    inside = _folders(path)
    if any(
        {"images", "masks"} <= {folder.name.lower() for folder in _folders(place)}
        for place in (path, *inside)
    ):
        return "masked"
    for _ in range(MAX_WRAPPERS):
        if len(inside) == 1 or (inside and all(folder.name.lower() in SPLIT_FOLDERS for folder in inside)):
            inside = _folders(inside[0])
    return "labelled" if len(list(islice(filter(_has_picture, inside), 2))) == 2 else ""


@lru_cache(256)
def _zip_kind(path: Path, changed: int, size: int) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        return ""
    if _packed_index(names):
        return "labelled" if _index_has(path, "label", changed, size) else ""
    holders = {PurePosixPath(name).parent for name in names if is_image(name)}
    if {"images", "masks"} <= {holder.name.lower() for holder in holders}:
        return "masked"
    return "labelled" if len({holder for holder in holders if holder.name}) > 1 else ""


@lru_cache(256)
def _index_has(path: Path, column: str, changed: int, size: int) -> bool:
    """Return whether any row of a set's index.csv has both a file and a value in the column."""
    del changed, size
    rows = csv.DictReader(io.StringIO(_index(path)))
    try:
        if not {"file", column} <= set(rows.fieldnames or ()):
            return False
        return any(row.get("file") and row.get(column) for row in rows)
    except csv.Error:
        return False


def _index(path: Path) -> str:
    try:
        if path.is_dir():
            with _index_in(path).open("rb") as file:
                return file.read(INDEX_BYTES).decode("utf-8-sig", "replace")
        with zipfile.ZipFile(path) as archive, archive.open(_packed_index(archive.namelist())) as member:
            return member.read(INDEX_BYTES).decode("utf-8-sig", "replace")
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return ""  # damaged, or (RuntimeError) with a password or packed in an unknown way


def _index_in(folder: Path) -> Path:
    """Return the path of a set's index.csv, in its folder or in the only sub-folder; it may not exist."""
    inside = _listed(folder)
    return inside[0] / "index.csv" if len(inside) == 1 and inside[0].is_dir() else folder / "index.csv"


def _packed_index(names: list[str]) -> str:
    """Return the name of index.csv in a zip, or "" if there is none."""
    tops = {top for name in names if not (top := name.split("/")[0]).startswith((".", "__MACOSX"))}
    return next(
        (
            name
            for name in ("index.csv", *(f"{top}/index.csv" for top in tops if len(tops) == 1))
            if name in names
        ),
        "",
    )


def _listed(folder: Path) -> list[Path]:
    """Return up to MAX_ENTRIES entries of a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in islice(_visible(entries), MAX_ENTRIES))
    except OSError:
        return []


def _visible(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in entries if not entry.name.startswith((".", "__MACOSX")))


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            inside = islice(_visible(entries), MAX_ENTRIES)
            return sorted(Path(entry.path) for entry in inside if entry.is_dir())
    except OSError:
        return []


def _has_picture(folder: Path) -> bool:
    return any(is_image(path.name) for path in _listed(folder))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
