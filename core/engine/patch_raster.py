"""A raster of patch embeddings: every patch of a picture as a pixel of d bands, overlapping tiles blended, as a cloud-optimised GeoTIFF.

A patch near the edge of a tile has seen less of its surroundings than one in the middle. Tiles therefore overlap, and each contributes to a
patch with the weight of a raised cosine (Hann) over the tile, so that no seam shows. Sums are kept in a file, so memory stays constant.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.engine.loaded import load
from core.engine.reconstruct import res_of
from core.engine.sweep_plan import Grid, Plan, SweepError
from core.engine.sweep_read import OK, Reader
from core.engine.tokens import patch_vectors
from core.geo.picture import Known, native_gsd
from core.geo.sources import Source
from core.models.base import Encoder
from core.policy import Policy, policy_from_text, policy_to_text

BATCH = 16
ROWS_AT_ONCE = 64
INT8_STEP = 127.0
Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class PatchRasterSpec:
    """Say how a picture becomes a raster of patch embeddings.

    `gsd_m` metres per pixel as fed (None: the picture's own), `tile_px` and `policy` None as the card has them, `stride_px` None half a tile;
    a whole number of patches. int8 keeps unit vectors times 127, float32 the network's own values. `stated_gsd_m` as in SweepSpec.
    """

    model: str
    gsd_m: float | None = None
    tile_px: int | None = None
    stride_px: int | None = None
    policy: str | None = None
    data_type: Precision = "float32"
    min_valid: float = 0.5
    stated_gsd_m: float | None = None


@dataclass(frozen=True)
class PatchProgress:
    """Tiles `done` of `total`; the raster has `rows` x `cols` patches of `bands` values; `path` once it is written."""

    done: int
    total: int
    rows: int
    cols: int
    bands: int
    path: Path | None = None


def embed_patches(source: Source, key: str, spec: PatchRasterSpec, out: Path) -> Generator[PatchProgress]:
    """Write the raster of patch embeddings of one picture to `out`, in one step at the end; yields after every batch.

    Raises SweepError for a stride or picture that does not fit, GeoError where it cannot be read.
    """
    model = load(spec.model)
    lay = _lay(source, key, spec, model)
    policy = policy_from_text(spec.policy) if spec.policy else Policy(model.card.default_policy)
    grid = lay.plan.grids[0]
    gsd_m, native = grid.gsd_m or 1.0, grid.native_gsd_m or 1.0
    res = res_of(model.card, policy, gsd_m, lay.tile_px, native)
    total = len(grid.boxes)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".patches-") as scratch:
        sums = _Sums(Path(scratch), lay, model.embed_dim)
        done = 0
        yield PatchProgress(done, total, lay.rows, lay.cols, model.embed_dim)
        for start, images, fine in _batches(lay, spec.min_valid):
            if len(images):
                unit = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
                sums.add(start + np.flatnonzero(fine), patch_vectors(model, unit, np.full(len(unit), res, np.float32), batch=BATCH))
            done += len(fine)
            yield PatchProgress(done, total, lay.rows, lay.cols, model.embed_dim)
        recipe = {
            "model": model.card.name, "weights_sha256": model.card.weights.sha256 if model.card.weights else None, "policy": policy_to_text(policy),
            "input_res_m": res, "gsd_m": grid.gsd_m, "tile_px": lay.tile_px, "stride_px": lay.stride_px, "patch_px": lay.patch_px,
            "blend": "hann", "source": key, "credit": source.info.credit, "licence": model.card.licence,
        }  # fmt: skip
        _write(sums, lay, spec.data_type, recipe, Path(scratch) / "plain.tif", out)
    yield PatchProgress(done, total, lay.rows, lay.cols, model.embed_dim, out)


@dataclass(frozen=True, eq=False)
class _Lay:
    """Tiles laid on the grid of patches: `corners` (n, 2) row and column of each tile's first patch; `step` (across, down) source pixels of one
    fed pixel."""

    plan: Plan
    corners: NDArray[np.int64]
    rows: int
    cols: int
    side: int
    tile_px: int
    stride_px: int
    patch_px: int
    step: tuple[float, float]


def _lay(source: Source, key: str, spec: PatchRasterSpec, model: Encoder) -> _Lay:
    picture, entry, patch_px = source.opened(key), source.entry(key), model.card.patch_px
    header = picture.header
    tile_px = spec.tile_px or model.card.input_px
    stride_px = spec.stride_px or max(tile_px // 2 // patch_px, 1) * patch_px
    if tile_px % patch_px or stride_px % patch_px or not 0 < stride_px <= tile_px:
        raise SweepError(f"A tile of {tile_px} px every {stride_px} px leaves gaps or cuts patches of {patch_px} px: choose multiples, stride at most the tile.")
    native = native_gsd(header, Known(spec.stated_gsd_m or entry.gsd_m))
    scalar = None if native is None else math.sqrt(native[0] * native[1])
    fed = spec.gsd_m or scalar
    step = (1.0, 1.0) if native is None or fed is None else (fed / native[0], fed / native[1])
    step = (1.0 if abs(step[0] - 1) < 1e-6 else step[0], 1.0 if abs(step[1] - 1) < 1e-6 else step[1])
    cols, rows = (int(size / one / patch_px + 1e-6) for size, one in zip((header.width, header.height), step, strict=True))
    side, hop = tile_px // patch_px, stride_px // patch_px
    if cols < side or rows < side:
        raise SweepError(f"{key} is smaller than one tile of {tile_px} px at this scale: choose a smaller tile or a finer GSD.")
    starts = [sorted({*range(0, length - side + 1, hop), length - side}) for length in (rows, cols)]
    corners = np.array([(row, col) for row in starts[0] for col in starts[1]], np.int64)
    boxes = np.empty((len(corners), 4))
    boxes[:, 0], boxes[:, 1] = corners[:, 1] * patch_px * step[0], corners[:, 0] * patch_px * step[1]
    boxes[:, 2], boxes[:, 3] = tile_px * step[0], tile_px * step[1]
    enough = [i for i, (w, h) in enumerate(header.levels) if i == 0 or max(header.width / w, header.height / h) <= min(step) * (1 + 1e-9)]
    level = min(enough, key=lambda i: header.levels[i][0])
    grid = Grid(source, key, header, entry.rgb or header.rgb, boxes, level, fed, scalar)
    return _Lay(Plan((grid,), 0, ()), corners, rows, cols, side, tile_px, stride_px, patch_px, step)


def _batches(lay: _Lay, min_valid: float) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
    """The first tile's number, the pictures that can be embedded, and which of the batch's tiles they are."""
    reader = Reader(lay.plan, lay.tile_px, BATCH, min_valid)
    for batch in reader.batches(iter(range(-(-len(lay.corners) // BATCH)))):
        yield batch.index * BATCH, batch.images, batch.state == OK


class _Sums:
    """Weighted sums of vectors (rows, cols, d) and of weights (rows, cols), in files."""

    def __init__(self, folder: Path, lay: _Lay, bands: int) -> None:
        self._lay = lay
        ramp = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(lay.side) + 0.5) / lay.side)
        self._weight = np.outer(ramp, ramp).astype(np.float32)
        self._sum = np.memmap(folder / "sum.bin", np.float32, "w+", shape=(lay.rows, lay.cols, bands))
        self._of = np.memmap(folder / "weight.bin", np.float32, "w+", shape=(lay.rows, lay.cols))

    def add(self, tiles: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add the patches (n, g, g, d) of some tiles."""
        for (row, col), patches in zip(self._lay.corners[tiles].tolist(), vectors, strict=True):
            where = np.s_[row : row + self._lay.side, col : col + self._lay.side]
            self._sum[where] += patches * self._weight[..., None]
            self._of[where] += self._weight

    def blended(self, start: int) -> NDArray[np.float32]:
        """Rows from `start` on, (at most 64, cols, d); NaN where no tile was."""
        rows = slice(start, start + ROWS_AT_ONCE)
        weight = np.asarray(self._of[rows])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight[..., None] > 0, self._sum[rows] / weight[..., None], np.nan).astype(np.float32)


