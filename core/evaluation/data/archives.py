"""Published archives that are not folders of images: CIFAR, SVHN and Tiny-ImageNet.

The first time such a set is opened, its images are written to a zip with index.csv in the program's cache,
which is then read like every other set. No archive is unpickled: of CIFAR the binary version is read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...files import program_folder
from ..errors import LabelledSetError
from .storage import ImageStore

SIDE = 32
PIXELS = 3 * SIDE * SIDE
MAX_MEMBER_BYTES = 400 << 20


@dataclass(frozen=True)
class LabelledImage:
    """One image of an archive: file name, class, split, and its encoded bytes."""

    file: str
    label: str
    split: str
    content: bytes


def packed(name: str, path: Path, folder: Path | None = None) -> Path:
    """Return a set of READERS at `path` as a zip with index.csv, made in `folder` (the cache) if missing.

    Raises LabelledSetError if the archive is not the published one, or the folder cannot be written.
    """
    files = sorted(path.glob("*.mat")) if path.is_dir() else [path]
    stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    version = hashlib.sha256(repr(stamps).encode()).hexdigest()[:8]
    target = (folder or program_folder("cache") / "sets") / f"{name}_{version}.zip"
    if target.is_file():
        return target
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(scratch, READERS[name](path))
        os.replace(scratch, target)
    except (
        OSError, ValueError, KeyError, IndexError, EOFError, NotImplementedError, tarfile.TarError,
    ) as problem:  # fmt: skip
        raise LabelledSetError(
            f"'{path.name}' cannot be read as {name} ({problem}): fetch its archive again, "
            "or free some space in the cache."
        ) from problem
    finally:
        scratch.unlink(missing_ok=True)
    return target


def _write(path: Path, images: Iterator[LabelledImage]) -> None:
    index = io.StringIO()
    writer = csv.writer(index, lineterminator="\n")
    writer.writerow(["file", "label", "split"])
    with zipfile.ZipFile(path, "w") as archive:
        for image in images:
            archive.writestr(zipfile.ZipInfo(image.file), image.content)
            writer.writerow([image.file, image.label, image.split])
        archive.writestr(zipfile.ZipInfo("index.csv"), index.getvalue())


def _cifar(path: Path) -> Iterator[LabelledImage]:
    """Read the binary version: records of one label byte (CIFAR-100: two, of which the second is used)."""
    members: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if member.isfile() and name.endswith((".bin", ".txt")) and member.size <= MAX_MEMBER_BYTES:
                content = archive.extractfile(member)
                assert content is not None  # it is a plain file
                members[name] = content.read()
    names = members.get("batches.meta.txt") or members.get("fine_label_names.txt")
    if names is None:
        raise ValueError("it has no list of class names; take the binary version")
    classes = names.decode().split()
    label_bytes = 2 if "fine_label_names.txt" in members else 1
    for name in sorted(members):
        if not name.endswith(".bin"):
            continue
        if len(members[name]) % (label_bytes + PIXELS):
            raise ValueError(f"{name} is cut off")
        records = np.frombuffer(members[name], np.uint8).reshape(-1, label_bytes + PIXELS)
        split = "test" if name.startswith("test") else "train"
        for number, record in enumerate(records):
            pixels = record[label_bytes:].reshape(3, SIDE, SIDE).transpose(1, 2, 0)
            label = classes[int(record[label_bytes - 1])]
            yield LabelledImage(f"{split}/{name[:-4]}_{number:05d}.bmp", label, split, _bmp(pixels))


def _svhn(path: Path) -> Iterator[LabelledImage]:
    """Read `train_32x32.mat` and `test_32x32.mat`: X (32, 32, 3, n), y (n, 1), where 10 stands for zero."""
    from scipy.io import loadmat

    for split in ("train", "test"):
        stored = loadmat(path / f"{split}_32x32.mat", variable_names=("X", "y"))
        for number, label in enumerate(stored["y"].ravel().tolist()):
            pixels = np.ascontiguousarray(stored["X"][..., number])
            yield LabelledImage(f"{split}/{number:06d}.bmp", str(label % 10), split, _bmp(pixels))


def _tiny_imagenet(path: Path) -> Iterator[LabelledImage]:
    """Read train images by their class folder, and val images, used as test, by val_annotations.txt."""
    store = ImageStore(path)
    listed = next((name for name in store.names if name.endswith("val/val_annotations.txt")), None)
    if listed is None:
        raise ValueError("it has no val/val_annotations.txt")
    root = listed.removesuffix("val/val_annotations.txt")
    rows = csv.reader(io.StringIO(store.read(listed).decode()), delimiter="\t")
    label_of = {f"{root}val/images/{row[0]}": row[1] for row in rows if row}
    for name in store.names:
        parts = PurePosixPath(name.removeprefix(root)).parts
        if name in label_of:
            yield LabelledImage(f"test/{parts[-1]}", label_of[name], "test", store.read(name))
        elif len(parts) == 4 and parts[0] == "train" and parts[2] == "images":
            yield LabelledImage(f"train/{parts[-1]}", parts[1], "train", store.read(name))


def _bmp(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (h, w, 3) without loss, and the same on every machine."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "BMP")
    return content.getvalue()


READERS: dict[str, Callable[[Path], Iterator[LabelledImage]]] = {
    "cifar10": _cifar,
    "cifar100": _cifar,
    "svhn": _svhn,
    "tiny_imagenet": _tiny_imagenet,
}
"""Readers of archives by the name of their set."""
