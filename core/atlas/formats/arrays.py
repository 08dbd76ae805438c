"""NumPy files of vectors: NPY with (n, d), or NPZ with an array of a usual name, places and names."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import TableError
from ..schema import make_rows
from .generic import VECTOR_NAMES
from .layout import LONLAT_NAMES

TEXT = {
    "unique_id": ("unique_id", "uuid", "id", "ids", "name", "names"),
    "product_id": ("product_id", "path", "paths"),
}
LONLAT = ("lonlat", "lonlats", "coords", "coordinates")


def header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an NPY file. Raises TableError if it is damaged or holds objects."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array.shape, array.dtype
    except (OSError, ValueError, EOFError, MemoryError, OverflowError, TypeError) as error:
        raise _unreadable(path) from error


def open_rows(path: Path, bounded: Callable[[str, float, int], None]) -> pa.Table:
    """Read an NPY or NPZ file as rows. Raises TableError if it holds no vectors, or is damaged.

    `bounded` takes the name, the decoded and the stored size, and refuses what would not fit.
    """
    try:
        if path.suffix.lower() == ".npy":
            shape, kind = header(path)
            bounded(path.name, float(np.prod(shape, dtype=float)) * kind.itemsize, path.stat().st_size)
            arrays = {"vectors": np.load(path, allow_pickle=False)}
        else:
            with zipfile.ZipFile(path) as archive:
                bounded(
                    path.name, float(sum(each.file_size for each in archive.infolist())), path.stat().st_size
                )
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        MemoryError,
        zipfile.BadZipFile,
        KeyError,
        TypeError,
        OverflowError,
    ) as error:
        raise _unreadable(path) from error
    folded = {name.lower(): array for name, array in arrays.items()}
    vectors = next((folded[name] for name in VECTOR_NAMES if name in folded), None)
    if vectors is None:
        flat = [each for each in arrays.values() if each.ndim == 2 and each.dtype.kind in "fiu"]
        vectors = max(flat, key=lambda each: each.shape[1], default=None)
    if vectors is None or vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not vectors.size:
        raise TableError(
            f"{path.name} holds no array of n vectors with d values each: save one as `embeddings`, "
            "with `lon` and `lat` beside it."
        )
    count = len(vectors)
    columns: dict[str, Any] = {
        ours: [str(value) for value in found]
        for ours, names in TEXT.items()
        if (found := next((folded[n] for n in names if n in folded and folded[n].shape == (count,)), None))
        is not None
    }
    if "unique_id" not in columns:
        columns["unique_id"] = [f"{path.stem}-{row}" for row in range(count)]
    lonlat = _places(folded, count)
    if lonlat is not None:
        columns["centre_lon"], columns["centre_lat"] = lonlat.astype(np.float64)
    return make_rows(vectors.astype(np.float32), columns)


def _places(arrays: dict[str, NDArray[Any]], count: int) -> NDArray[Any] | None:
    """Return (2, n) longitudes and latitudes; None if there are none."""
    for lon, lat in LONLAT_NAMES:
        pair = [arrays[name] for name in (lon, lat) if name in arrays]
        if len(pair) == 2 and all(each.shape == (count,) and each.dtype.kind in "fiu" for each in pair):
            return np.stack(pair)
    found = next((arrays[n] for n in LONLAT if n in arrays and arrays[n].shape == (count, 2)), None)
    return None if found is None or found.dtype.kind not in "fiu" else found.T


def _unreadable(path: Path) -> TableError:
    return TableError(
        f"{path.name} is not a whole NumPy file of numbers: save it again with np.save or np.savez."
    )
