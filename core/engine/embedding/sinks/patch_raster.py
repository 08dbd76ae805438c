"""A raster of patch embeddings: every patch of a picture as a pixel of d bands, overlapping tiles blended, as a cloud-optimised GeoTIFF.

A patch near the edge of a tile has seen less of its surroundings than one in the middle. Tiles therefore overlap, and each contributes to a
patch with the weight of a raised cosine (Hann) over the tile, so that no seam shows. Sums are kept in files (core.engine.embedding.sinks.patch_sums), so memory
stays constant, and what was stopped or killed goes on after the last finished batch.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ....geo.picture import Known, native_gsd
from ....geo.sources import Source
from ....geo.tile import require_gsd
from ....models.base import Encoder
from ....policy import Policy, policy_from_text, policy_to_text
from ...inputs import res_of
from ...loaded import load
from ...tokens import patch_vectors
from ..count import MOST_TILES
from ..grids import Grid
from ..plan import EmbeddingPlan
from ..read import EMPTY, OK, UNREADABLE, Reader
from ..sources import content_of
from ..spec import EmbeddingError, require_tile
from .patch_sums import ROWS_AT_ONCE, Sums

BATCH = 16
INT8_STEP = 127.0
SCRATCH = ".patches-"
"""How the folders of unfinished work begin; one that a run left behind is gone on with, or can be deleted."""
Precision = Literal["float32", "int8"]


class DiskFull(EmbeddingError):
    """A raster for which the disk has no room."""


@dataclass(frozen=True)
class PatchRasterSpec:
    """Say how a picture becomes a raster of patch embeddings.

    `gsd_m` metres per pixel as fed (None: the picture's own), `tile_px` and `policy` None as the card has them, `stride_px` None half a tile;
    a whole number of patches. int8 keeps unit vectors times 127, float32 the network's own values. `stated_gsd_m` as in EmbeddingSpec. `batch`
    tiles at a time, None for 16; it changes nothing but the speed.
    """

    model: str
    gsd_m: float | None = None
    tile_px: int | None = None
    stride_px: int | None = None
    policy: str | None = None
    data_type: Precision = "float32"
    min_valid: float = 0.5
    stated_gsd_m: float | None = None
    batch: int | None = None


@dataclass(frozen=True)
class PatchProgress:
    """Tiles `done` of `total`, of which `unreadable` could not be read and `empty` hold too little data; the raster has `rows` x `cols` patches of
    `bands` values; `path` once it is written, and then `bare` patches have no vector."""

    done: int
    total: int
    rows: int
    cols: int
    bands: int
    unreadable: int = 0
    empty: int = 0
    bare: int = 0
    path: Path | None = None


@dataclass(frozen=True)
class Intent:
    """What a raster will be, told before any tile is embedded: its `recipe` as kept in the file, its size in patches, `tiles` to embed."""

    recipe: dict[str, Any]
    rows: int
    cols: int
    tiles: int
    data_type: Precision


def intent(source: Source, key: str, spec: PatchRasterSpec, stamp: str | None = None) -> Intent:
    """Say what `embed_patches` would write for a picture; raises as it does. `stamp` tells pictures of one name apart, None where nobody knows."""
    model = load(spec.model)
    return _intent(_lay(source, key, spec, model), source, key, spec, model, stamp)


def _intent(
    lay: _Lay, source: Source, key: str, spec: PatchRasterSpec, model: Encoder, stamp: str | None
) -> Intent:
    card, grid = model.card, lay.plan.grids[0]
    policy = policy_from_text(spec.policy) if spec.policy else Policy(card.default_policy)
    res = res_of(card, policy, grid.gsd_m or 1.0, lay.tile_px, grid.native_gsd_m or 1.0)
    recipe = {
        "model": card.name, "weights_sha256": card.weights.sha256 if card.weights else None, "policy": policy_to_text(policy),
        "gsd_m": grid.gsd_m, "input_res_m": res, "tile_px": lay.tile_px, "stride_px": lay.stride_px, "patch_px": lay.patch_px,
        "min_valid": spec.min_valid, "blend": "hann", "source": key, "source_stamp": stamp, "credit": source.info.credit, "licence": card.licence,
    }  # fmt: skip
    return Intent(recipe, lay.rows, lay.cols, len(lay.corners), spec.data_type)


def embed_patches(
    source: Source, key: str, spec: PatchRasterSpec, out: Path, *, stamp: str | None = None
) -> Generator[PatchProgress]:
    """Write the raster of patch embeddings of one picture to `out`, in one step at the end; yields after every batch.

    What was closed or killed goes on after the last finished batch when it is asked for again. Raises EmbeddingError for a stride or picture that does
    not fit, a picture in which no tile can be embedded, a full disk, and while another process makes it; GeoError where it cannot be opened.
    Tiles that cannot be read are counted; patches that only they cover have no vector.
    """
    model = load(spec.model)
    lay = _lay(source, key, spec, model)
    wanted = _intent(lay, source, key, spec, model, stamp)
    at = PatchProgress(0, wanted.tiles, lay.rows, lay.cols, model.embed_dim)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch, shape = scratch_of(source, key, spec, out, stamp), (lay.rows, lay.cols, model.embed_dim)
    with (
        _room(lay, model.embed_dim, spec.data_type, key, scratch),
        closing(Sums(scratch, lay.corners, lay.side, shape)) as sums,
    ):
        at = replace(at, **sums.counts)
        yield at
        for start, images, state in _batches(lay, spec, sums.batches):
            unit = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
            res = np.full(len(unit), wanted.recipe["input_res_m"], np.float32)
            vectors = (
                patch_vectors(model, unit, res, batch=spec.batch or BATCH)
                if len(unit)
                else np.empty((0, 1, 1, 1), np.float32)
            )
            unreadable, empty = (int(np.count_nonzero(state == what)) for what in (UNREADABLE, EMPTY))
            at = replace(
                at, done=at.done + len(state), unreadable=at.unreadable + unreadable, empty=at.empty + empty
            )
            sums.add(
                start + np.flatnonzero(state == OK),
                vectors,
                {"done": at.done, "unreadable": at.unreadable, "empty": at.empty},
            )
            yield at
        if at.unreadable + at.empty == at.total:
            shutil.rmtree(scratch, ignore_errors=True)
            why = (
                "no tile of it can be read"
                if at.unreadable == at.total
                else f"every tile has less than {spec.min_valid:.0%} of data or cannot be read"
            )
            raise EmbeddingError(
                f"{key} gives no patch a vector, for {why}: choose another picture, or a smaller --min-valid."
            )
        _write(sums, lay, spec.data_type, wanted.recipe, scratch / "plain.tif", out)
        bare = lay.rows * lay.cols - sums.known()
        shutil.rmtree(scratch, ignore_errors=True)
    yield replace(at, bare=bare, path=out)


def scratch_of(source: Source, key: str, spec: PatchRasterSpec, out: Path, stamp: str | None = None) -> Path:
    """Give the folder beside a raster in which it is made: another one for another recipe or content, so that work is gone on with or left alone."""
    meant = intent(source, key, spec, stamp)
    said = [
        out.name,
        meant.recipe,
        meant.rows,
        meant.cols,
        meant.data_type,
        spec.batch or BATCH,
        content_of(source.opened(key)),
    ]
    return (
        out.parent / f"{SCRATCH}{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]}"
    )


@contextmanager
def _room(lay: _Lay, bands: int, kind: Precision, key: str, scratch: Path) -> Generator[None]:
    """Refuse what will not fit before hours of work, and turn a disk that fills up all the same into a sentence; `scratch` may hold a part already."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    folder, block, patches = scratch.parent, _block(lay), lay.rows * lay.cols
    padded = math.prod(-(-length // block) * block for length in (lay.rows, lay.cols))
    needed = patches * (bands + 1) * 4 + 2 * padded * bands * (1 if kind == "int8" else 4)
    sentence = f"The raster of {key} needs about {needed / 1e6:,.1f} MB in {folder.name} while it is made, and {{}}: free some space, or choose another folder."
    free = shutil.disk_usage(folder).free
    if free + sum(file.stat().st_size for file in scratch.glob("*.bin")) < needed:
        raise DiskFull(sentence.format(f"{free / 1e6:,.1f} MB are free"))
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError) as error:
        raise DiskFull(sentence.format(f"writing failed ({error})")) from error


def _block(lay: _Lay) -> int:
    """The side of the plain raster's blocks: no larger than the raster needs."""
    return min(256, -(-max(lay.rows, lay.cols) // 16) * 16)


@dataclass(frozen=True, eq=False)
class _Lay:
    """Tiles laid on the grid of patches: `corners` (n, 2) row and column of each tile's first patch; `step` (across, down) source pixels of one
    fed pixel."""

    plan: EmbeddingPlan
    corners: NDArray[np.int64]
    rows: int
    cols: int
    side: int
    tile_px: int
    stride_px: int
    patch_px: int
    step: tuple[float, float]


def _lay(source: Source, key: str, spec: PatchRasterSpec, model: Encoder) -> _Lay:
    require_gsd(spec.gsd_m)
    require_gsd(spec.stated_gsd_m)
    picture, entry, patch_px = source.opened(key), source.entry(key), model.card.patch_px
    header = picture.header
    tile_px = require_tile(model.card.input_px if spec.tile_px is None else spec.tile_px, patch_px)
    stride_px = max(tile_px // 2 // patch_px, 1) * patch_px if spec.stride_px is None else spec.stride_px
    if stride_px % patch_px or not 0 < stride_px <= tile_px:
        raise EmbeddingError(
            f"A tile of {tile_px} px every {stride_px} px leaves gaps or cuts patches of {patch_px} px: choose multiples, stride at most the tile."
        )
    native = native_gsd(header, Known(spec.stated_gsd_m or entry.gsd_m))
    scalar = None if native is None else math.sqrt(native[0] * native[1])
    fed = spec.gsd_m or scalar
    step = (1.0, 1.0) if native is None or fed is None else (fed / native[0], fed / native[1])
    step = (1.0 if abs(step[0] - 1) < 1e-6 else step[0], 1.0 if abs(step[1] - 1) < 1e-6 else step[1])
    cols, rows = (
        int(size / one / patch_px + 1e-6)
        for size, one in zip((header.width, header.height), step, strict=True)
    )
    side, hop = tile_px // patch_px, stride_px // patch_px
    if cols < side or rows < side:
        raise EmbeddingError(
            f"{key} is smaller than one tile of {tile_px} px at this scale: choose a smaller tile or a finer GSD."
        )
    if (many := rows / hop * cols / hop) > MOST_TILES:
        raise EmbeddingError(
            f"{key} would make {many:,.0f} tiles at this scale, more than {MOST_TILES:,}: feed coarser pixels (--gsd-m), or cut the picture."
        )
    starts = [sorted({*range(0, length - side + 1, hop), length - side}) for length in (rows, cols)]
    corners = np.array([(row, col) for row in starts[0] for col in starts[1]], np.int64)
    boxes = np.empty((len(corners), 4))
    boxes[:, 0], boxes[:, 1] = corners[:, 1] * patch_px * step[0], corners[:, 0] * patch_px * step[1]
    boxes[:, 2], boxes[:, 3] = tile_px * step[0], tile_px * step[1]
    enough = [
        i
        for i, (w, h) in enumerate(header.levels)
        if i == 0 or max(header.width / w, header.height / h) <= min(step) * (1 + 1e-9)
    ]
    level = min(enough, key=lambda i: header.levels[i][0])
    grid = Grid(source, key, header, entry.rgb or header.rgb, boxes, level, fed, scalar)
    return _Lay(EmbeddingPlan((grid,), 0, ()), corners, rows, cols, side, tile_px, stride_px, patch_px, step)


def _batches(
    lay: _Lay, spec: PatchRasterSpec, first: int
) -> Iterator[tuple[int, NDArray[Any], NDArray[np.uint8]]]:
    """The first tile's number, the pictures that can be embedded, and what became of each of the batch's tiles."""
    size = spec.batch or BATCH
    reader = Reader(lay.plan, lay.tile_px, size, spec.min_valid)
    for batch in reader.batches(iter(range(first, -(-len(lay.corners) // size)))):
        yield batch.index * size, batch.images, batch.state


def _write(sums: Sums, lay: _Lay, kind: Precision, recipe: dict[str, Any], plain: Path, out: Path) -> None:
    """Write a plain raster row by row, then the cloud-optimised one beside `out`, then rename it."""
    import warnings

    import rasterio
    import rasterio.shutil
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine

    header, bands = lay.plan.grids[0].header, sums.bands
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": lay.cols, "height": lay.rows, "count": bands, "dtype": kind, "nodata": -128 if kind == "int8" else float("nan"),
        "tiled": True, "blockxsize": _block(lay), "blockysize": _block(lay), "BIGTIFF": "IF_SAFER", "interleave": "pixel",
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
            rasterio.shutil.copy(
                plain,
                ready,
                driver="COG",
                compress="ZSTD",
                predictor="YES" if kind == "float32" else "NO",
                overviews="NONE",
            )
            _require_whole(ready, sums.known())
            ready.replace(out)
        finally:
            plain.unlink(missing_ok=True)
            ready.unlink(missing_ok=True)


def _require_whole(raster: Path, patches: int) -> None:
    """Read a raster back, for a block that a full disk swallowed is no error when a file is closed; raises OSError where patches are missing."""
    import rasterio

    with rasterio.open(raster) as file:
        rows = (
            file.read(1, window=((at, min(at + 512, file.height)), (0, file.width)))
            for at in range(0, file.height, 512)
        )
        found = sum(int(np.count_nonzero(np.isfinite(part) & (part != file.nodata))) for part in rows)
    if found != patches:
        raise OSError(f"{found:,} of {patches:,} patches arrived in the file")


def _kept(vectors: NDArray[np.float32], kind: Precision) -> NDArray[Any]:
    """Vectors as they are stored."""
    if kind == "float32":
        return vectors
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.rint(vectors / length * INT8_STEP)
    return np.where(np.isfinite(scaled), scaled, -128).astype(np.int8)
