"""A raster of patch embeddings: every patch of a picture becomes a pixel with d bands; overlapping tiles are blended.

A patch near the edge of a tile has seen less of its surroundings than one in the middle. Tiles therefore overlap, and
each contributes with the weight of a raised cosine (Hann window) over the tile, so that no seams show. Sums are kept in
files (see `patch_sums`), so memory stays constant and an interrupted run resumes after the last finished batch.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....geo.sources import Source
from ...loaded import load
from ...tokens import patch_vectors
from ..read import EMPTY, OK, UNREADABLE, Reader
from ..spec import EmbeddingError
from .patch_layout import BATCH, PatchLayout, PatchRasterSpec, describe_raster, lay_out, scratch_of
from .patch_sums import Sums
from .patch_writing import room_for, write_raster


@dataclass(frozen=True)
class PatchProgress:
    """Progress of one raster of `rows` x `cols` patches with `bands` values each: tiles `done` of `total`.

    `unreadable` tiles could not be read, `empty` ones hold too few valid pixels. `path` is set once the raster is
    written; `bare` is then the number of patches without a vector.
    """

    done: int
    total: int
    rows: int
    cols: int
    bands: int
    unreadable: int = 0
    empty: int = 0
    bare: int = 0
    path: Path | None = None


def embed_patches(
    source: Source, key: str, spec: PatchRasterSpec, out: Path, *, stamp: str | None = None
) -> Generator[PatchProgress]:
    """Write the raster of patch embeddings of one picture to `out`, atomically at the end; yields after each batch.

    Call it again with the same arguments to resume after the last finished batch. Raises EmbeddingError for an invalid
    stride, a picture that is too small or has no usable tile, a full disk, and while another process writes the same
    raster; raises GeoError if the picture cannot be opened. Patches covered only by unreadable tiles have no vector.
    """
    model = load(spec.model)
    lay = lay_out(source, key, spec, model)
    wanted = describe_raster(lay, source, key, spec, model, stamp)
    at = PatchProgress(0, wanted.tiles, lay.rows, lay.cols, model.embed_dim)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch, shape = scratch_of(source, key, spec, out, stamp), (lay.rows, lay.cols, model.embed_dim)
    with (
        room_for(lay, model.embed_dim, spec.data_type, key, scratch),
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
                else f"every tile has less than {spec.min_valid:.0%} valid pixels or cannot be read"
            )
            raise EmbeddingError(
                f"{key} cannot be embedded because {why}: choose another picture, or a smaller --min-valid."
            )
        write_raster(sums, lay, spec.data_type, wanted.recipe, scratch / "plain.tif", out)
        bare = lay.rows * lay.cols - sums.known()
        shutil.rmtree(scratch, ignore_errors=True)
    yield replace(at, bare=bare, path=out)


def _batches(
    lay: PatchLayout, spec: PatchRasterSpec, first: int
) -> Iterator[tuple[int, NDArray[Any], NDArray[np.uint8]]]:
    """Give, for each batch, the number of its first tile, the images to embed, and the state of each tile."""
    size = spec.batch or BATCH
    reader = Reader(lay.plan, lay.tile_px, size, spec.min_valid)
    for batch in reader.batches(iter(range(first, -(-len(lay.corners) // size)))):
        yield batch.index * size, batch.images, batch.state
