"""A folder of rasters and pictures with its subfolders; links that lead out of it are not followed."""

from __future__ import annotations

import os
from pathlib import Path

from ..picture import Picture
from ..tile import GeoError
from .base import Entry, Source, SourceInfo, missing_key
from .sniffing import load_picture

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
MAX_FILES = 100_000


class FolderSource(Source):
    """Every GeoTIFF, PNG and JPEG of a folder by relative path.

    `gsd_m` applies to those that do not state it.

    Raises GeoError if there are none.
    """

    def __init__(self, folder: Path, *, gsd_m: float | None = None, name: str | None = None) -> None:
        self._folder = folder.resolve()
        self._gsd_m = gsd_m
        self._files = _list(self._folder)
        if not self._files:
            raise GeoError(
                f"The folder '{folder.name}' contains no GeoTIFF, PNG or JPEG: choose another one."
            )
        super().__init__(name or folder.name, SourceInfo(folder.name, "folder", len(self._files)))

    def keys(self) -> tuple[str, ...]:
        """Return the relative paths, sorted."""
        return tuple(self._files)

    def entry(self, key: str) -> Entry:
        """Return what is known about a file."""
        if key not in self._files:
            raise missing_key(self.info.title, key)
        return Entry(key, Path(key).stem, self._gsd_m)

    def _open(self, key: str) -> Picture:
        if not self._files[key].is_file():
            raise GeoError(f"'{key}' is no longer in the folder: open the folder again.")
        return load_picture(self._files[key])


def _list(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for root, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(s for s in subfolders if not s.startswith("."))
        for name in sorted(names):
            file = Path(root) / name
            if file.suffix.lower() not in SUFFIXES or not file.resolve().is_relative_to(folder):
                continue
            files[file.relative_to(folder).as_posix()] = file.resolve()
            if len(files) > MAX_FILES:
                raise GeoError(
                    f"The folder '{folder.name}' contains more than {MAX_FILES:,} pictures: "
                    "choose a smaller one."
                )
    return files
