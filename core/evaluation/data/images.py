"""Read images of a set as float32 in 0..1, area-resized; corrupt images are skipped and named."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..errors import LabelledSetError
from .storage import ImageStore, decode

DECODERS = 2  # threads; Pillow releases the GIL while it decodes


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, with the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class ImageBatch:
    """Images (b, 3, s, s), float32 in 0..1, and their rows in the set."""

    images: NDArray[np.float32]
    rows: NDArray[np.int64]
    skipped: tuple[Skipped, ...]


def batches(
    store: ImageStore, files: Sequence[str], rows: NDArray[np.int64], size_px: int, batch: int
) -> Iterator[ImageBatch]:
    """Yield the centred squares of the given rows of `files`, area-resized; the next batch is prefetched."""

    def load(row: int) -> NDArray[np.float32] | Skipped:
        picture = read_picture(store, files[row])
        return picture if isinstance(picture, Skipped) else area_resize(centred_square(picture), size_px)

    parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    with ThreadPoolExecutor(DECODERS) as pool:
        loading = pool.map(load, parts[0].tolist() if parts else ())
        for part, following in zip(parts, [*parts[1:], rows[:0]], strict=True):
            loaded = list(loading)
            loading = pool.map(load, following.tolist())  # while the caller works
            good = [image for image in loaded if not isinstance(image, Skipped)]
            readable = np.array([not isinstance(image, Skipped) for image in loaded], dtype=bool)
            images = np.stack(good) if good else np.empty((0, 3, size_px, size_px), np.float32)
            yield ImageBatch(
                images, part[readable], tuple(image for image in loaded if isinstance(image, Skipped))
            )


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """The images `rows` of a set's `files`, read when needed: centred squares, area-resized to `size_px`.

    `skipped` collects those that turned out to be unreadable, by their number.
    """

    store: ImageStore
    files: Sequence[str]
    rows: NDArray[np.int64]
    size_px: int
    skipped: dict[int, Skipped] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, numbers: NDArray[np.int64], /) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the readable ones of `numbers` (0 is the first row): images (m, 3, s, s), numbers (m,)."""
        images: list[NDArray[np.float32]] = []
        found: list[int] = []
        for number in numbers.tolist():
            picture = read_picture(self.store, self.files[int(self.rows[number])])
            if isinstance(picture, Skipped):
                self.skipped[number] = picture
            else:
                images.append(area_resize(centred_square(picture), self.size_px))
                found.append(number)
        empty = np.empty((0, 3, self.size_px, self.size_px), np.float32)
        return np.stack(images) if images else empty, np.array(found, np.int64)


def read_picture(store: ImageStore, name: str) -> NDArray[np.float32] | Skipped:
    """Read an image as float32 (3, h, w) in 0..1, or return why it cannot be read."""
    try:
        pixels = decode(store.read(name), name)
    except (
        LabelledSetError,
        OSError,
        zipfile.BadZipFile,
        RuntimeError,
    ) as problem:  # RuntimeError: an encrypted zip
        return Skipped(name, str(problem))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


def all_skipped(skipped: Sequence[Skipped], title: str) -> LabelledSetError:
    """Return the error for a set without readable images."""
    return LabelledSetError(
        f"None of the images of '{title}' can be read. The first error: {skipped[0].reason}"
    )


def centred_square(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Crop (c, h, w) to its largest centred square."""
    height, width = image.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


def area_resize(image: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Resize (..., h, w) to (..., size_px, size_px) by adaptive averaging ("area", models.md 1.6).

    Every output pixel is the mean of the input pixels that it overlaps, so enlarging repeats pixels.
    """
    for axis in (-2, -1):
        image = _averaged(image.swapaxes(-1, axis), size_px).swapaxes(-1, axis)
    return np.ascontiguousarray(image)


def _averaged(lines: NDArray[np.float32], after: int) -> NDArray[np.float32]:
    """Average the last axis to `after` values; without BLAS, whose threads slow such small products down."""
    before = lines.shape[-1]
    if before == after:
        return lines
    if before % after == 0:
        return lines.reshape(*lines.shape[:-1], after, before // after).mean(axis=-1)
    flat = np.ascontiguousarray(lines.reshape(-1, before).T)
    return (_averaging(before, after) @ flat).T.reshape(*lines.shape[:-1], after)


@lru_cache(maxsize=64)
def _averaging(before: int, after: int) -> sparse.csr_array:
    weights = np.zeros((after, before), np.float32)
    for out in range(after):
        start, end = out * before // after, math.ceil((out + 1) * before / after)
        weights[out, start:end] = 1.0 / (end - start)
    return sparse.csr_array(weights)
