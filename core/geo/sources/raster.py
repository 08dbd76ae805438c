"""GeoTIFF and COG, read by window and overview with rasterio's GTiff driver only.

Sidecar files are ignored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ground
from ..picture import Header, Picture, Raw
from ..tile import RGB, Affine6, GeoError
from .held_raster import HeldRaster
from .remote import RemoteFile, require_cloud_optimised
from .taken import when_taken
from .untrusted import header_from, header_plain, read_plain, run_on, spooled, written_plain

MAX_BANDS = 512
MAX_BLOCKS = 400_000
MAX_BLOCK_BYTES = 128 * 2**20
MAX_OVERVIEWS, MAX_WKT, MAX_NAME = 32, 20_000, 200

UNDECLARED_FILL = 1e37
"""Larger floats are treated as fill (-3.4e38 is common) even without a nodata value."""

GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # ignore .ovr, .msk, .aux.xml and world files
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": 64 * 2**20,
    "OSR_DEFAULT_AXIS_MAPPING_STRATEGY": "TRADITIONAL_GIS_ORDER",
}

RGB_BY_COUNT: dict[int, RGB] = {
    4: (0, 1, 2),  # NAIP: red green blue near-infrared
    5: (2, 1, 0),  # Landsat 5/7 and most others start at blue
    6: (2, 1, 0),
    7: (2, 1, 0),
    8: (4, 2, 1),  # WorldView-2: coastal blue green yellow red
}


@dataclass(frozen=True, eq=False)
class Written:
    """Which blocks (rows, columns) of a raster contain data; `block_px` is the (width, height) of a block."""

    blocks: NDArray[np.bool_]
    block_px: tuple[int, int]


class GeoTiff(Picture):
    """A GeoTIFF from a local path (already checked to exist), from bytes, or online.

    It is reopened for every read, which takes about a millisecond and lets threads share it. Raises GeoError
    for unreadable files, complex values, more than 512 bands or blocks that are too large; OnlineError on
    network errors. GDAL opens an `untrusted` file only in a child process with limits on time and memory.
    """

    def __init__(self, origin: Path | bytes | RemoteFile, name: str, *, untrusted: bool = False) -> None:
        self._origin = spooled(self, origin) if untrusted and isinstance(origin, bytes) else origin
        self._name = name
        self._untrusted = untrusted
        self._thread = threading.local()

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return `function(raster, *arguments)`; for an untrusted file, plain values from a child process.

        Raises GeoError, also if an untrusted file takes too much time or memory.
        """
        if self._untrusted:
            return run_on(GeoTiff, self._origin, self._name, function, *arguments)
        return function(self, *arguments)

    @property
    def origin(self) -> Path | bytes | RemoteFile:
        """The path, bytes or remote file that this reads from."""
        return self._origin

    @property
    def remote(self) -> RemoteFile | None:
        """The remote file that this reads from; None for a local one."""
        return self._origin if isinstance(self._origin, RemoteFile) else None

    @contextmanager
    def kept_open(self) -> Generator[None]:
        """Keep the file open for several reads of this thread, so that shared blocks are decoded once.

        The context may end in another thread, for example when an abandoned reader is garbage-collected; the
        file is then closed and reopened when needed. Remote files are not kept open: their data is cached,
        and their datasets cannot change threads.
        """
        if isinstance(self._origin, RemoteFile) or self._untrusted:
            yield
            return
        held = self._thread.held = HeldRaster()
        try:
            yield
        finally:
            held.close()

    @contextmanager
    def _dataset(self, overview_level: int | None = None) -> Generator[Any]:
        """Open the file, or use the dataset that this thread keeps open.

        Must be entered and left within one call: GDAL options belong to a thread, which must restore them
        itself.
        """
        import rasterio

        shared: HeldRaster | None = getattr(self._thread, "held", None)
        held = HeldRaster() if shared is None or shared.given_up else shared
        with self._in_words(), rasterio.Env(**GDAL_OPTIONS), held.in_use():
            try:
                yield held.dataset(overview_level, partial(self._opened, overview_level))
                if isinstance(self._origin, RemoteFile):
                    self._origin.raise_problem()  # GDAL ignores a missing mask or tag
            except Exception:
                held.forget(overview_level)  # GDAL would report the error again at the next block
                raise
            finally:
                held.given_up = held.given_up or held is not shared

    def _opened(self, overview_level: int | None, stack: ExitStack) -> Any:
        import rasterio

        options: dict[str, Any] = {"driver": "GTiff", "GEOREF_SOURCES": "INTERNAL"}
        if overview_level is not None:
            options["overview_level"] = overview_level
        if isinstance(self._origin, bytes):
            dataset = stack.enter_context(rasterio.MemoryFile(self._origin)).open(**options)
        elif isinstance(self._origin, RemoteFile):
            dataset = rasterio.open(self._origin.pseudonym(), opener=self._origin, sharing=False, **options)
        else:
            dataset = rasterio.open(str(self._origin), sharing=False, **options)
        stack.callback(dataset.close)
        return dataset

    @contextmanager
    def _in_words(self) -> Generator[None]:
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import RasterioError

        try:
            yield
        except (RasterioError, CPLE_BaseError, ValueError, MemoryError) as error:
            if isinstance(self._origin, RemoteFile):
                self._origin.raise_problem()
            raise GeoError(
                f"'{self._name}' cannot be read as a GeoTIFF: "
                "it is damaged, cut short or of an unknown kind. "
                "Copy or download it again, or convert it with `gdal_translate`."
            ) from error

    @contextmanager
    def dataset(self) -> Generator[Any]:
        """Open the rasterio dataset for libraries that need one; raises GeoError like every read."""
        if self._untrusted:
            raise GeoError(
                f"'{self._name}' is an upload, which cannot be used here: "
                "choose a raster from a folder of the server."
            )
        with self._dataset() as dataset:
            yield dataset

    def written(self) -> Written | None:
        """Return which blocks of a tiled file were written; None if all were or it is unknown.

        Blocks that were not written (GDAL's SPARSE_OK) read as nodata or 0.
        """
        if self._untrusted:
            written = self.run(written_plain)
            return None if written is None else Written(written[0], (written[1][0], written[1][1]))
        with self._dataset() as dataset:
            high, wide = dataset.block_shapes[0]
            rows, cols = -(-dataset.height // high), -(-dataset.width // wide)
            if wide >= dataset.width or rows * cols > MAX_BLOCKS:
                return None
            there = [
                dataset.get_tag_item(f"BLOCK_OFFSET_{c}_{r}", "TIFF", bidx=1) is not None
                for r in range(rows)
                for c in range(cols)
            ]
        return None if all(there) else Written(np.array(there).reshape(rows, cols), (wide, high))

    def _describe(self) -> Header:
        if self._untrusted:
            return header_from(self.run(header_plain))
        with self._dataset() as dataset:
            if isinstance(self._origin, RemoteFile):
                require_cloud_optimised(dataset, self._name)
            self._refuse(dataset)
            if not isinstance(self._origin, RemoteFile):
                last = ((dataset.height - 1, dataset.height), (dataset.width - 1, dataset.width))
                dataset.read(1, window=last)  # a truncated file fails here
            bands, rgb = self._names(dataset)
            when = when_taken({**dataset.tags(), **dataset.tags(ns="IMAGERY")})
            crs = dataset.crs.to_wkt() if dataset.crs else None
            crs = crs if crs is None or len(crs) <= MAX_WKT else None
            transform: Affine6 | None = tuple(dataset.transform)[:6]
            a, b, _, d, e, _ = transform
            # An identity transform means that none was written.
            lost = not np.isfinite(transform).all() or a * e - b * d == 0 or dataset.transform.is_identity
            if lost or not ground.usable_crs(crs):
                crs, transform = None, None
            bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
            eight = dataset.dtypes[0] == "uint8"
            levels = [(dataset.width, dataset.height)]
            count = min(len(dataset.overviews(1)), MAX_OVERVIEWS)
        for level in range(count):
            with self._dataset(level) as overview:
                levels.append((overview.width, overview.height))
        fixed = (0.0, float(2 ** min(bits, 8) - 1)) if eight else None
        return Header(*levels[0], bands, rgb, crs, transform, tuple(levels), fixed, when)

    def _refuse(self, dataset: Any) -> None:
        if any("complex" in kind for kind in dataset.dtypes):
            raise GeoError(
                f"'{self._name}' contains complex values (radar phase): "
                "save their amplitude as real numbers first."
            )
        if dataset.count > MAX_BANDS:
            raise GeoError(
                f"'{self._name}' has {dataset.count} bands: "
                f"keep at most {MAX_BANDS} with `gdal_translate -b`."
            )
        height, width = dataset.block_shapes[0]
        together = dataset.count if dataset.interleaving and dataset.interleaving.name == "pixel" else 1
        if height * width * np.dtype(dataset.dtypes[0]).itemsize * together > MAX_BLOCK_BYTES:
            raise GeoError(
                f"'{self._name}' is stored in blocks of {width} x {height} px, which are too large to read: "
                "rewrite it once with `gdal_translate -co TILED=YES`."
            )

    def _names(self, dataset: Any) -> tuple[tuple[str, ...], RGB]:
        """Name the bands (without alpha; a palette becomes three) and choose those to show."""
        kinds = [kind.name for kind in dataset.colorinterp]
        if palette_of(dataset) is not None:
            return ("red", "green", "blue"), (0, 1, 2)
        shown = [i for i, kind in enumerate(kinds) if kind != "alpha"] or [0]
        names = tuple(
            (dataset.descriptions[i] or "")[:MAX_NAME]
            or kinds[i].replace("undefined", "").replace("gray", "")
            or f"band {i + 1}"
            for i in shown
        )
        return names, choose_rgb(names)

    def read(self, level: int, box: tuple[int, int, int, int], bands: Sequence[int] | None = None) -> Raw:
        """Read a window of a level with its validity: nodata, masks, alpha, and NaN in the bands shown (or
        requested)."""
        from rasterio.windows import Window

        if self._untrusted:
            return Raw(*self.run(read_plain, level, box, None if bands is None else list(bands)))
        header = self.header
        with self._dataset(level - 1 if level else None) as dataset:
            window = Window(*box)  # pyright: ignore[reportCallIssue]
            palette = palette_of(dataset)
            indexes = [i + 1 for i, kind in enumerate(dataset.colorinterp) if kind.name != "alpha"] or [1]
            if bands is not None and palette is None:
                indexes = [indexes[band] for band in bands]
            pixels = dataset.read(indexes, window=window)
            valid = _valid(dataset, window)
            nodata_is_colour = dataset.nodata is not None and pixels.dtype == np.uint8
        if palette is not None:
            colours = palette[pixels[0]]
            shown = colours[..., :3] if bands is None else colours[..., list(bands)]
            return Raw(np.ascontiguousarray(shown.transpose(2, 0, 1)), valid & (colours[..., 3] > 0))
        if pixels.dtype.kind == "f":
            finite = np.abs(pixels) < UNDECLARED_FILL  # False for NaN too
            valid &= finite[list(header.rgb if bands is None else range(len(bands)))].all(axis=0)
            pixels[~finite] = 0
        # An 8-bit nodata value is a colour, often white or black, and is left as it is.
        if not nodata_is_colour and not valid.all():
            pixels[:, ~valid] = 0
        return Raw(pixels, valid)


def palette_of(dataset: Any) -> NDArray[np.uint8] | None:
    """Return the colour table (256, 4) as RGBA of a one-band 8-bit raster; None if it has none."""
    if dataset.count > 2 or dataset.dtypes[0] != "uint8" or dataset.colorinterp[0].name != "palette":
        return None
    table = np.zeros((256, 4), np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[index] = colour
    return table


def _valid(dataset: Any, window: Any) -> NDArray[np.bool_]:
    """Return which pixels of a window are valid, bool (h, w)."""
    from rasterio.enums import MaskFlags

    if all(MaskFlags.all_valid in flags for flags in dataset.mask_flag_enums):
        return np.ones((round(window.height), round(window.width)), np.bool_)
    return dataset.dataset_mask(window=window) > 0


def choose_rgb(names: tuple[str, ...]) -> RGB:
    """Choose the bands to display (0-based): by name, else in the usual order for their number."""
    lowered = [name.strip().lower() for name in names]
    indexes = [
        next((i for i, name in enumerate(lowered) if name in (c, c[0])), None)
        for c in ("red", "green", "blue")
    ]
    if None not in indexes:
        return indexes[0] or 0, indexes[1] or 0, indexes[2] or 0
    count = len(names)
    if count < 3:
        return 0, 0, 0
    return (0, 1, 2) if count == 3 else RGB_BY_COUNT.get(count, (3, 2, 1))
