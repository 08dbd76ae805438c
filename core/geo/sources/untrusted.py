"""Untrusted rasters and pictures: GDAL and Pillow open them in a child process, which returns plain
arrays."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...errors import ExplorerError
from ...untrusted import Limits, call
from ..picture import Header
from ..tile import GeoError

if TYPE_CHECKING:
    from .raster import GeoTiff

LIMITS = Limits(cpu_s=10.0, wall_s=60.0, memory_mb=1536, answer_mb=1024)
"""A picture of 64 million pixels takes 3 s and 1 GB; a tile of a raster much less."""
PREFIX = "earth-mae-upload-"

IMPORTED_FIRST = ("rasterio", "rasterio.windows", "core.geo.sources.raster")
"""What a child process imports before its memory is limited: GDAL maps more than a small limit allows."""


class FileLimitError(GeoError):
    """An untrusted file that takes more time or memory than `LIMITS`, or crashes the child process."""


def run_on(
    kind: type[GeoTiff], origin: object, name: str, function: Callable[..., Any], *arguments: Any
) -> Any:
    """Return `function(raster, *arguments)` for a raster opened in a child process. Raises GeoError."""
    if not isinstance(origin, Path):
        raise GeoError(f"'{name}' is not a local file: download it first.")
    names = [f"{each.__module__}:{each.__qualname__}" for each in (kind, function)]
    return call(
        on_raster,
        str(origin.absolute()),
        name,
        *names,
        *arguments,
        name=name,
        error=GeoError,
        exceeded=FileLimitError,
        limits=LIMITS,
    )


def on_raster(path: str, name: str, kind: str, function: str, *arguments: Any) -> Any:
    """Call a function of this program on a raster of class `kind`; for the child process."""
    try:
        status = Path(path).stat()
    except OSError:
        raise ExplorerError(f"'{name}' is no longer there: upload it again.") from None
    try:
        return _named(function)(_raster(path, name, kind, status.st_mtime_ns, status.st_size), *arguments)
    except GeoError as error:
        if _lacked_memory(error):
            raise MemoryError from error
        raise


def _lacked_memory(error: BaseException | None) -> bool:
    """Whether an error is due to memory that could not be allocated, by NumPy or by GDAL."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "CPLE_OutOfMemoryError":
            return True
        error = error.__cause__ or error.__context__
    return False


@lru_cache(maxsize=4)
def _raster(path: str, name: str, kind: str, changed: int, size: int) -> GeoTiff:
    del changed, size  # part of the cache key
    return _named(kind)(Path(path), name)


def _named(name: str) -> Any:
    module, _, what = name.partition(":")
    return getattr(importlib.import_module(module), what)


def header_plain(raster: GeoTiff) -> dict[str, Any]:
    """Return the header of a raster as plain values."""
    return asdict(raster.header)


def header_from(plain: dict[str, Any]) -> Header:
    """Build a header from plain values."""
    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    tuples["levels"] = tuple((int(width), int(height)) for width, height in plain["levels"])
    return Header(**cast("Any", tuples))


def read_plain(raster: GeoTiff, level: int, box: list[int], bands: list[int] | None) -> list[Any]:
    """Read a window of a raster as [pixels, valid]."""
    raw = raster.read(level, (box[0], box[1], box[2], box[3]), bands)
    return [raw.pixels, raw.valid]


def written_plain(raster: GeoTiff) -> list[Any] | None:
    """Return which blocks of a raster contain data, as [blocks, (width, height) of a block]."""
    written = raster.written()
    return None if written is None else [written.blocks, list(written.block_px)]


def spooled(owner: object, data: bytes) -> Path:
    """Write an upload to a file that a child process can open; it is deleted with its owner.

    On Linux the file is in memory, so that nothing is left after a kill; elsewhere in the folder for
    temporary files.
    """
    if sys.platform == "linux":
        memory = os.memfd_create(PREFIX)
        with os.fdopen(os.dup(memory), "wb") as file:
            file.write(data)
        weakref.finalize(owner, os.close, memory)
        return Path(f"/proc/{os.getpid()}/fd/{memory}")
    number, path = tempfile.mkstemp(prefix=PREFIX, suffix=".tif")
    with os.fdopen(number, "wb") as file:
        file.write(data)
    weakref.finalize(owner, Path(path).unlink, missing_ok=True)
    return Path(path)


def warm_up() -> None:
    """Start a child process with the libraries loaded, so that the first upload does not wait for them."""
    with suppress(GeoError):
        call(libraries, name="nothing", error=GeoError, limits=LIMITS)


def libraries() -> str:
    """Import what rasters and pictures need; for the child process."""
    import rasterio
    from PIL import Image

    return f"{rasterio.__version__} {Image.__version__}"
