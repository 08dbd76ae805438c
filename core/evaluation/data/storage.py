"""Read the files of an image set from a folder, a zip or tar shards, and never outside it."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
import zlib
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import LabelledSetError
from .shards import ShardMember, members_of, shards_of

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
MAX_FILE_BYTES = 200 << 20
MAX_PIXELS = 40_000_000
MAX_ENTRIES = 2_000_000  # files and folders of a set; more would be a whole disk


class ImageStore:
    """A folder or zip of files, or WebDataset shards, safe to read from several threads.

    `names` are relative paths with forward slashes, sorted; in shards, `SHARD/NAME` of images and classes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = threading.local()
        self._members: dict[str, zipfile.ZipInfo] = {}
        shards = shards_of(path)
        self._in_shards: dict[str, ShardMember] = (
            members_of(shards, IMAGE_SUFFIXES, MAX_ENTRIES) if shards else {}
        )
        if shards:
            self.names, self.folders = tuple(sorted(self._in_shards)), ()
        elif path.is_dir():
            self.names, self.folders = _walked(path)
        else:
            with _open_zip(path) as archive:
                entries = archive.infolist()
            entries = [info for info in entries if info.filename]  # is_dir fails on an empty name
            self._members = {info.filename: info for info in entries if not info.is_dir()}
            self.names = tuple(sorted(self._members))
            self.folders = tuple(sorted(info.filename.rstrip("/") for info in entries if info.is_dir()))
        self.names = tuple(name for name in self.names if not _is_hidden(name))
        self.folders = tuple(name for name in self.folders if not _is_hidden(name))

    @property
    def has_shards(self) -> bool:
        """Whether the files lie in WebDataset shards."""
        return bool(self._in_shards)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises LabelledSetError if it is outside, missing, too large or damaged.
        """
        shown = name[-80:]
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise LabelledSetError(
                f"'{shown}' is outside {self.path.name}; list files by their path inside it."
            )
        size = self._size(name)
        if size is None:
            raise LabelledSetError(
                f"{self.path.name} lists '{shown}' but does not contain it; add the file, or remove its row."
            )
        if size > MAX_FILE_BYTES:
            raise LabelledSetError(
                f"'{shown}' is {size >> 20} MB; replace it by an image of at most {MAX_FILE_BYTES >> 20} MB."
            )
        try:
            if name in self._in_shards:
                return self._in_shards[name].read()
            return self._unpacked(name, size) if self._members else (self.path / name).read_bytes()
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            RuntimeError,
        ) as problem:  # RuntimeError: encrypted, or packed in a way not known here
            raise LabelledSetError(
                f"'{shown}' of {self.path.name} cannot be read ({problem}); copy or pack it again."
            ) from problem

    def checksum(self, name: str) -> str:
        """Return size and CRC-32 of a file, or "absent"; zip members are not unpacked.

        Of a file in a shard it is size and position: shards of ImageNet are 150 GB.
        """
        if name in self._in_shards:
            return f"{self._in_shards[name].size}:{self._in_shards[name].start}"
        if name in self._members:
            return f"{self._members[name].file_size}:{self._members[name].CRC:08x}"
        if self._members or self._size(name) is None:
            return "absent"
        content = self.read(name)
        return f"{len(content)}:{zlib.crc32(content):08x}"

    def _size(self, name: str) -> int | None:
        if self._in_shards:
            return self._in_shards[name].size if name in self._in_shards else None
        if self._members:
            return self._members[name].file_size if name in self._members else None
        file = self.path / name
        return file.stat().st_size if file.is_file() else None

    def _unpacked(self, name: str, size: int) -> bytes:
        """Unpack a member up to its stated size; zipfile alone would unpack 2 GB of one that states less."""
        with self._archive().open(name) as member:
            return member.read(size + 1)

    def _archive(self) -> zipfile.ZipFile:
        if not hasattr(
            self._threads, "archive"
        ):  # a ZipFile has one read position, so each thread needs its own
            self._threads.archive = _open_zip(self.path)
        return self._threads.archive


def decode(content: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image to uint8 (h, w, 3). Raises LabelledSetError if it is not a readable image."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise LabelledSetError(
                    f"'{name}' has {image.width} x {image.height} pixels; cut it into smaller images."
                )
            if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                raise LabelledSetError(
                    f"'{name}' has more than 8 bits (mode {image.mode}), so its white level is unknown; "
                    "save it as 8 bits, 0 to 255."
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise LabelledSetError(
            f"'{name}' cannot be read as an image ({why_unreadable(problem)}); replace or remove it."
        ) from problem


def why_unreadable(problem: Exception) -> str:
    """Return Pillow's reason; for an unknown format it gives only a memory address, which is replaced."""
    return (
        "its format is unknown, or it does not have 8 bits"
        if isinstance(problem, UnidentifiedImageError)
        else str(problem)
    )


def fingerprint(store: ImageStore, names: tuple[str, ...], stated: str = "") -> str:
    """Hash names, sizes and CRC-32 of files (16 hexadecimal digits), equal for a zip and its folder.

    `stated` adds what else determines results, such as the digest of labels and splits; "" adds nothing.
    """
    digest = hashlib.sha256(f"stated\0{stated}\n".encode() if stated else b"")
    for name in names:
        digest.update(f"{name}\0{store.checksum(name)}\n".encode())
    return digest.hexdigest()[:16]


def is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _walked(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files and folders inside a folder, by relative path, sorted."""
    try:
        entries = sorted(islice(path.rglob("*"), MAX_ENTRIES + 1))
        if len(entries) > MAX_ENTRIES:
            raise LabelledSetError(
                f"'{path}' has more than {MAX_ENTRIES:,} files; give the folder of a single image set."
            )
        files = tuple(entry.relative_to(path).as_posix() for entry in entries if entry.is_file())
        return files, tuple(entry.relative_to(path).as_posix() for entry in entries if entry.is_dir())
    except OSError as problem:
        raise LabelledSetError(
            f"'{path}' cannot be read completely ({problem.strerror}); give the folder of a single image set."
        ) from problem


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (
        zipfile.BadZipFile,
        OSError,
        RuntimeError,
        ValueError,
    ) as problem:  # packed by a later version, or names in no known encoding
        raise LabelledSetError(
            f"{path.name} is not a readable zip ({problem}); download or pack it again."
        ) from problem
