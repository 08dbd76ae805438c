"""Resampling to another ground sample distance: area averaging when coarser, bicubic when finer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import metres
from .tile import MAX_SIDE_PX, GeoError, Tile, require_gsd

Box = tuple[float, float, float, float]

UNCHANGED_PX = 1e-6


@dataclass(frozen=True)
class Cut:
    """A box (column, row, width, height; may be fractional) that is resampled to columns and rows."""

    box: Box
    cols: int
    rows: int

    @property
    def step(self) -> tuple[float, float]:
        """Source pixels per new pixel, along a row and along a column."""
        return self.box[2] / self.cols, self.box[3] / self.rows

    @property
    def is_coarser(self) -> bool:
        """Whether both axes are averaged."""
        return min(self.step) >= 1 - 1e-9

    @property
    def is_copy(self) -> bool:
        """Whether pixels are copied unchanged."""
        whole = max(abs(v - round(v)) for v in self.box) < UNCHANGED_PX
        return whole and max(abs(s - 1) for s in self.step) < UNCHANGED_PX


def plan(
    size: tuple[int, int], place: Box, gsd: tuple[float, float], gsd_m: float | None, size_px: int | None
) -> Cut:
    """Decide what is cut from a raster of `size` (width, height) with pixels of `gsd` metres, about a place.

    As `TileSpec` words it: `gsd_m` alone trims the place to a whole number of pixels of exactly that size;
    `size_px` alone sets the longer side; both cut the ground square about the place's centre, moved inward
    where it would leave the raster. Raises GeoError where the raster is too small for that.
    """
    col, row, width, height = place
    if gsd_m is None and size_px is None:
        return Cut(place, round(width), round(height))
    if gsd_m is None:
        assert size_px is not None
        scale = size_px / max(width, height)
        return Cut(place, max(1, round(width * scale)), max(1, round(height * scale)))
    if size_px is None:
        cols, rows = (math.floor(n * g / gsd_m + 1e-6) for n, g in ((width, gsd[0]), (height, gsd[1])))
    else:
        cols = rows = size_px
    new_width, new_height = cols * gsd_m / gsd[0], rows * gsd_m / gsd[1]
    if min(cols, rows) < 1 or new_width > size[0] + 1e-3 or new_height > size[1] + 1e-3:
        across_m = min(size[0] * gsd[0], size[1] * gsd[1])
        finest = across_m / (size_px or 1)
        raise GeoError(
            f"The picture covers {metres(across_m)}, less than {size_px or 1} px of {metres(gsd_m)}: "
            f"choose a GSD of at most {metres(finest)}, or for fewer pixels."
        )
    if max(cols, rows) > MAX_SIDE_PX:
        raise GeoError(
            f"That tile would be {max(cols, rows):,} px per side: "
            f"choose a coarser GSD or at most {MAX_SIDE_PX} px."
        )
    left = min(max(col + (width - new_width) / 2, 0.0), max(size[0] - new_width, 0.0))
    top = min(max(row + (height - new_height) / 2, 0.0), max(size[1] - new_height, 0.0))
    return Cut((left, top, min(new_width, size[0]), min(new_height, size[1])), cols, rows)


def resample(tile: Tile, gsd_m: float | None = None, size_px: int | None = None) -> Tile:
    """Resample a tile to a GSD, to a size, or to both about its centre: area averaging down, bicubic up.

    Only valid pixels contribute; a new pixel is valid if at least half of its area was. Pixels become float32
    (float64 for 64-bit sources). Raises GeoError if the tile is smaller than the requested ground.
    """
    cut = plan(
        (tile.width, tile.height), (0, 0, tile.width, tile.height), tile.gsd_m, require_gsd(gsd_m), size_px
    )
    if cut.is_copy and (cut.cols, cut.rows) == (tile.width, tile.height):
        return tile
    pixels, valid = resize(tile.pixels, tile.valid, cut)
    gsd = (tile.gsd_m[0] * cut.step[0], tile.gsd_m[1] * cut.step[1])
    moved = None
    footprint = tile.footprint
    if tile.transform is not None:
        from .ground import box_footprint

        moved = cut_transform(tile.transform, cut)
        if tile.crs is not None:
            footprint = box_footprint(tile.crs, moved, (0, 0, cut.cols, cut.rows))
    return replace(tile, pixels=pixels, valid=valid, gsd_m=gsd, transform=moved, footprint=footprint)


def cut_transform(
    transform: tuple[float, float, float, float, float, float], cut: Cut
) -> tuple[float, float, float, float, float, float]:
    """Apply a cut to an affine transform (a, b, c, d, e, f)."""
    a, b, c, d, e, f = transform
    (col, row), (sx, sy) = cut.box[:2], cut.step
    return a * sx, b * sy, a * col + b * row + c, d * sx, e * sy, d * col + e * row + f


def resize(
    pixels: NDArray[Any], valid: NDArray[np.bool_], cut: Cut
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Resample (c, h, w) values and their (h, w) validity over a box of fractional pixels, one axis after
    the other."""
    if cut.is_copy:
        col, row = round(cut.box[0]), round(cut.box[1])
        window = np.s_[..., row : row + cut.rows, col : col + cut.cols]
        return pixels[window], valid[window]
    dtype = np.dtype(np.float64 if pixels.dtype.itemsize >= 8 else np.float32)
    x, y = (
        (pixels.shape[2], cut.box[0], cut.box[2], cut.cols),
        (pixels.shape[1], cut.box[1], cut.box[3], cut.rows),
    )
    across, down = _axis(*x, dtype=dtype), _axis(*y, dtype=dtype)

    def apply(plane: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray((across @ (down @ plane).T).T)

    whole = bool(valid.all())
    weight = None if whole else _validity(valid, x, y, dtype)
    out = np.empty((pixels.shape[0], cut.rows, cut.cols), dtype)
    for band, plane in enumerate(pixels):
        values = plane.astype(dtype)
        if weight is not None and cut.is_coarser:
            out[band] = apply(np.where(valid, values, 0)) / np.maximum(weight, 1e-6)
            continue
        out[band] = apply(values if whole else _fill_nearest(values, valid))
        if not cut.is_coarser:  # bicubic must not overshoot the measured range
            np.clip(out[band], *_limits(values, valid), out=out[band])
    if weight is None:
        return out, np.ones(out.shape[1:], np.bool_)
    new_valid = weight >= 0.5
    out[:, weight <= 0] = 0
    return out, new_valid


def _axis(
    n_in: int, start: float, length: float, n_out: int, *, dtype: np.dtype[Any], cubic: bool = True
) -> Any:
    """Build the sparse weights (n_out, n_in) of one axis: exact overlaps when coarser, Keys cubic when
    finer."""
    from scipy.sparse import csr_array

    step = length / n_out
    if step >= 1 - 1e-9 or not cubic:
        width = max(step, 1.0)  # finer without cubic: a pixel-wide box, i.e. linear interpolation
        middle = start + (np.arange(n_out) + 0.5) * step
        low, high = middle - width / 2, middle + width / 2
        index = np.floor(low).astype(np.int64)[:, None] + np.arange(math.ceil(width) + 1)
        weights = np.clip(np.minimum(index + 1, high[:, None]) - np.maximum(index, low[:, None]), 0, None)
    else:
        centre = start + (np.arange(n_out) + 0.5) * step - 0.5
        index = np.floor(centre).astype(np.int64)[:, None] + np.arange(-1, 3)
        weights = _keys(np.abs(index - centre[:, None]))
    weights = weights / weights.sum(axis=1, keepdims=True)
    index = np.clip(index, 0, n_in - 1)
    pointers = np.arange(n_out + 1) * index.shape[1]
    return csr_array((weights.ravel().astype(dtype), index.ravel(), pointers), shape=(n_out, n_in))


def _keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the cubic convolution kernel of Keys (1981), a = -0.5, at distances x >= 0."""
    return np.where(
        x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0)
    )


def _validity(
    valid: NDArray[np.bool_],
    x: tuple[int, float, float, int],
    y: tuple[int, float, float, int],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    across, down = (_axis(*axis, dtype=dtype, cubic=False) for axis in (x, y))
    return (across @ (down @ valid.astype(dtype)).T).T


def _limits(values: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[float, float]:
    known = values[valid]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _fill_nearest(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    from scipy.ndimage import distance_transform_edt

    if not valid.any():
        return np.zeros_like(values)
    nearest: Any = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    rows, cols = nearest
    return values[rows, cols]