def _write(sums: _Sums, lay: _Lay, kind: Precision, recipe: dict[str, Any], plain: Path, out: Path) -> None:
    """Write a plain raster row by row, then the cloud-optimised one beside `out`, then rename it."""
    import warnings

    import rasterio
    import rasterio.shutil
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine

    header, bands = lay.plan.grids[0].header, sums._sum.shape[2]
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": lay.cols, "height": lay.rows, "count": bands, "dtype": kind, "nodata": -128 if kind == "int8" else float("nan"),
        "tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER", "interleave": "pixel",
    }  # fmt: skip
    if header.crs is not None and header.transform is not None:
        across, down = lay.step[0] * lay.patch_px, lay.step[1] * lay.patch_px
        profile |= {"crs": header.crs, "transform": Affine(*header.transform) @ Affine.scale(across, down)}
    ready = out.with_name(f".{out.name}.tmp")
    with rasterio.Env(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(plain, "w", **profile) as file:
            for start in range(0, lay.rows, ROWS_AT_ONCE):
                values = _kept(sums.blended(start), kind)
                file.write(values.transpose(2, 0, 1), window=((start, start + len(values)), (0, lay.cols)))
            file.update_tags(RECIPE=json.dumps(recipe))
            file.descriptions = [f"e{band:03d}" for band in range(bands)]
            if kind == "int8":
                file.scales = [1 / INT8_STEP] * bands
        try:
            rasterio.shutil.copy(plain, ready, driver="COG", compress="ZSTD", predictor="YES" if kind == "float32" else "NO", overviews="NONE")
            ready.replace(out)
        finally:
            ready.unlink(missing_ok=True)


def _kept(vectors: NDArray[np.float32], kind: Precision) -> NDArray[Any]:
    """Vectors as they are stored."""
    if kind == "float32":
        return vectors
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.rint(vectors / length * INT8_STEP)
    return np.where(np.isfinite(scaled), scaled, -128).astype(np.int8)


